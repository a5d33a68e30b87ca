"""W3C Trace Context: what is read goes on unchanged, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.http.trace_context import make_parent, parse_parent, parse_state, split_parent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
IDS = st.integers(1, (1 << 128) - 1), st.integers(1, (1 << 64) - 1)


@given(*IDS, st.integers(0, 3))
def test_a_traceparent_that_was_made_is_read_back(trace: int, span: int, flags: int) -> None:
    text = make_parent(f"{trace:032x}", f"{span:016x}", flags)
    parent = parse_parent(text)
    assert parent == (text, f"{trace:032x}", f"{span:016x}", flags, "")


@given(st.text(alphabet="0123456789abcdefgA- ", max_size=60))
def test_only_the_one_form_is_read(text: str) -> None:
    parent = parse_parent(text)
    if parent is not None:
        # Unknown bits of the flags aside, what is read is what goes on.
        assert text.startswith(parent.text[:-2].replace("00-", text[:3], 1))
        assert len(parent.trace_id) == 32


def test_flags_that_nobody_knows_do_not_go_on() -> None:
    parent = parse_parent(f"00-{TRACE}-{SPAN}-ff")
    assert parent is not None
    assert parent.text == f"00-{TRACE}-{SPAN}-03"


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["a=1,b=2"], "a=1,b=2"),
        (["a=1", "b=2"], "a=1,b=2"),
        ([" a=1 ,, b=2\t"], "a=1,b=2"),
        (["fw529a3039@dt=FfAAAA-x y"], "fw529a3039@dt=FfAAAA-x y"),
        (["a=1,a=2"], ""),
        (["A=1"], ""),
        (["a"], ""),
        (["a="], ""),
        (["a=1=2"], ""),
        (["a=\u00e9"], ""),
        ([",".join(f"k{n}=1" for n in range(33))], ""),
        ([""], ""),
    ],
)
def test_tracestate_is_read_as_a_list_or_not_at_all(values: list[str], read: str) -> None:
    assert parse_state(values) == read


@given(st.sampled_from([b"", b"A: 1\r\n"]), st.sampled_from([b"", b"B: 2\r\n"]))
def test_the_line_is_taken_out_of_a_head_wherever_it_stands(before: bytes, after: bytes) -> None:
    line = f"Traceparent: 00-{TRACE}-{SPAN}-01\r\n".encode()
    head = b"GET / HTTP/1.1\r\n" + before + line + after + b"\r\n"
    rest, parent = split_parent(head, 16)
    assert rest == before + after + b"\r\n"
    assert parent is not None
    assert parent.trace_id == TRACE


@pytest.mark.parametrize("line", [b"traceparent:x\r\n", b"X-traceparent: " + b"0" * 55 + b"\r\n"])
def test_what_is_no_such_line_stays(line: bytes) -> None:
    assert split_parent(b"GET / HTTP/1.1\r\n" + line + b"\r\n", 16) == (line + b"\r\n", None)

"""What is remembered of heads: as the readers of whole heads say it, and never too much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.engines.fast.quick_heads import SPECIAL, Heads, Recent, read_usual

from tests.laws import examples

START = b"GET / HTTP/1.1\r\n"
HOST = b"Host: a.example"
NAMES = (
    b"Accept",
    b"accept",
    b"X-Id",
    b"X Id",
    b"X-Id ",
    b"",
    b"Upgrade",
    b"X-\xe9",
    b"Via",
    b"A" * 257,
)
VALUES = (
    b"", b" ", b" a", b"a \t", b"\ta\tb", b"\x00", b"a\nb", b"a\rb", b"\xe9", b"\xc3\xa9", b"\x7f",
    b"a:b", b" a , b ",
)  # fmt: skip
lines = st.builds(
    lambda name, colon, value: name + colon + value,
    st.sampled_from(NAMES),
    st.sampled_from((b":", b":", b":", b"")),
    st.sampled_from(VALUES),
)


def read(data: bytes) -> object:
    fields = read_usual(data, is_traced=False)
    return None if fields is None else "usual"


@examples(300)
@given(st.lists(st.lists(lines, max_size=4), min_size=1, max_size=8))
def test_lines_that_came_before_are_read_as_whole_heads_are(blocks: list[list[bytes]]) -> None:
    heads: Heads[object] = Heads(SPECIAL, read)
    for block in blocks:
        data = START + b"\r\n".join([HOST, *block]) + b"\r\n\r\n"
        expected = read_usual(data, is_traced=False)
        found = heads.find(data[len(START) :], data)
        if expected is None:
            assert found is None
            continue
        assert found is not None
        pairs, keys = found.headers(frozenset(expected.keys))
        assert (pairs, keys) == (expected.headers, expected.keys)
        for line, (name, value) in zip(found.lines, pairs, strict=True):
            assert line.sent == f"{name}: {value}\r\n".encode("utf-8", "surrogateescape")


def test_a_name_that_is_known_is_no_header_without_its_colon() -> None:
    heads: Heads[object] = Heads(SPECIAL, lambda _: "usual")
    assert heads.find(b"Accept: a\r\n\r\n", b"") is not None
    assert heads.find(b"Accept\r\n\r\n", b"") is None


def test_what_comes_again_is_not_forgotten_for_what_comes_once() -> None:
    recent: Recent[str, int] = Recent(8)
    recent.keep("usual", 1)
    for number in range(100):
        recent.keep(f"once {number}", number)
        assert recent.get("usual") == 1
        assert len(recent) <= 8
    assert recent.get("once 0") is None
    recent.forget("usual")
    assert recent.get("usual") is None
    recent.clear()
    assert len(recent) == 0

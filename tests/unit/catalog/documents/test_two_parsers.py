"""The fast reader agrees with the slow one, or hands over; the slow one agrees with ruamel.yaml."""

from __future__ import annotations

import json
import string
import warnings
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError

from stoa_gitops.catalog.documents import yaml_fast as fast_reader
from stoa_gitops.catalog.documents.parse import parse_file
from stoa_gitops.catalog.documents.yaml_fast import parse_quickly
from stoa_gitops.catalog.documents.yaml_full import read_documents
from stoa_gitops.catalog.kinds import kind_set
from stoa_gitops.model.canonical import canonical_bytes
from tests.laws import examples

ALIKE = (
    "yes no on off Yes NO y n true True TRUE false null Null NULL ~ 012 0o17 0o8 0x1F 0X1F 0b11 "
    "0b2 1_000 "
    "_1 1__0 1_ 1:30 190:20:30 .5 5. -.5 +.5 1e3 1E3 1.e3 1e+3 4e-2 1e1_0 0x_1 +1 -1 00 08 -0 "
    ".inf -.INF "
    ".nan inf nan = - -- << . .. ... 1.2.3 1.10 2024-01-01 2024-01-01T00:00:00Z 2024-01-01x 10:20 "
    "18446744073709551616 1e400 12e03 0.1e1 .e1 a#b a:b :a a: :: *a &a !a !!str %a @a `a |a >a "
    "?a -a "
    "$a #a ,a [a {a 'a \"a a'b a\"b a,b a]b a}b a&b a*b a!b a%b ${A} $${A} ${A:-b} http://a/b?c=d#e"
)
LOOK_ALIKES = ALIKE.split()

REST = st.text(
    alphabet=string.ascii_letters
    + string.digits
    + " .:,-_#'\"[]{}|>&*!%@=?~+/\\$\u00e9\u00a0\u2028\ufeff😀\x85\t",
    max_size=12,
)
SCALARS = st.sampled_from(LOOK_ALIKES) | REST | st.integers().map(str) | st.floats().map(str)
KEYS = st.sampled_from(
    ["a", "b", "spec", "name", "'q'", '"d"', "a b", "x-y", "1", "true", "~", "é"]
)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def block(style: str) -> st.SearchStrategy[list[str]]:
    lines = st.lists(
        st.sampled_from(["x", "  y", "", "# z", "- w", "k: v", "---x", "*"]), max_size=4
    )
    return lines.map(lambda found: [style, *(f"    {line}" if line else "" for line in found)])


VALUES: st.SearchStrategy[list[str]] = st.one_of(
    SCALARS.map(lambda text: [text]),
    REST.map(lambda text: [quoted(text)]),
    REST.map(lambda text: [json.dumps(text)]),
    REST.map(lambda text: [json.dumps(text, ensure_ascii=False)]),
    st.lists(SCALARS, max_size=3).map(lambda items: ["[" + ", ".join(items) + "]"]),
    st.lists(st.tuples(KEYS, SCALARS), max_size=3).map(
        lambda pairs: ["{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}"]
    ),
    st.sampled_from(["|", ">", "|-", ">+", "| # c", "|2", ">-"]).flatmap(block),
    st.lists(SCALARS, min_size=1, max_size=3).map(lambda items: ["", *(f"  - {i}" for i in items)]),
    st.lists(st.tuples(KEYS, SCALARS), min_size=1, max_size=3).map(
        lambda pairs: ["", *(f"  {k}: {v}" for k, v in pairs)]
    ),
    st.lists(st.tuples(KEYS, SCALARS), min_size=1, max_size=2).map(
        lambda pairs: ["", *(f"- {k}: {v}\n  {k}2: {v}" for k, v in pairs)]
    ),
)
COMMENTS = st.sampled_from(["", "", "", " # note", "#x", "  ", " #"])


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    lines: list[str] = draw(st.sampled_from([[], ["# head"], ["---"], [""], ["%YAML 1.2", "---"]]))[
        :
    ]
    for key in draw(st.lists(KEYS, min_size=1, max_size=4)):
        first, *more = draw(VALUES)
        lines += [f"{key}: {first}{draw(COMMENTS)}".rstrip(" "), *more]
    text = draw(st.sampled_from(["\n", "\n", "\r\n"])).join(lines)
    return (
        draw(st.sampled_from(["", "", "\ufeff"])) + text + draw(st.sampled_from(["", "\n"]))
    ).encode()


def slowly(data: bytes) -> list[Any]:
    return [
        reading.root.tree() if reading.root is not None else f"refused: {reading.refused}"
        for reading in read_documents(data)
    ]


@examples(1500)
@given(documents())
@example(b"a: |\nb: 1\n")
@example(b"a: [::]\n")
@example(b'a: "\\ud83d\\ude00"\n')
@example(b"a: !\n")
@example(b"a: =\n")
@example(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
def test_what_the_fast_reader_reads_the_slow_one_reads_the_same(data: bytes) -> None:
    quick = parse_quickly(data)
    if quick is not None:
        (slow,) = slowly(data)
        assert json.dumps(quick.value, sort_keys=True) == json.dumps(slow, sort_keys=True)
        assert quick.raw == canonical_bytes(slow)


@pytest.mark.parametrize("scalar", LOOK_ALIKES)
@pytest.mark.parametrize("frame", ["a: {}\n", "a: [{}]\n", "a: [x, {}, y]\n", "a:\n- {}\n",
                                   "a: {{b: {}}}\n",
                                   "{}: a\n", "a: '{}'\n", "a: |\n  {}\n",
                                   "a:\n  b: {} # c\n"])  # fmt: skip
def test_look_alikes_of_yaml_1_1_mean_the_same_to_both_readers(scalar: str, frame: str) -> None:
    data = frame.format(scalar).encode()
    quick = parse_quickly(data)
    if quick is not None:
        (slow,) = slowly(data)
        assert json.dumps(quick.value, sort_keys=True) == json.dumps(slow, sort_keys=True)
        assert quick.raw == canonical_bytes(slow)


@examples(600)
@given(documents())
def test_the_slow_reader_reads_what_ruamel_reads(data: bytes) -> None:
    slow = slowly(data)
    if len(slow) != 1 or not isinstance(slow[0], dict):
        return
    try:
        with warnings.catch_warnings():
            # YAML lets an anchor be used again.
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            truth = YAML(typ="safe", pure=True).load(data.decode("utf-8-sig"))
    except YAMLError:
        # Only where YAML 1.1 has meanings for `=` and `<<` that YAML 1.2 has not.
        assert b"=" in data or b"<<" in data
        return
    if not _holds_time(truth):
        assert json.dumps(slow[0], sort_keys=True) == json.dumps(truth, sort_keys=True)


def _holds_time(value: Any) -> bool:
    """Times are text in YAML 1.2; ruamel.yaml makes dates of them."""
    if isinstance(value, dict):
        return any(_holds_time(item) for item in value.values())
    if isinstance(value, list):
        return any(_holds_time(item) for item in value)
    return type(value).__name__ in ("date", "datetime", "TimeStamp")


HEAD = (
    "apiVersion: gostoa.dev/v1alpha1\nkind: Policy\nmetadata:\n  name: p\n"
    "spec:\n  type: mock\n  config:\n"
)


@examples(400)
@given(
    st.lists(st.tuples(st.sampled_from(["status", "body", "headers", "oops"]), VALUES), max_size=3)
)
def test_both_ways_give_one_verdict_on_a_document(fields: list[tuple[str, list[str]]]) -> None:
    lines = []
    for name, (first, *more) in fields:
        lines += [f"    {name}: {first}", *(f"    {line}" for line in more)]
    data = (HEAD + "\n".join(lines)).encode()
    both = parse_file(data, kind_set().schemas)
    accelerator = fast_reader.yaml_rs
    fast_reader.yaml_rs = None
    try:
        slow = parse_file(data, kind_set().schemas)
    finally:
        fast_reader.yaml_rs = accelerator
    assert both == slow


def test_most_documents_of_the_example_take_the_fast_way(catalog_example) -> None:
    texts = [path.read_bytes() for path in catalog_example.rglob("api.yaml")]
    assert texts
    assert all(parse_quickly(text) is not None for text in texts)


@pytest.mark.parametrize(
    "data",
    [b"a: 1\n---\nb: 2\n", b"a: &x 1\nb: *x\n", b"a: !!str 1\n", b"%YAML 1.2\n---\na: 1\n",
     b"a: 2024-01-01\n",
     b"<<: {a: 1}\n", b"a: \x00\n", b"a: \xff\n", b"a:\t1\n", b"\xef\xbb\xbfa: 1\n", b"a: 1_000\n",
     b"- a\n", b"a\n",
     b"", b"a: .inf\n", b"1: a\n", b"{a: {1: b}}\n", b"a: 1\na: 2\n", b"a: [\n",
     b"- " * 5000 + b"x",
     b"? [a]\n: b\n", b"{[a]: b}\n", b"{{a: b}: c}\n", b"a: " + b"[" * 5000,
     b"a: " + b"x" * 1_000_001],
)  # fmt: skip
def test_the_fast_reader_hands_over(data: bytes) -> None:
    assert parse_quickly(data) is None


def test_a_panic_of_the_accelerator_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    class Broken:
        def loads(self, text: str, **more: object) -> object:
            raise PanicException(text)

    monkeypatch.setattr(fast_reader, "yaml_rs", Broken())
    assert parse_quickly(b"a: 1\n") is None

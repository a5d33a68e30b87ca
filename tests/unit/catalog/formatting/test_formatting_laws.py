"""Laws of the formatter: no value and no comment changes, and twice equals once."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.tokens import CommentToken

from stoa_gitops.catalog.formatting.formatter import format_file
from tests.laws import examples
from tests.unit.catalog.formatting.emitter import Emitter, trees

ROOT = Path(__file__).resolve().parents[4]
FOLDERS = ("tests", "catalog-example", "deploy", "stoa_gitops")


def written_documents() -> list[tuple[str, bytes]]:
    """Every YAML file of the repository, and every block of YAML in its pages."""
    found = []
    for folder in FOLDERS:
        paths = sorted((ROOT / folder).rglob("*.y*ml"))
        found += [(path.relative_to(ROOT).as_posix(), path.read_bytes()) for path in paths]
    for page in sorted((ROOT / "docs").rglob("*.md")):
        blocks = re.findall(r"```yaml[^\n]*\n(.*?)```", page.read_text(), re.DOTALL)
        found += [(f"{page.name}#{n}", block.encode()) for n, block in enumerate(blocks)]
    for page in sorted((ROOT / "stoa_gitops/catalog/explanations").glob("*.md")):
        blocks = re.findall(r"```yaml[^\n]*\n(.*?)```", page.read_text(), re.DOTALL)
        found += [(f"{page.name}#{n}", block.encode()) for n, block in enumerate(blocks)]
    return found


@cache  # two tests read every document of the repository, which takes milliseconds for each
def values(data: bytes) -> list[str]:
    """What another parser reads, key order aside, types and all."""
    return [repr(_sorted(item)) for item in YAML(typ="safe", pure=True).load_all(data)]


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted(((repr(key), _sorted(item)) for key, item in value.items()), key=str)
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def comments(data: bytes) -> Counter[str]:
    """Every comment, as the scanner of another parser finds them."""
    yaml = YAML()
    found: Counter[str] = Counter()
    for token in yaml.scan(data.decode()):
        for held in _tokens(getattr(token, "comment", None) or getattr(token, "_comment", None)):
            lines = (line.strip() for line in held.value.split("\n"))
            found.update(line for line in lines if line.startswith("#"))
    return found


def _tokens(held: Any) -> list[CommentToken]:
    if isinstance(held, CommentToken):
        return [held]
    if isinstance(held, list | tuple):
        return [token for item in held for token in _tokens(item)]
    return []


def check(data: bytes) -> bytes:
    """Format, assert the laws, and return the result."""
    formatted = format_file(data)
    if formatted.finding or formatted.reason:
        assert formatted.data == data
        return data
    assert values(formatted.data) == values(data)
    assert format_file(formatted.data) == formatted
    return formatted.data


def test_no_document_of_the_repository_changes_its_meaning() -> None:
    formatted = 0
    for name, data in written_documents():
        made = check(data)
        formatted += made != data
        if made != data:
            assert comments(made) == comments(data), name
    assert formatted > 20


def test_a_file_that_is_no_yaml_is_left_alone_with_its_finding() -> None:
    broken = 0
    for name, data in written_documents():
        if "deep-nesting" in name or "bombs" in name:
            continue  # this parser goes through all of it before it gives up
        try:
            values(data)
        except (YAMLError, UnicodeDecodeError, ValueError):
            formatted = format_file(data)
            assert formatted.finding is not None, name
            assert formatted.data == data
            broken += 1
    assert broken > 10


@given(st.data())
def test_every_layout_of_a_tree_is_formatted_and_keeps_values_and_comments(
    data: st.DataObject,
) -> None:
    tree = data.draw(trees())
    emitter = Emitter(data.draw)
    text = emitter.write(tree)
    (before,) = list(YAML(typ="safe", pure=True).load_all(text))
    assert before == tree
    formatted = format_file(text.encode())
    assert (formatted.finding, formatted.reason) == (None, "")
    (after,) = list(YAML(typ="safe", pure=True).load_all(formatted.data))
    assert repr(_sorted(after)) == repr(_sorted(tree))
    made = formatted.data.decode()
    for comment in emitter.comments:
        assert made.count(f"{comment}\n") == text.count(f"{comment}\n"), comment
    assert format_file(formatted.data) == formatted


SEEDS = [data for name, data in written_documents() if len(data) < 2_000]


@examples(1_000)
@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(
            st.floats(0, 1), st.sampled_from(["", "delete"]),
            st.sampled_from([" ", "\n", "\t", ":", "#", "-", "'", '"', "{", "]", "|", ">", "&a ",
                             "*a", "- ", "  ", "# x", "\n\n", "---\n", "? ", "!t ", "é", "%", ","]),
        ),
        min_size=1, max_size=4,
    ),
)  # fmt: skip
def test_whatever_is_typed_into_a_document_means_the_same_afterwards(
    seed: bytes, edits: list[tuple[float, str, str]]
) -> None:
    text = seed.decode("utf-8", "replace")
    for place, action, what in edits:
        at = int(place * len(text))
        text = text[:at] + ("" if action else what) + text[at + bool(action) :]
    data = text.encode("utf-8", "replace")
    formatted = format_file(data)
    if formatted.finding or formatted.reason:
        assert formatted.data == data
        return
    assert format_file(formatted.data) == formatted
    if b"&" not in data and b"---" not in data:
        assert values(formatted.data) == values(data)


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: *x\n",
        "spec: *x\nmetadata: &x {a: 1}\n",
        "b: &x {k: 1}\na:\n  <<: *x\n",
        "%YAML 1.2\n---\na: 1\n",
        "a: 1\n...\n",
        "? a\n: b\n",
        "a: !!str 1\n",
        "--- {a: 1}\n",
        "a: |2\n   x\n  y\n",
        "a: |+\n  x\n\n\nb: 1\n",
        "a: >-\n  x\n\n  y\n# end\n",
        'a: "x\n  y\\\n  z"\n',
        "a: x\n  y\n\n  z\nb: 1\n",
        "a: {b: 1, # c\n  c: 2}\n",
        "a:\n- b\n- c\nd:\n- e\n",
        "- - a\n  - b\n-\n  - c\n",
        "\ufeffa: 1\r\nb:   2\r\n",
        "a: 1\x85b: 2\n",
        "",
        "# only\n\n# comments\n",
        "---\n# c\n---\na: 1\n---\n",
        "'a b' : 1\n\"c\"   : 2\n",
        "a:\t1\t# c\n",
        "a: #c\n  b\n",
        "- # c\n  a: 1\n  # d\n  b: 2\n",
        "a: '''x'''\nb: 'it''s'\nc: '\"'\nd: 'a\\b'\n",
        "[a, b]\n",
        "just text\n",
        "&a # c\n",
        "&a\n",
        "- &a\n- b\n",
        "a: &x\n  b: 1\n",
        "a: &x\n",
    ],
)
def test_odd_documents_keep_their_meaning(text: str) -> None:
    check(text.encode())

"""Places that are found by text are those of the full parser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from stoa_gitops.catalog.documents.text_places import SearchBudget, TextPlaces
from stoa_gitops.catalog.documents.yaml_full import read_document
from stoa_gitops.foundation.yaml.nodes import Pointer, find_position

SIGNS = "ab:# -'\"{[,]}|>\\é0"
TEXT = st.text(st.sampled_from(SIGNS + "\n"), max_size=9)
KEY = st.text(st.sampled_from(SIGNS), min_size=1, max_size=9)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 999) | TEXT | st.just("word " * 30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=20,
)
DOCUMENT = st.dictionaries(KEY, VALUE, min_size=1, max_size=4)


class Indented(yaml.SafeDumper):
    """Writes the items of a sequence deeper than its key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)


def block(value: Any, dumper: type[yaml.SafeDumper] = yaml.SafeDumper) -> str:
    return yaml.dump(value, Dumper=dumper, allow_unicode=True, sort_keys=False)


def partly_flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=None, allow_unicode=True, width=9999)


FORMS = {
    "block": block,
    "indented items": lambda value: block(value, Indented),
    "JSON": json.dumps,
    "compact JSON": lambda value: json.dumps(value, separators=(",", ":")),
    "flow within block": partly_flow,
    "JSON over lines": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
    "comments and blank lines": lambda value: "# c\n\n" + block(value) + "# end: 1\n",
    "carriage returns": lambda value: block(value).replace("\n", "\r\n"),
    "a marker": lambda value: "---\n" + block(value),
}


def pointers(value: Any, before: Pointer = ()) -> Iterator[Pointer]:
    yield before
    if isinstance(value, (dict, list)):
        for part, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from pointers(inner, (*before, part))
    yield (*before, "there is none")


def compare(text: str, value: Any) -> None:
    """Compare the places of all values and keys of a document."""
    reading = read_document(7, text, any_key=True)
    assert reading is not None
    assert reading.root is not None, reading.refused
    places = TextPlaces(7, text, SearchBudget())
    for pointer in pointers(value):
        for at_key in (False, True):
            right = find_position(reading.root, pointer, at_key=at_key)
            found = places.find(pointer, at_key=at_key)
            assert (found.line, found.column) == (right.line, right.column), (pointer, at_key, text)


@pytest.mark.parametrize("form", FORMS)
@given(value=DOCUMENT)
@example(value={"0": None, "'0'": None, '"0"': None})
def test_each_value_and_key_is_where_the_full_parser_sees_it(form: str, value: Any) -> None:
    compare(FORMS[form](value), value)


def test_widths_are_those_of_keys_and_values() -> None:
    text = "spec:\n  path: /a  # why\n  'a b': [1, 22]\n"
    places = TextPlaces(0, text, SearchBudget())
    assert places.find(("spec", "path")).width == 2
    assert places.find(("spec", "path"), at_key=True).width == 4
    assert places.find(("spec", "a b", 1)).width == 2


def test_what_is_searched_in_a_file_is_bounded() -> None:
    text = "first: 1\n" + "x: 1\n" * 200_000 + "last: 1\n"
    budget = SearchBudget()
    places = TextPlaces(0, text, budget)
    assert places.find(("last",)).line == 200_002
    while budget.take(text):
        pass
    assert places.find(("last",)).line == 1

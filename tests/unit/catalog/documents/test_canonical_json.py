"""The quick way to canonical bytes and back agrees with the standard library, or hands over."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stoa_gitops.catalog.documents import canonical_json as json_bytes
from stoa_gitops.catalog.documents.canonical_json import quick_bytes, to_bytes, to_tree
from stoa_gitops.model.canonical import canonical_bytes
from tests.laws import examples

EDGES = (
    0,
    -1,
    2**53,
    2**53 + 1,
    10**18,
    2**63 - 1,
    2**63,
    -(2**63),
    -(2**63) - 1,
    2**64 - 1,
    2**64,
    10**40,
)
TEXTS = st.text(
    st.characters(codec=None, exclude_categories=())
    | st.sampled_from('\x00\x1f\x7f"\\/\b\ud800\u2028e.-19:,[')
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(EDGES),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
    st.sampled_from(["null", ":1.5", "[.5", ",1e9", "0" * 30, "1" * 19]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXTS, TREES, max_size=5)


class Word(str):
    __slots__ = ()


@dataclass
class Record:
    a: int = 1


@examples(1500)
@given(OBJECTS | st.lists(TREES, max_size=5))
@example({"a": 1e16})
@example({"a": [1e-7, 5e-324, -0.0, 1.0, 1e22]})
@example([0.5])
@example({"\ud800": "\udfff"})
@example({"\uffff": 1, "\U00010000": 2})
def test_bytes_are_those_of_the_standard_library(value: Any) -> None:
    assert to_bytes(value) == canonical_bytes(value)


@examples(1500)
@given(OBJECTS)
@example({"a": 2**64})
@example({"a": -(2**63) - 1})
@example({"a": 10**400})
@example({"a": [5e-324, 1.7976931348623157e308, -0.0]})
def test_trees_are_those_of_the_standard_library(value: Any) -> None:
    raw = canonical_bytes(value)
    assert repr(to_tree(raw)) == repr(json.loads(raw))


@pytest.mark.parametrize(
    "value",
    [{"a": None}, {"a": [None]}, {"a": math.nan}, {"a": math.inf}, {"a": [-math.inf]}, {1: "a"},
     {"a": {None: 1}}, {"a": 0.5}, {"a": 2**64},
     {"a": "\ud800"}, {"a": Word("b")}, {"a": Record()}, {"a": datetime(2026, 1, 1, tzinfo=UTC)},
     {"a": b"c"}],
)  # fmt: skip
def test_nothing_is_told_where_the_two_may_differ(value: Any) -> None:
    assert quick_bytes(value) is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_bytes({"a": number})


def test_deep_nesting_is_read_and_written_alike() -> None:
    value: Any = []
    for _ in range(300):
        value = [value]
    raw = to_bytes(value)
    assert raw == canonical_bytes(value)
    assert to_tree(raw) == value


def test_everything_works_without_the_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_bytes, "is_quick", False)
    assert to_bytes({"b": [1], "a": None}) == b'{"a":null,"b":[1]}'
    assert to_tree(b'{"a":null,"b":[1]}') == {"a": None, "b": [1]}


def test_documents_of_the_example_take_the_quick_way(catalog_example) -> None:
    from stoa_gitops.catalog.documents.yaml_fast import parse_quickly

    for path in catalog_example.rglob("api.yaml"):
        quick = parse_quickly(path.read_bytes())
        assert quick is not None
        assert quick_bytes(quick.value) == quick.raw == canonical_bytes(quick.value)

"""One form for one meaning."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.model.canonical import (
    Spec,
    canonical_bytes,
    canonical_duration,
    canonical_size,
    duration_ms,
    parse_path,
    secret_paths,
    size_bytes,
    value_at,
    without,
)

trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(st.text(max_size=3), trees, max_size=4)


@given(objects)
def test_a_spec_gives_back_what_it_was_made_of(value: dict[str, Any]) -> None:
    assert Spec.of(value).value == value


@given(objects)
def test_the_order_of_keys_has_no_influence(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))
    assert Spec.of(turned) == Spec.of(value)
    assert hash(Spec.of(turned)) == hash(Spec.of(value))
    assert Spec.of(turned).digest == Spec.of(value).digest


@given(objects, objects)
def test_specs_are_equal_exactly_when_their_digests_are(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert (Spec.of(one) == Spec.of(other)) is (Spec.of(one).digest == Spec.of(other).digest)


def test_changing_a_tree_does_not_change_the_spec() -> None:
    spec = Spec.of({"a": [1]})
    spec.value["a"].append(2)  # type: ignore[union-attr, call-overload, index]
    assert spec.value == {"a": [1]}


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_bytes(float("nan"))


def test_a_repr_is_short() -> None:
    assert len(repr(Spec.of({"a": "x" * 9_999}))) < 100


@given(st.integers(0, 10**12 - 1), st.sampled_from(("ms", "s", "m", "h", "d")))
def test_a_canonical_duration_is_as_long_and_canonical_itself(count: int, unit: str) -> None:
    text = f"{count}{unit}"
    canonical = canonical_duration(text)
    assert duration_ms(canonical) == duration_ms(text)
    assert canonical_duration(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60s", "1m"),
        ("90s", "90s"),
        ("1000ms", "1s"),
        ("0m", "0s"),
        ("24h", "24h"),
        ("2d", "48h"),
        ("999999999999d", "23999999999976h"),
        ("23999999999976h", "23999999999976h"),
    ],
)
def test_a_duration_is_written_in_the_largest_unit_that_divides_it(
    text: str, expected: str
) -> None:
    assert canonical_duration(text) == expected


@pytest.mark.parametrize("text", ["", "5", "-1s", "1.5s", "1 s", "1S", "9" * 21 + "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        duration_ms(text)


@given(
    st.integers(0, 10**12), st.sampled_from(("", "B", "kB", "KB", "MB", "GB", "KiB", "MiB", "GiB"))
)
def test_a_canonical_size_is_as_large_and_canonical_itself(count: int, unit: str) -> None:
    text = f"{count}{unit}"
    canonical = canonical_size(text)
    assert size_bytes(canonical) == size_bytes(text)
    assert canonical_size(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "expected"), [("1024KiB", "1MiB"), ("1000kB", "1MB"), (1024, "1KiB"), ("0MB", "0B")]
)
def test_a_size_is_written_in_the_largest_unit_that_divides_it(text: str, expected: str) -> None:
    assert canonical_size(text) == expected


@pytest.mark.parametrize("text", ["", "ten", "-1", "1.5MB", "1 MB", "1TB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        size_bytes(text)


def test_secret_paths_finds_references_and_nothing_else() -> None:
    tree = {
        "a": [{"key": {"$secret": "env:A"}}, {"key": {"$secret": "env:B", "more": 1}}],
        "b": {"$secret": 5},
        "c": {"$secret": "file:/c"},
    }
    assert list(secret_paths(tree)) == [(("a", 0, "key"), "env:A"), (("c",), "file:/c")]


@pytest.mark.parametrize(
    ("dotted", "left"),
    [
        ("a.b", {"a": {"0": "zero", "c": [1, 2]}}),
        ("a.c.0", {"a": {"0": "zero", "b": 1, "c": [None, 2]}}),
        ("a.c.2", {"a": {"0": "zero", "b": 1, "c": [1, 2]}}),
        ("a.0", {"a": {"b": 1, "c": [1, 2]}}),
        ("a.b.x", {"a": {"0": "zero", "b": 1, "c": [1, 2]}}),
        ("x.y", {"a": {"0": "zero", "b": 1, "c": [1, 2]}}),
    ],
)
def test_fields_are_left_out_by_their_path_and_the_tree_stays(dotted: str, left: Any) -> None:
    tree = {"a": {"0": "zero", "b": 1, "c": [1, 2]}}
    assert without(tree, [dotted]) == left
    assert tree == {"a": {"0": "zero", "b": 1, "c": [1, 2]}}


def test_a_path_leads_through_mappings_and_lists() -> None:
    assert value_at({"routes": [{"path": "/a"}]}, parse_path("routes.0.path")) == "/a"
    assert value_at({"routes": [{"path": "/a"}]}, parse_path("routes.1.path")) is None
    assert value_at({"0": "zero"}, parse_path("0")) == "zero"

"""Lists kept in little memory read like the lists that they were made of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapter_sdk.packed_list import PackedList

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
lists = st.lists(st.dictionaries(st.text(), json, max_size=4), max_size=6)


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"name": str(number), "spec": {"number": number}} for number in range(count)]


@given(lists)
def test_what_is_packed_is_unpacked(items: list[dict[str, Any]]) -> None:
    packed = PackedList(items)
    assert list(packed) == items
    assert len(packed) == len(items)
    assert list(packed) == items, "a second reading reads the same"


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
def test_every_place_can_be_read(count: int) -> None:
    items, packed = numbered(count), PackedList(numbered(count))
    assert [packed[place] for place in range(count)] == items
    assert packed[:3] == items[:3]
    for place in (count, -count - 1):
        with pytest.raises(IndexError):
            packed[place]
    if count:
        assert packed[-1] == items[-1]


def test_what_a_reader_changes_is_the_readers() -> None:
    packed = PackedList(numbered(2))
    next(iter(packed))["name"] = "other"
    assert packed[0]["name"] == "0"

"""Ids in parts behave as one sorted list that is copied before each change."""

from __future__ import annotations

from bisect import insort

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.admin import sorted_ids
from stoa_proxy.admin.sorted_ids import SortedIds


@given(st.lists(st.integers(0, 60).map(str), max_size=80))
def test_ids_are_sorted_and_a_copy_keeps_those_of_its_time(edits: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_ids, "_MOST", 4)
        ids, expected = SortedIds(), list[str]()
        for item_id in edits:
            copy, before, listed = ids.copy(), expected.copy(), iter(ids)
            if item_id in expected:
                ids.remove(item_id)
                expected.remove(item_id)
            else:
                ids.add(item_id)
                insort(expected, item_id)
            assert list(ids) == expected
            assert list(copy) == list(listed) == before
            assert all(0 < len(part) <= 4 for part in ids.parts())


def test_what_is_not_there_cannot_be_removed() -> None:
    ids = SortedIds()
    with pytest.raises(KeyError):
        ids.remove("a")
    ids.add("b")
    for missing in ("a", "c"):
        with pytest.raises(KeyError):
            ids.remove(missing)
    assert list(ids) == ["b"]


def test_a_change_makes_little_anew_however_many_ids_there_are() -> None:
    ids = SortedIds()
    for number in range(30_000):
        ids.add(f"r{number:05}")
    other = ids.copy()
    other.add("r15000a")
    before = {id(part) for part in ids.parts()}
    made = [part for part in other.parts() if id(part) not in before]
    assert sum(map(len, made)) <= sorted_ids._MOST + 1
    assert len(before) < 30_000 / sorted_ids._MOST + 2, "parts that grew in order are full"

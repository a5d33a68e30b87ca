"""A mapping that is never edited behaves as a dict that is copied before each edit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core import persistent_map
from stoa_proxy.core.persistent_map import PersistentMap, edit_item

KEYS = st.integers(0, 200).map(str)
EDITS = st.lists(st.tuples(KEYS, st.none() | st.integers()), max_size=60)


@given(EDITS)
def test_every_state_stays_what_it_was_whatever_is_derived_from_it(
    edits: list[tuple[str, int | None]],
) -> None:
    check_edits(edits)


@given(EDITS)
def test_parts_that_have_parts_behave_alike(edits: list[tuple[str, int | None]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(persistent_map, "_MOST", 1)
        check_edits(edits)


def test_what_a_write_makes_anew_is_small_however_many_items_there_are() -> None:
    many = PersistentMap.from_items({str(number): number for number in range(40_000)})
    written = many.with_item("new", 1)
    assert (len(many), len(written)) == (40_000, 40_001)
    assert sum(map(len, _made_anew(many, written))) <= 3 * persistent_map.PARTS
    left = written
    for number in range(40_000):
        left = left.without(str(number))
    assert dict(left) == {"new": 1}
    assert not any(isinstance(part, PersistentMap) for part in left.parts)


def _made_anew(old: Mapping[str, int], new: Mapping[str, int]) -> Iterator[Collection[object]]:
    """Containers of the one that the other does not have."""
    if not isinstance(new, PersistentMap):
        yield new
        return
    assert isinstance(old, PersistentMap)
    yield new.parts
    for before, part in zip(old.parts, new.parts, strict=True):
        if part is not before:
            yield from _made_anew(before, part)


def check_edits(edits: list[tuple[str, int | None]]) -> None:
    current, model = PersistentMap[int](), dict[str, int]()
    states = [(current, model)]
    for key, value in edits:
        if value is not None:
            current, model = current.with_item(key, value), {**model, key: value}
        elif key in model:
            current = current.without(key)
            model = {name: known for name, known in model.items() if name != key}
        else:
            with pytest.raises(KeyError):
                current.without(key)
        states.append((current, model))
    for found, expected in states:
        assert dict(found) == expected
        assert found == PersistentMap.from_items(expected)
        assert len(found) == len(expected)


@given(st.dictionaries(KEYS, st.integers()), KEYS)
def test_a_key_is_looked_up_as_in_a_dict(items: dict[str, int], key: str) -> None:
    found = PersistentMap.from_items(items)
    assert found.get(key) == items.get(key)
    assert found.get(key, "none") == items.get(key, "none")
    assert (key in found) is (key in items)
    if key in items:
        assert found[key] == items[key]
    else:
        with pytest.raises(KeyError):
            found[key]


@given(EDITS, st.integers(0, 20))
def test_edits_are_those_of_a_dict_however_many_items_there_are(
    edits: list[tuple[str, int | None]], few: int
) -> None:
    current: Mapping[str, int] = {}
    model: dict[str, int] = {}
    for key, value in edits:
        before, known = current, dict(current)
        current = edit_item(current, key, value, few)
        assert before == known, "what was there is not touched"
        if value is None:
            model.pop(key, None)
        else:
            model[key] = value
        assert current == model
        assert isinstance(current, PersistentMap) or len(current) <= few

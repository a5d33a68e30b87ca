"""Full collections wait while a table is built, and go on as before whatever happens meanwhile."""

from __future__ import annotations

import gc

import pytest
from stoa_proxy.foundation.collector import set_apart, young_collections_only


def test_young_objects_are_collected_and_old_ones_are_not() -> None:
    before = gc.get_threshold()
    with young_collections_only():
        first, second, third = gc.get_threshold()
        assert first == before[0]
        assert second == third > 100_000
    assert gc.get_threshold() == before


def test_it_goes_on_as_before_when_the_last_of_several_has_ended() -> None:
    before = gc.get_threshold()
    one, other = young_collections_only(), young_collections_only()
    with one:
        other.__enter__()
        meanwhile = gc.get_threshold()
    assert gc.get_threshold() == meanwhile != before
    other.__exit__(None, None, None)
    assert gc.get_threshold() == before


def test_an_error_leaves_nothing_changed() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError), young_collections_only():
        raise KeyError
    assert gc.get_threshold() == before


def test_what_is_set_apart_is_looked_at_no_more() -> None:
    kept = [[number] for number in range(100)]
    before = gc.get_freeze_count()
    try:
        set_apart()
        assert gc.get_freeze_count() >= before + len(kept)
    finally:
        gc.unfreeze()

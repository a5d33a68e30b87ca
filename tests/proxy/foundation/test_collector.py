"""Full collections wait while a table is built, and go on as before whatever happens meanwhile."""

from __future__ import annotations

import gc

import pytest
from stoa_proxy.foundation.collector import set_apart, without_full_collections


def test_young_objects_are_collected_and_old_ones_are_not() -> None:
    before = gc.get_threshold()
    with without_full_collections():
        first, second, third = gc.get_threshold()
        assert (first, second) == before[:2]
        assert third > 100_000
    assert gc.get_threshold() == before


def test_an_error_leaves_nothing_changed() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError), without_full_collections():
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

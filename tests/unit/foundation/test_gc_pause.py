"""The pause of the garbage collector, and what is left to collect after it."""

from __future__ import annotations

import gc
import weakref

import pytest

from stoa_gitops.foundation.gc_pause import gc_paused


class Link:
    """An object that can be part of a cycle."""

    other: object = None


@pytest.fixture(autouse=True)
def collector() -> None:
    gc.unfreeze()  # a command that ran in this process froze what it read
    gc.collect()
    assert gc.isenabled()


def test_what_a_block_made_is_not_scanned_by_the_next_young_collection() -> None:
    with gc_paused():
        assert not gc.isenabled()
        made = [[number] for number in range(100_000)]
    assert gc.isenabled()
    young = sum(len(gc.get_objects(generation)) for generation in (0, 1))
    assert young < 10_000 < len(made)
    assert gc.get_freeze_count() == 0


def test_cycles_that_a_block_left_are_collected() -> None:
    with gc_paused():
        link = Link()
        link.other = link
        ended = weakref.ref(link)
        del link
    assert ended() is not None
    gc.collect()
    assert ended() is None


def test_what_a_command_froze_stays_frozen() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with gc_paused():
            pass
        assert gc.get_freeze_count() >= frozen > 0
    finally:
        gc.unfreeze()


def test_a_block_within_another_ends_nothing() -> None:
    with gc_paused():
        with gc_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()

"""Pauses Python's cyclic garbage collector for work that makes many trees and no cycles."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_lock: Final = threading.Lock()


@contextmanager
def gc_paused() -> Iterator[None]:
    """Disable the collector for the block; nested and concurrent blocks do nothing.

    Scanning the 10,000s of trees that come and go with a catalog takes a third of the time to read
    it. What the block left is old at its end, for the next full collection.
    """
    if not gc.isenabled() or not _lock.acquire(blocking=False):
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        _make_all_old()
        gc.enable()
        _lock.release()


def _make_all_old() -> None:
    """Put all objects into the oldest generation without a look at them.

    They would be one young generation: scanning it holds the interpreter for 20 ms after a file of
    10,000 documents, in which the data plane of the process answers nobody.
    """
    if gc.get_freeze_count() == 0:  # else a command keeps what it froze
        gc.freeze()
        gc.unfreeze()

"""Tunes Python's garbage collector and the C allocator for a process that runs for months."""

from __future__ import annotations

import gc
from typing import Final

from stoa_proxy.foundation.allocator import tune_malloc

_COLLECT_AFTER: Final = (50_000, 10, 10)
"""`gc.set_threshold`: new objects before a collection, and collections between older ones."""


def tune_memory() -> None:
    """Configure both; call it before the first thread starts: glibc arenas are per thread."""
    # A catalog is a million objects that live on; by default the collector scans for every 700
    # new ones.
    gc.set_threshold(*_COLLECT_AFTER)
    tune_malloc()

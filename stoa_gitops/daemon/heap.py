"""The memory of a process that runs for months: what it does not need any more goes back to the system."""

from __future__ import annotations

import ctypes
import gc
import os
from typing import Final

_COLLECT_AFTER: Final = (50_000, 10, 10)
"""New objects before the cycle collector looks at them, and how often it looks at older ones with them."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_MEBIBYTE: Final = 1 << 20


def settle() -> None:
    """Set the collector and the C allocator up; call it before the first thread starts."""
    # A catalog is a million objects that live on; by default the collector goes over them for every 700 new ones.
    gc.set_threshold(*_COLLECT_AFTER)
    if not any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        _set_allocator_up()


def _set_allocator_up() -> None:
    """Give glibc one heap instead of eight for each core, and thresholds that do not grow; others have no `mallopt`.

    A list of 30,000 objects is parsed on a thread, and what that takes stays with the thread's own heap otherwise.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_THRESHOLD, _MEBIBYTE)
    mallopt(_M_TRIM_THRESHOLD, _MEBIBYTE)

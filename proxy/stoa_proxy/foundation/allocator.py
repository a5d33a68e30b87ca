"""The C allocator of a process that serves: what it does not need any more goes back to the system, and not sooner."""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_MEBIBYTE = 1 << 20


def settle() -> None:
    """Give glibc one heap instead of eight for each core, and thresholds that do not move; others have no `mallopt`.

    What a long list takes that a thread parses would stay with the thread's own heap. And small reads
    would let the top of the heap be given back and asked for again with every request, a fifth of its time.
    Whoever sets `MALLOC_*` or `GLIBC_TUNABLES` decides instead. Call it before the first thread starts.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_THRESHOLD, _MEBIBYTE)
    mallopt(_M_TRIM_THRESHOLD, _MEBIBYTE)

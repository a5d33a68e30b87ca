"""Tunes garbage collector, C allocator and threads for a process that runs for months."""

from __future__ import annotations

import gc
import sys
from typing import Final

from stoa_proxy.foundation.allocator import tune_malloc

_COLLECT_AFTER: Final = (5_000, 4, 200)
"""`gc.set_threshold`: new objects before a collection, and collections between older ones."""

_TURN: Final = 0.001
"""Seconds that a busy thread keeps the interpreter while another wants it; Python's own are 0.005.

A request needs it some six times, and would wait for as many turns of a thread that reads.
"""


def tune_memory() -> None:
    """Configure them; call it before the first thread starts: glibc arenas are per thread."""
    # A catalog is a million objects that live on; by default the collector scans for every 700
    # new ones. A scan holds the interpreter, and so the data plane: it sees 25,000 objects at most
    # here, in 4 ms; with fewer and larger scans it was 500,000, in 160.
    gc.set_threshold(*_COLLECT_AFTER)
    tune_malloc()
    sys.setswitchinterval(_TURN)

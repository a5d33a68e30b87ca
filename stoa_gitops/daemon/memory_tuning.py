"""The memory of a process that runs for months."""

from __future__ import annotations

import gc
from typing import Final

from stoa_proxy.foundation import allocator as heap

_COLLECT_AFTER: Final = (50_000, 10, 10)
"""New objects before the cycle collector looks at them, and how often it looks at older ones with them."""


def tune_memory() -> None:
    """Set the collector and the C allocator up; call it before the first thread starts."""
    # A catalog is a million objects that live on; by default the collector goes over them for every 700 new ones.
    gc.set_threshold(*_COLLECT_AFTER)
    heap.settle()

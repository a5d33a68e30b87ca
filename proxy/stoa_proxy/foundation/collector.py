"""Keeps Python's garbage collections away from a large table, while it is built and after."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEVER = 1_000_000
# Thresholds of before, while somebody wants young objects alone to be collected; how many do.
_usual = gc.get_threshold()
_builds = 0


@contextmanager
def young_collections_only() -> Iterator[None]:
    """Collect only objects that came since the last collection, until the last such block ends.

    A full collection looks at every object: 0.11 s in one go with 10,000 APIs, and building a table
    of them caused several. Of 100,000, one of the middle generation took up to 40 ms.
    """
    global _builds, _usual  # noqa: PLW0603 - as there is one collector
    if not _builds:
        _usual = gc.get_threshold()
        gc.set_threshold(_usual[0], _NEVER, _NEVER)
    _builds += 1
    try:
        yield
    finally:
        _builds -= 1
        if not _builds:
            gc.set_threshold(*_usual)


def set_apart() -> None:
    """Leave all objects that are there now out of later collections.

    They are still freed when nobody refers to them, but for garbage in cycles: call it for large
    changes only.
    """
    gc.freeze()

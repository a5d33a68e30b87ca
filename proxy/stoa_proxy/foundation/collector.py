"""Keeps Python's full garbage collections away from a large table, while it is built and after."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_full_collections() -> Iterator[None]:
    """Collect young objects only meanwhile.

    A full collection looks at every object: 0.11 s in one go with 10,000 APIs, and building a table
    of them caused several.
    """
    first, second, third = gc.get_threshold()
    gc.set_threshold(first, second, 1_000_000)
    try:
        yield
    finally:
        gc.set_threshold(first, second, third)


def set_apart() -> None:
    """Leave all objects that are there now out of later collections.

    They are still freed when nobody refers to them, but for garbage in cycles: call it for large
    changes only.
    """
    gc.freeze()

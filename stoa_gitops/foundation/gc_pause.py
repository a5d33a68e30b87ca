"""Python's cycle collector, kept away from work that makes 10,000s of trees and no cycle."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_turn: Final = threading.Lock()


@contextmanager
def gc_paused() -> Iterator[None]:
    """Keep the cycle collector from looking at trees that come and go: that takes a third of the time.

    One piece of work at a time does this, and for as long as it takes.
    """
    if not gc.isenabled() or not _turn.acquire(blocking=False):
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        _turn.release()

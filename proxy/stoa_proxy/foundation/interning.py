"""Equal values kept once: the routes of a gateway have few sets of methods, hosts and plans."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import TypeVar, cast

_MOST = 1024
T = TypeVar("T", bound=Hashable)


def interned(value: T) -> T:
    """An immutable value that equals this one: the one that was seen first, while it is remembered.

    Only the values that were asked for last are remembered, so no history piles up. For texts
    there is `sys.intern`, which remembers those that are in use.
    """
    return cast(T, _first(value))


@lru_cache(maxsize=_MOST, typed=True)
def _first(value: Hashable) -> Hashable:
    return value

"""Interning of equal values: 10,000 routes have few different sets of methods, hosts and plans."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import TypeVar, cast

# Enough for all different values of common catalogs, and no history of old ones.
_MOST = 1024
T = TypeVar("T", bound=Hashable)


def interned(value: T) -> T:
    """Return the first value that equalled this immutable one, while it is remembered.

    Only the 1,024 values that were asked for last are remembered. For strings there is
    `sys.intern`, which remembers those that are in use.
    """
    return cast(T, _first(value))


# Typed: 1, 1.0 and True are equal and not the same in JSON.
@lru_cache(maxsize=_MOST, typed=True)
def _first(value: Hashable) -> Hashable:
    return value

"""Makes frozen sets of which all empty ones are one object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

T = TypeVar("T")

_EMPTY: Final[frozenset[Any]] = frozenset()


def frozen(items: Iterable[T]) -> frozenset[T]:
    """Return a frozen set of items.

    Since Python 3.10 each empty one is an object of 216 bytes, and what is kept of a thousand
    gateways has many.
    """
    return frozenset(items) or _EMPTY

"""What was made of response bodies, shared by gateways that answer with the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from typing import Any
from weakref import WeakValueDictionary


class BodyMemo:
    """Values by what they were made for, and of which body; one that nobody holds is dropped.

    Whoever shares a memo makes equal values of equal bodies under one `purpose`.
    """

    def __init__(self) -> None:
        self._values: WeakValueDictionary[tuple[Hashable, bytes], Any] = WeakValueDictionary()

    def find(self, purpose: Hashable, body: bytes) -> Any:
        """Return the value that was made of this body; None where none is held."""
        return self._values.get((purpose, _digest(body)))

    def add(self, purpose: Hashable, body: bytes, value: Any) -> None:
        """Share a value, which can be referenced weakly and is never changed."""
        self._values[purpose, _digest(body)] = value


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()

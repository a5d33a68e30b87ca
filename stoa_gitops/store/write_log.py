"""Which records this connection wrote lately, so that 30,000 need not be read again for the sake of one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from stoa_gitops.model.keys import Key
from stoa_gitops.store.records import Scope

LENGTH: Final = 1000
"""Writes that are remembered; who asks for older ones reads everything."""


class WriteLog:
    """Writes by number (changes of this connection so far), oldest first; None for keys that nobody counted."""

    def __init__(self) -> None:
        self._writes: deque[tuple[int, Scope, frozenset[Key] | None]] = deque()
        self._floor = 0

    def add(self, number: int, scope: Scope, keys: Iterable[Key] | None) -> None:
        """Note a write that was committed."""
        self._writes.append((number, scope, None if keys is None else frozenset(keys)))
        if len(self._writes) > LENGTH:
            self._floor, _, _ = self._writes.popleft()

    def since(self, number: int, scope: Scope) -> frozenset[Key] | None:
        """Return the keys that were written in a scope after a number; None where that is not known."""
        if number < self._floor:
            return None
        found: set[Key] = set()
        for written, where, keys in reversed(self._writes):
            if written <= number:
                break
            if (where.owner, where.gateway) != (scope.owner, scope.gateway):
                continue
            if keys is None:
                return None
            found |= keys if where == scope else set()
        return frozenset(found)

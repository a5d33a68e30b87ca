"""Which keys this connection wrote lately, so that one change does not reload 30,000 records."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from stoa_gitops.model.keys import Key
from stoa_gitops.store.records import Scope

LENGTH: Final = 1000
"""Writes that are remembered; a reader with an older version reloads everything."""


class WriteLog:
    """Writes by number (changes of this connection so far), oldest first.

    The keys are None for a write that touched an unknown set of them.
    """

    def __init__(self) -> None:
        self._writes: deque[tuple[int, Scope, frozenset[Key] | None]] = deque()
        self._floor = 0

    def add(self, number: int, scope: Scope, keys: Iterable[Key] | None) -> None:
        """Append a write that was committed."""
        self._writes.append((number, scope, None if keys is None else frozenset(keys)))
        if len(self._writes) > LENGTH:
            self._floor, _, _ = self._writes.popleft()

    def keys_since(self, number: int, scope: Scope) -> frozenset[Key] | None:
        """Return the keys written in a scope after a number; None where that is not known."""
        if number < self._floor:
            return None
        keys_found: set[Key] = set()
        for written, written_scope, keys in reversed(self._writes):
            if written <= number:
                break
            if (written_scope.owner, written_scope.gateway) != (scope.owner, scope.gateway):
                continue
            if keys is None:
                return None
            keys_found |= keys if written_scope == scope else set()
        return frozenset(keys_found)

"""Keeps writes apart that Gravitee must not get at the same time.

Two first writes of one API give a 500, and two of APIs with one path are both accepted (contract
gravitee.md R.1 rows 14, 15).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager


class PathGate:
    """Lets one writer at a time at paths that overlap, and at one name."""

    def __init__(self) -> None:
        self._condition = asyncio.Condition()
        self._names: set[str] = set()
        self._paths: dict[str, tuple[str, ...]] = {}

    @asynccontextmanager
    async def name(self, name: str) -> AsyncIterator[None]:
        """Hold the only right to write the object of this name."""
        async with self._condition:
            await self._condition.wait_for(lambda: name not in self._names)
            self._names.add(name)
        try:
            yield
        finally:
            await self._release(lambda: self._names.discard(name))

    @asynccontextmanager
    async def paths(self, name: str, paths: Iterable[str]) -> AsyncIterator[None]:
        """Hold the only right to these paths, and to all above and below them."""
        wanted = tuple(f"{path.rstrip('/')}/" for path in paths)
        async with self._condition:
            await self._condition.wait_for(lambda: not self._is_taken(wanted))
            self._paths[name] = wanted
        try:
            yield
        finally:
            await self._release(lambda: self._paths.pop(name, None))

    async def _release(self, give_up: object) -> None:
        # Shielded: a cancelled writer must not keep others out.
        await asyncio.shield(self._give_up(give_up))

    async def _give_up(self, give_up: object) -> None:
        async with self._condition:
            assert callable(give_up)
            give_up()
            self._condition.notify_all()

    def _is_taken(self, wanted: Collection[str]) -> bool:
        return any(
            one.startswith(other) or other.startswith(one)
            for held in self._paths.values()
            for other in held
            for one in wanted
        )

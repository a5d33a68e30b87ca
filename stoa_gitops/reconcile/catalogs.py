"""The catalog as the process knows it: read when its source says so, the last good one kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from stoa_gitops.catalog import Reader, Source
from stoa_gitops.errors import CatalogError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.reconcile.backoff import Backoff

log = logging.getLogger(__name__)

SOON = 1.0
"""Seconds after the start at which the catalog is read again: by then its changes are watched."""


@dataclass
class CatalogKeeper:
    """Reads on a thread of its own and hands each reading to `publish`.

    A catalog that cannot be read at all leaves the last one in force; `unreadable` then says why.
    """

    source: Source
    reader: Reader
    publish: Callable[[Catalog], None]
    poll: float = 30.0
    interval: float = 60.0
    catalog: Catalog | None = None
    unreadable: str | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def load(self) -> Catalog:
        """Read once; raises CatalogError when there is nothing to read."""
        async with self._turn:
            catalog = await asyncio.to_thread(self._read)
        self.unreadable = None
        if catalog != self.catalog:
            self.catalog = catalog
            self.publish(catalog)
        return catalog

    async def watch(self, stop: asyncio.Event) -> None:
        """Read again whenever something may have changed, until `stop` is set.

        Events can be lost: between the first reading and the moment at which the system watches, on network
        file systems, in a flood. So there is a look soon after the start and one each `interval`, which cost
        little, because what has not changed is not read again.
        """
        looking = asyncio.create_task(self._look_regularly(stop))
        try:
            await self._follow(stop)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _look_regularly(self, stop: asyncio.Event) -> None:
        await _pause(stop, SOON)
        while not stop.is_set():
            await self._reload("a regular look")
            await _pause(stop, self.interval)

    async def _follow(self, stop: asyncio.Event) -> None:
        backoff = Backoff()
        while not stop.is_set():
            try:
                async for why in self.source.changes(stop, poll=self.poll):
                    await self._reload(why)
                    backoff.reset()
            except CatalogError as error:
                self._note(error)
            if not stop.is_set():
                await _pause(stop, backoff.next())

    async def _reload(self, why: str) -> None:
        try:
            await self.load()
        except CatalogError as error:
            self._note(error)
        else:
            log.debug("catalog read again: %s", why)

    def _note(self, error: CatalogError) -> None:
        self.unreadable = str(error)
        log.warning("the catalog cannot be read, the last good one stays in force: %s", error)

    def _read(self) -> Catalog:
        return self.reader.read(self.source.snapshot())


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return

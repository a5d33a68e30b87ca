"""The catalog as the process knows it: read when its source says so, the last good one kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from stoa_gitops.catalog import Reader, Source, Tree
from stoa_gitops.errors import CatalogError, StoaGitopsError, message_of
from stoa_gitops.foundation.backoff import Backoff
from stoa_gitops.foundation.daemon_thread import on_a_thread
from stoa_gitops.model.catalog import Catalog

log = logging.getLogger(__name__)

SOON = 1.0
"""Seconds after the start at which the catalog is read again: by then its changes are watched."""


@dataclass
class CatalogWatcher:
    """Reads on a thread of its own and hands each reading that says something new to `publish`.

    A catalog that cannot be read at all leaves the last one in force; `unreadable` then says why, and `failed`
    is told. `complete` puts in what stands in for what is broken. Times are in seconds.
    """

    source: Source
    reader: Reader
    publish: Callable[[Catalog], None]
    poll: float = 30.0
    interval: float = 60.0
    failed: Callable[[StoaGitopsError], None] = lambda _: None
    complete: Callable[[Catalog], Catalog] = lambda catalog: catalog
    catalog: Catalog | None = None
    unreadable: str | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _last: tuple[Tree, Catalog] | None = None
    _hashed: tuple[Tree, str] | None = None
    _trouble: asyncio.Event = field(default_factory=asyncio.Event)

    def content(self) -> str:
        """Return a short hash of the files of the last reading, empty before the first."""
        tree = self._last[0] if self._last else None
        if tree is not None and (self._hashed is None or self._hashed[0] is not tree):
            self._hashed = tree, tree.content_hash()
        return self._hashed[1] if self._hashed else ""

    async def load(self) -> Catalog:
        """Read once; raises CatalogError when there is nothing to read.

        What is raised while a reading is published leaves the one before in force, so that the next try
        publishes it again.
        """
        async with self._turn:
            try:
                read = await on_a_thread(self._read)
            except CatalogError as error:
                self.unreadable = str(error)
                self.failed(error)
                raise
        catalog = self.complete(read)
        if catalog != self.catalog or self.unreadable is not None:
            self.publish(catalog)
            self.catalog = catalog
        self.unreadable = None
        return catalog

    def stand_in(self, catalog: Catalog) -> None:
        """Take a catalog made from what was applied last, until there is one to read."""
        self.publish(catalog)
        self.catalog = catalog

    async def watch(self, stop: asyncio.Event) -> None:
        """Read again whenever something may have changed, until `stop` is set.

        Events can be lost: between the first reading and the moment at which the system watches, on network
        file systems, in a flood. So there is a look soon after the start and one each `interval`, which cost
        little, because what has not changed is not read again.
        """
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look_regularly(stop))
            await self._follow(stop)
            looking.cancel()

    async def reload(self, why: str) -> bool:
        """Read again and return whether that went well; what goes wrong is logged, and tried again soon."""
        before = self.unreadable
        try:
            await self.load()
        except CatalogError as error:
            self._trouble.set()
            if before != str(error):  # said once, and kept as a condition
                self._note(error)
            return False
        except Exception as error:
            self._trouble.set()
            self.unreadable = message_of(error)
            self.failed(StoaGitopsError(self.unreadable))
            log.exception("unexpected error while reading the catalog; it will be retried")
            return False
        self._trouble.clear()
        log.debug("catalog read again: %s", why)
        return True

    async def _look_regularly(self, stop: asyncio.Event) -> None:
        """Look each `interval`, and sooner after every reading that failed, whoever asked for it."""
        backoff = Backoff(most=self.interval)
        await _pause(SOON, stop)
        while not stop.is_set():
            if await self.reload("a regular look"):
                backoff.reset()
                await _pause(self.interval, stop, self._trouble)
            if self._trouble.is_set():
                await _pause(backoff.next(), stop)

    async def _follow(self, stop: asyncio.Event) -> None:
        backoff = Backoff()
        while not stop.is_set():
            try:
                async for why in self.source.changes(stop, poll=self.poll):
                    if await self.reload(why):
                        backoff.reset()
            except CatalogError as error:
                self._note(error)
            except Exception:
                log.exception("unexpected error while watching the catalog; it restarts")
            if not stop.is_set():
                await _pause(backoff.next(), stop)

    def _note(self, error: CatalogError) -> None:
        log.warning("the catalog cannot be read, the last good one stays in force: %s", error)

    def _read(self) -> Catalog:
        """Read, unless nothing has moved since the last time."""
        tree = self.source.snapshot()
        if self._last is not None and _is_same(self._last[0], tree):
            return self._last[1]
        catalog = self.reader.read(tree)
        self._last = (tree, catalog)
        return catalog


def _is_same(one: Tree, other: Tree) -> bool:
    return (
        (one.revision, one.commit, one.prefix) == (other.revision, other.commit, other.prefix)
        and one.problems == other.problems
        and one.files == other.files
    )


async def _pause(seconds: float, *events: asyncio.Event) -> None:
    """Wait so long, or until one of the events is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()

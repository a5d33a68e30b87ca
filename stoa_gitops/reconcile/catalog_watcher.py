"""Watches one catalog: reads it when its source reports changes, and keeps the last good one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from stoa_gitops.catalog import Reader, Source, Tree
from stoa_gitops.errors import CatalogError, StoaGitopsError, message_of
from stoa_gitops.foundation.backoff import Backoff
from stoa_gitops.foundation.daemon_thread import on_a_thread
from stoa_gitops.model.catalog import Catalog

log = logging.getLogger(__name__)

# Seconds after the start at which the catalog is read again: what changed between the first reading
# and the moment at which the system began to watch is found then.
SOON = 1.0

SLOWEST_WALK = 60.0
QUICKEST_WALK = 1.0
"""Most and fewest seconds between two looks at the whole catalog: each finds what no event told."""


def walk_interval(asked: float | None, of_gateways: Iterable[float]) -> float:
    """Return the seconds between two looks: those asked for, or the shortest of the gateways."""
    shortest = min(of_gateways, default=SLOWEST_WALK)
    return max(QUICKEST_WALK, min(SLOWEST_WALK, shortest if asked is None else asked))


@dataclass
class CatalogWatcher:
    """Reads on a thread of its own and passes each reading that differs to `publish`.

    A catalog that cannot be read at all leaves the last one in force.

    poll        seconds between requests to a remote repository
    interval    seconds between readings without any event
    failed      called with the error when the catalog cannot be read
    complete    replaces broken parts of a reading by the last known good ones
    unreadable  why the last reading failed; None where it succeeded
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
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _last: tuple[Tree, Catalog] | None = None
    _hashed: tuple[Tree, str] | None = None
    _has_failed: asyncio.Event = field(default_factory=asyncio.Event)

    def content(self) -> str:
        """Return a short hash of the files of the last reading, empty before the first."""
        tree = self._last[0] if self._last else None
        if tree is not None and (self._hashed is None or self._hashed[0] is not tree):
            self._hashed = tree, tree.content_hash()
        return self._hashed[1] if self._hashed else ""

    async def load(self) -> Catalog:
        """Read once; raises CatalogError when there is nothing to read.

        When `publish` raises, the catalog before stays in force, so that the next try publishes
        again.
        """
        # One reading at a time: two of them would publish in any order.
        async with self._lock:
            try:
                read = await on_a_thread(self._read)
            except CatalogError as error:
                self.unreadable = str(error)
                self.failed(error)
                raise
        catalog = self.complete(read)
        # Also after a failure: its condition has to be replaced.
        if catalog != self.catalog or self.unreadable is not None:
            self.publish(catalog)
            self.catalog = catalog
        self.unreadable = None
        return catalog

    def use_fallback(self, catalog: Catalog) -> None:
        """Use a catalog made from what was applied last, until there is one to read."""
        self.publish(catalog)
        self.catalog = catalog

    async def watch(self, stop: asyncio.Event) -> None:
        """Read again whenever something may have changed, until `stop` is set.

        Events can be lost: before the system watches, on network file systems, in a flood of them.
        So the catalog is also read soon after the start and at each `interval`; unchanged files are
        not read again.
        """
        async with asyncio.TaskGroup() as group:
            periodic = group.create_task(self._read_periodically(stop))
            await self._follow(stop)
            periodic.cancel()

    async def reload(self, why: str) -> bool:
        """Read again and return whether that succeeded; failures are logged and tried again."""
        before = self.unreadable
        try:
            await self.load()
        except CatalogError as error:
            self._has_failed.set()
            if before != str(error):  # logged once; the condition keeps it
                self._log_unreadable(error)
            return False
        except Exception as error:
            self._has_failed.set()
            self.unreadable = message_of(error)
            self.failed(StoaGitopsError(self.unreadable))
            log.exception("unexpected error while reading the catalog; it will be retried")
            return False
        self._has_failed.clear()
        log.debug("catalog read again: %s", why)
        return True

    async def _read_periodically(self, stop: asyncio.Event) -> None:
        """Read at each `interval`, and sooner after a reading that failed, whoever asked for it."""
        backoff = Backoff(most=self.interval)
        await _pause(SOON, stop)
        while not stop.is_set():
            if await self.reload("interval"):
                backoff.reset()
                await _pause(self.interval, stop, self._has_failed)
            if self._has_failed.is_set():
                await _pause(backoff.next(), stop)

    async def _follow(self, stop: asyncio.Event) -> None:
        backoff = Backoff()
        while not stop.is_set():
            try:
                async for why in self.source.changes(stop, poll=self.poll):
                    if await self.reload(why):
                        backoff.reset()
            except CatalogError as error:
                self._log_unreadable(error)
            except Exception:
                log.exception("unexpected error while watching the catalog; it restarts")
            if not stop.is_set():
                await _pause(backoff.next(), stop)

    def _log_unreadable(self, error: CatalogError) -> None:
        log.warning("the catalog cannot be read, the last good one stays in force: %s", error)

    def _read(self) -> Catalog:
        """Read, unless the tree is the one of the last time."""
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
        and one.links == other.links
    )


async def _pause(seconds: float, *events: asyncio.Event) -> None:
    """Wait this long, or until one of the events is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()

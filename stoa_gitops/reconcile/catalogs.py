"""The catalog as the process knows it: read when its source says so, the last good one kept."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from stoa_gitops.catalog import Reader, Source, Tree
from stoa_gitops.errors import CatalogError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.reconcile.backoff import Backoff

log = logging.getLogger(__name__)

SOON = 1.0
"""Seconds after the start at which the catalog is read again: by then its changes are watched."""


@dataclass
class CatalogKeeper:
    """Reads on a thread of its own and hands each reading that says something new to `publish`.

    A catalog that cannot be read at all leaves the last one in force; `unreadable` then says why, and `failed`
    is told. `complete` puts in what stands in for what is broken. Times are in seconds.
    """

    source: Source
    reader: Reader
    publish: Callable[[Catalog], None]
    poll: float = 30.0
    interval: float = 60.0
    failed: Callable[[CatalogError], None] = lambda _: None
    complete: Callable[[Catalog], Catalog] = lambda catalog: catalog
    catalog: Catalog | None = None
    unreadable: str | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _last: tuple[Tree, Catalog] | None = None

    async def load(self) -> Catalog:
        """Read once; raises CatalogError when there is nothing to read."""
        async with self._turn:
            try:
                read = await on_a_thread(self._read)
            except CatalogError as error:
                self.unreadable = str(error)
                self.failed(error)
                raise
        catalog = self.complete(read)
        was_unreadable, self.unreadable = self.unreadable is not None, None
        if catalog != self.catalog or was_unreadable:
            self.catalog = catalog
            self.publish(catalog)
        return catalog

    def stand_in(self, catalog: Catalog) -> None:
        """Take a catalog made from what was applied last, until there is one to read."""
        self.catalog = catalog
        self.publish(catalog)

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
        backoff = Backoff(most=self.interval)
        await _pause(stop, SOON)
        while not stop.is_set():
            await self._reload("a regular look")
            if self.unreadable is None:
                backoff.reset()
            await _pause(stop, self.interval if self.unreadable is None else backoff.next())

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
        before = self.unreadable
        try:
            await self.load()
        except CatalogError as error:
            if before != str(error):  # said once, and kept as a condition
                self._note(error)
        else:
            log.debug("catalog read again: %s", why)

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


async def on_a_thread(read: Callable[[], Catalog]) -> Catalog:
    """Run a reading on a thread that does not keep the process from ending.

    A fetch from a server that hangs may take minutes; the threads of `asyncio.to_thread` are waited for.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Catalog] = loop.create_future()

    def finish(result: Catalog | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        elif result is not None:
            done.set_result(result)

    def work() -> None:
        result, failure = None, None
        try:
            result = read()
        except BaseException as error:  # noqa: BLE001 - handed over to the loop
            failure = error
        try:
            loop.call_soon_threadsafe(finish, result, failure)
        except RuntimeError:
            return  # the loop has ended: nobody waits any more

    threading.Thread(target=work, name="catalog", daemon=True).start()
    return await done


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return

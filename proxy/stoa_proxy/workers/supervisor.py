"""The engine of a gateway that several processes serve: it starts them and keeps them equal."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from stoa_proxy.admin.store import Store
from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.policy import Services
from stoa_proxy.core.problems import problem
from stoa_proxy.engines.base import Engine
from stoa_proxy.engines.complete.listener import bind
from stoa_proxy.errors import ListenFailed, ServiceFailed, WorkerGone
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.descriptors import max_connections
from stoa_proxy.pipeline.decide import Pipeline
from stoa_proxy.workers.channel import Channel, Message
from stoa_proxy.workers.link import WorkerLink
from stoa_proxy.workers.links import WorkerLinks, list_workers
from stoa_proxy.workers.paths import CommonPaths, response_values
from stoa_proxy.workers.process import WorkerProcess
from stoa_proxy.workers.restarts import Restarts
from stoa_proxy.workers.shared_state import SharedState, WorkerSettings

_log = logging.getLogger("stoa_proxy.workers")

BEAT_SECONDS: Final = 1.0
"""Between two reports of a worker."""

MISSED_BEATS: Final = 30
"""After so many that did not come a worker counts as hung, and is killed."""

# Beside the time for requests: what is closed and written then.
_END_SECONDS: Final = 10.0


class WorkersEngine(Engine):
    """Listens by `config.workers` processes, each of which runs an engine of its own.

    One that ends is started again, and so is one that says nothing for `missed_beats` seconds.
    """

    serves_here = False

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        own_paths: CommonPaths,
        config: ProxyConfig,
        clock: Clock,
        *,
        shared: SharedState,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        missed_beats: int = MISSED_BEATS,
    ) -> None:
        self._pipeline = pipeline
        self._own_paths = own_paths
        self._config = config
        max_connections(config.max_connections)  # said here, and not by each worker
        self._clock = clock
        self._shared = shared
        self._pause = pause
        self._missed_beats = missed_beats
        self._links = WorkerLinks(pipeline, store)
        self._restarts = {number: Restarts(jitter) for number in range(1, config.workers + 1)}
        self._port = 0
        self._reserved: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._relays: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self.on_drained = _do_nothing
        own_paths.spread, own_paths.collect = self._links.spread, self._links.collect
        own_paths.settle, own_paths.list_workers = self._links.settle, self._list_workers
        self._add_metrics()

    def _add_metrics(self) -> None:
        metrics = self._pipeline.metrics
        metrics.add(
            "gauge",
            "stoa_workers",
            "Worker processes that listen.",
            lambda: len(self._links.listening()),
        )
        metrics.add(
            "counter",
            "stoa_worker_restarts_total",
            "How often a worker process was started again.",
            lambda: sum(one.total for one in self._restarts.values()),
        )

    async def start(self, host: str, port: int) -> int:
        """Start all workers; return the port on which they listen. Raises ListenFailed."""
        self._stopping = asyncio.Event()
        try:
            # Alone at first: a port that another program has would be shared with it.
            for alone in await bind(host, port):
                alone.close()
            self._reserved = await bind(host, port, shares_port=True)
        except OSError as error:
            reason = error.strerror or "the address cannot be used"
            raise ListenFailed(f"cannot listen on {host}:{port}: {reason}") from None
        self._port = int(self._reserved[0].getsockname()[1])
        loop = asyncio.get_running_loop()
        firsts = []
        for number in self._restarts:
            first: asyncio.Future[None] = loop.create_future()
            firsts.append(first)
            self._tasks.append(loop.create_task(self._keep(number, first)))
        self._tasks.append(loop.create_task(self._watch()))
        try:
            await asyncio.gather(*firsts)
        except BaseException:
            for first in firsts:
                first.cancel()
            await self.stop(0)
            raise
        return self._port

    async def stop(self, drain_seconds: float) -> None:
        """Let all workers finish requests for at most `drain_seconds`, then end them."""
        self._stopping.set()
        links = list(self._links.by_number.values())
        for link in links:
            link.post(Message("drain", {"seconds": drain_seconds}))
        ends = [link.process.ended for link in links]
        if ends:
            await asyncio.wait(ends, timeout=drain_seconds + _END_SECONDS)
        for link in links:
            if not link.process.ended.done():
                _log.warning("a worker does not end and is killed worker=%d", link.number)
                link.process.kill()
        *keepers, watching = self._tasks
        watching.cancel()
        await asyncio.gather(*keepers, watching, return_exceptions=True)
        for relay in self._relays:
            relay.cancel()
        self._tasks = []
        for reserved in self._reserved:
            reserved.close()
        self._reserved = []
        await self.on_drained()

    async def update_guard(self, guard: AddressGuard) -> None:
        """Have all workers connect to backends by these address rules from now on."""
        await self._links.update_guard(guard)

    def services_of(self, tenant: str) -> Services:
        """Return nothing: policies run in workers."""
        raise ServiceFailed("this process serves no requests")

    async def _keep(self, number: int, first: asyncio.Future[None]) -> None:
        """Run a worker, and another one each time that it ends, until the gateway stops."""
        restarts = self._restarts[number]
        while True:
            served = 0.0
            try:
                served = await self._run_one(number, first)
            except Exception as error:  # noqa: BLE001 - the boundary: no bug may end a worker's keeper
                if not first.done():
                    first.set_exception(_as_listen_failed(error))
                    return
                _log.warning("a worker does not start worker=%d: %s", number, error)
            if self._stopping.is_set():
                return
            pause = restarts.note_end(served)
            _log.warning("a worker is started again in %.1f s worker=%d", pause, number)
            await self._rest(pause)
            if self._stopping.is_set():
                return

    async def _rest(self, seconds: float) -> None:
        """Wait so long, or until the gateway stops."""
        ends: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._pause(seconds)),
            asyncio.ensure_future(self._stopping.wait()),
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

    async def _run_one(self, number: int, first: asyncio.Future[None]) -> float:
        """Run one process to its end; return for how many seconds it listened."""
        process = WorkerProcess(self._shared.memory.descriptor)
        try:
            channel = await Channel.open(process.connected)
            link = self._make_link(number, process, channel)
            running = asyncio.get_running_loop().create_task(link.run())
            try:
                return await self._serve(link, running, first)
            finally:
                process.kill()
                status = await process.ended
                # What it said before its end is here, and the last report counted.
                await asyncio.gather(running, return_exceptions=True)
                channel.close()
                self._links.remove(link)
                if not self._stopping.is_set():
                    _log.warning("a worker has ended worker=%d status=%d", number, status)
        finally:
            process.close()

    async def _serve(
        self, link: WorkerLink, running: asyncio.Task[None], first: asyncio.Future[None]
    ) -> float:
        await link.listen(lambda: self._links.changes)
        started = link.listening_since = self._clock.monotonic()
        self._links.checking.join(link)
        if not first.done():
            first.set_result(None)
        await running
        with_seconds = self._clock.monotonic() - started
        # Its end of the channel closes at its end, or when it lost its way.
        await asyncio.wait([link.process.ended], timeout=_END_SECONDS)
        return with_seconds

    def _make_link(self, number: int, process: WorkerProcess, channel: Channel) -> WorkerLink:
        settings = WorkerSettings(
            number,
            WorkerSettings.config_of(self._config, self._port),
            self._shared.secret,
            self._pipeline.via,
            logging.getLogger("stoa_proxy").getEffectiveLevel(),
        )
        links = self._links
        link = WorkerLink(
            settings, process, channel, links.take_report, self._relay, links.checking.relay
        )
        if self._stopping.is_set():
            raise WorkerGone("the gateway stops")
        self._links.add(link)
        return link

    async def _watch(self) -> None:
        """Kill workers that say nothing any more."""
        while True:
            # By beats and not by the clock: a machine or a parent that stood still saw none.
            await self._pause(BEAT_SECONDS)
            for link in list(self._links.by_number.values()):
                link.missed += 1
                if link.missed == self._missed_beats and link.listening_since is not None:
                    _log.warning(
                        "a worker does not respond and is killed worker=%d seconds=%.0f",
                        link.number,
                        link.missed * BEAT_SECONDS,
                    )
                    link.process.kill()

    def _relay(self, link: WorkerLink, message: Message) -> None:
        """Answer a request that a worker has handed over, beside its other messages."""
        task = asyncio.get_running_loop().create_task(self._answer(link, message))
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)

    async def _answer(self, link: WorkerLink, message: Message) -> None:
        try:
            response = await self._own_paths.answer(message)
        except Exception:  # noqa: BLE001 - the boundary where an internal error becomes a response
            _log.exception("unexpected error in an admin request")
            response = problem(500, "Internal server error")
        parts = [response.body]
        for part in response.rest or ():
            await asyncio.sleep(0)
            parts.append(part)
        link.channel.reply(message, response_values(response), b"".join(parts))

    async def _list_workers(self) -> Sequence[Mapping[str, object]]:
        await self._links.collect()
        restarts = {number: one.total for number, one in self._restarts.items()}
        return list_workers(self._links, restarts, self._clock.monotonic)


def _as_listen_failed(error: Exception) -> ListenFailed:
    if isinstance(error, ListenFailed):
        return error
    if isinstance(error, (WorkerGone, TimeoutError)):
        return ListenFailed("a worker ended before it listened; its last lines say why")
    return ListenFailed(f"a worker cannot be started: {error}")


async def _do_nothing() -> None:
    """Wait for nothing."""

"""One worker of a gateway that several processes serve; its parent starts it, nobody else.

It has its table, its settings and all changes of them from the parent over a socket. It ends in
order when told to, by SIGTERM, and when its parent is not there any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from stoa_proxy.admin.replication import changes_of
from stoa_proxy.app import Gateway, WorkerPlace
from stoa_proxy.core.backend_health import BackendHealth, SharedVerdict
from stoa_proxy.core.quotas import QuotaCounters
from stoa_proxy.core.shared_quotas import SharedQuotaCounters
from stoa_proxy.engine_choice import choose_loop
from stoa_proxy.errors import ListenFailed
from stoa_proxy.foundation.address_guard import AddressGuard, parse_networks
from stoa_proxy.foundation.allocator import tune_malloc
from stoa_proxy.foundation.breather import Breather, let_go
from stoa_proxy.foundation.collector import set_apart, young_collections_only
from stoa_proxy.workers.channel import Channel, Message
from stoa_proxy.workers.checking import read_verdicts, verdicts_message
from stoa_proxy.workers.log_relay import RelayHandler
from stoa_proxy.workers.paths import RelayedPaths, read_head, response_values
from stoa_proxy.workers.shared_state import SharedState, WorkerSettings
from stoa_proxy.workers.supervisor import BEAT_SECONDS

_log = logging.getLogger("stoa_proxy.workers")

# Beside the time for requests, when the parent has gone and nobody watches this process.
_END_SECONDS: Final = 15.0
# Changes of one message from which on what they leave is freed a few objects at a time.
_MANY: Final = 100


def main(words: list[str]) -> int:
    """Serve until told to end; `words` are the descriptors of socket, pipe and memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tune_malloc()
    connected = socket.socket(fileno=int(words[0]))
    settings = _read_settings(connected)
    if settings is None:
        return 1
    threading.Thread(
        target=_watch_parent, args=(int(words[1]), settings.config.drain_seconds), daemon=True
    ).start()
    _, loop_factory = choose_loop(settings.config)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_serve(connected, settings, int(words[2])))


def _read_settings(connected: socket.socket) -> WorkerSettings | None:
    """Return the first message; None where the parent is gone already."""
    with connected.dup() as first:
        content = Channel.read_first(first)
    if content is None:
        return None
    # From the parent, over a socket that nobody else ever had.
    settings: WorkerSettings = pickle.loads(content)  # noqa: S301 - see above
    return settings


def _watch_parent(life: int, drain_seconds: float) -> None:
    """End this process for good some time after its parent, whatever its event loop does."""
    os.read(life, 1)
    threading.Event().wait(drain_seconds + _END_SECONDS)
    os._exit(1)


async def _serve(connected: socket.socket, settings: WorkerSettings, memory: int) -> int:
    loop = asyncio.get_running_loop()
    channel = await Channel.open(connected)
    logging.basicConfig(level=logging.INFO, handlers=[RelayHandler(channel, loop)])
    logging.getLogger("stoa_proxy").setLevel(settings.log_level)
    shared = SharedState.join(memory, settings.secret, settings.config.workers)
    worker = Worker(settings, channel, shared)
    loop.add_signal_handler(signal.SIGTERM, worker.end, settings.config.drain_seconds)
    beats = loop.create_task(worker.beat())
    try:
        await channel.run(worker.take)
        # The parent is gone: nobody has to hear of it.
        worker.end(settings.config.drain_seconds)
        await worker.ended
    finally:
        beats.cancel()
    return 0


class Worker:
    """A gateway that is a part of another one."""

    def __init__(self, settings: WorkerSettings, channel: Channel, shared: SharedState) -> None:
        self._channel = channel
        self._make_paths = partial(RelayedPaths, channel=channel)
        place = WorkerPlace(shared, self._make_paths, settings.via)
        self._gateway = Gateway(settings.config, place=place)
        quotas = self._gateway.pipeline.states.of(QuotaCounters)
        assert isinstance(quotas, SharedQuotaCounters), "those of all processes"
        self._quotas = quotas
        self._health = self._gateway.pipeline.states.of(BackendHealth)
        self._health.on_verdict = self._tell_verdict
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_listening = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ending: asyncio.Task[None] | None = None

    async def take(self, message: Message) -> None:
        """Do what the parent says: changes in their order, everything else beside them."""
        try:
            await self._take(message)
        except Exception:
            # This process ends of it: another one begins with the whole table.
            _log.exception("unexpected error in a message of the parent")
            raise

    async def _take(self, message: Message) -> None:
        match message.kind:
            case "change":
                await self._change(message)
            case "listen":
                await self._listen(message)
            case "collect":
                self._send_report()
                self._channel.reply(message, {})
            case "check":
                self._gateway.lead_checks()
            case "verdicts":
                self._health.take_verdicts(read_verdicts(message))
            case "tell verdicts":
                self._channel.send(verdicts_message(self._health.verdicts()))
            case "ask":
                self._begin(self._answer(message))
            case "drain":
                self.end(message.values["seconds"])

    async def beat(self) -> None:
        """Say once a second what was counted, and that this process is well."""
        while True:
            self._send_report()
            await asyncio.sleep(BEAT_SECONDS)

    def end(self, drain_seconds: float) -> None:
        """Begin to end: no more connections, and so long for requests."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end(drain_seconds))

    async def _end(self, drain_seconds: float) -> None:
        try:
            if self._is_listening:
                await self._gateway.stop(drain_seconds)
            self._send_report()
            with contextlib.suppress(Exception):  # the parent may be gone
                await self._channel.drain()
        finally:
            self._channel.close()
            if not self.ended.done():
                self.ended.set_result(None)

    async def _listen(self, message: Message) -> None:
        try:
            await self._gateway.start()
        except ListenFailed as error:
            self._channel.reply(message, {"refused": str(error)})
            return
        self._is_listening = True
        self._channel.reply(message, {})

    async def _change(self, message: Message) -> None:
        """Take changes over as one, and confirm them."""
        networks = message.values["guard"]
        if networks is not None:
            guard = AddressGuard(*(parse_networks(texts) for texts in networks))
            await self._gateway.use_guard(guard)
        lines = message.content.splitlines()
        remains: Iterable[object] = ()
        store, parsers = self._gateway.store, self._gateway.parsers
        if len(lines) == 1:
            store.change(changes_of(json.loads(lines[0]), parsers))
        elif lines:
            with young_collections_only():
                draft, breather = store.copy(), Breather()
                for line in lines:
                    draft.change(changes_of(json.loads(line), parsers))
                    await breather.rest()
                remains = store.adopt(draft, None)
                if len(lines) >= _MANY:
                    set_apart()
        if message.values["number"]:
            self._channel.send(Message("applied", {"number": message.values["number"]}))
        if len(lines) >= _MANY:
            await let_go(remains)

    async def _answer(self, message: Message) -> None:
        paths = self._gateway.own_paths
        assert isinstance(paths, RelayedPaths), "made above"
        response = await paths.answer_here(read_head(message.values), message.content)
        content = response.body + b"".join(response.rest or ())
        self._channel.reply(message, response_values(response), content)

    def _begin(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell_verdict(self, verdict: SharedVerdict) -> None:
        self._channel.send(verdicts_message([verdict]))

    def _send_report(self) -> None:
        """Send what was counted: metrics since the start, the rest since the last report."""
        pipeline = self._gateway.pipeline
        usage, durations = pipeline.usage.take_report()
        values = {
            "metrics": pipeline.metrics.read().as_json(),
            "usage": [[key, one.figures()] for key, one in usage.items()],
            "durations": [[key, one.buckets, one.seconds] for key, one in durations.items()],
            "quotas": self._quotas.take_changed_keys(),
            "snapshots": [] if pipeline.snapshots is None else pipeline.snapshots.kept.take(),
        }
        self._channel.send(Message("report", values))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

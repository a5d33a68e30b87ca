"""Writes access logs to their sinks: the process's own streams, and URLs under the address rules.

Each sink has a task of its own while it has lines, so one that hangs keeps no other waiting.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from stoa_proxy.core.access_logs import STREAMS, AccessLogs, Place
from stoa_proxy.core.policy import Services
from stoa_proxy.errors import ServiceFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.output_thread import OutputThread
from stoa_proxy.foundation.throttled_log import ThrottledLog

_log = logging.getLogger("stoa_proxy.access")

# Lines of so long are sent together, or a batch of them: one request to a URL for each, or one turn
# of a thread, would be a second load.
_GATHER_SECONDS: Final = 0.2
_ATTEMPTS: Final = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
# What is queued when the gateway stops has so long.
_STOP_SECONDS: Final = 2.0
_HEADERS: Final = (("Content-Type", "application/x-ndjson"),)

Pause = Callable[[float], Awaitable[None]]


class AccessLogWriter:
    """Empties the queues of access logs from `start` to `stop`.

    `make_thread` returns what writes to one of the process's own streams.
    """

    def __init__(
        self,
        logs: AccessLogs,
        services_of: Callable[[str], Services],
        clock: Clock,
        *,
        pause: Pause = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        make_thread: Callable[[], OutputThread] = OutputThread,
    ) -> None:
        self._logs = logs
        self._services_of = services_of
        self._pause = pause
        self._jitter = jitter
        self._throttled_log = ThrottledLog(_log, clock)
        self._tasks: dict[Place, asyncio.Task[None]] = {}
        self._pauses: dict[Place, asyncio.Task[None]] = {}
        # One for each, so that one that hangs keeps the other from nothing.
        self._threads = {stream: make_thread() for stream in STREAMS}
        self._is_stopping = False

    def start(self) -> None:
        """Write lines from now on."""
        self._is_stopping = False
        self._logs.on_line, self._logs.on_batch = self._wake, self._hurry
        for place in self._logs.waiting():
            self._wake(place)

    async def stop(self) -> None:
        """Write what is queued, for a bounded time; what is left then is lost."""
        self._is_stopping = True
        self._logs.on_line = self._logs.on_batch = _nothing
        for place in self._pauses:
            self._hurry(place)
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_SECONDS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        for thread in self._threads.values():
            thread.stop()
        for place in self._logs.waiting():
            while lines := self._logs.take(place):
                self._logs.count("lost", len(lines))

    def _wake(self, place: Place) -> None:
        if place not in self._tasks:
            self._tasks[place] = asyncio.get_running_loop().create_task(self._empty(place))

    def _hurry(self, place: Place) -> None:
        """Gather lines of a sink no longer."""
        pause = self._pauses.get(place)
        if pause is not None:
            pause.cancel()

    async def _gather(self, place: Place) -> None:
        """Wait for more lines of a sink, a while or until there is a batch."""
        if self._is_stopping or self._logs.has_batch(place):
            return
        pause = asyncio.ensure_future(self._pause(_GATHER_SECONDS))
        self._pauses[place] = pause
        try:
            await asyncio.wait([pause])
        finally:
            pause.cancel()
            del self._pauses[place]

    async def _empty(self, place: Place) -> None:
        """Write the lines of one sink until there are none."""
        try:
            await self._gather(place)
            while lines := self._logs.take(place):
                is_written = False
                try:
                    is_written = await self._write(place, lines)
                finally:
                    self._logs.count("written" if is_written else "lost", len(lines))
                # What came meanwhile is little: without a pause it would be written in bits.
                await self._gather(place)
        finally:
            self._tasks.pop(place, None)

    async def _write(self, place: Place, lines: list[bytes]) -> bool:
        tenant, sink = place
        content = b"".join(lines)
        if sink in STREAMS:
            try:
                await self._threads[sink].write(sink, content)
            except OSError as error:
                self._report(tenant, sink, error.strerror or type(error).__name__)
                return False
            return True
        return await self._send(tenant, sink, content)

    async def _send(self, tenant: str, url: str, content: bytes) -> bool:
        """Send lines to a URL; try again a few times, with pauses."""
        reason = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                if self._is_stopping:
                    break
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (attempt - 1))
                await self._pause(pause * (0.5 + self._jitter() / 2))
            try:
                services = self._services_of(tenant)
                response = await services.fetch("POST", url, _HEADERS, content)
            except ServiceFailed as error:
                reason = str(error)
                continue
            if response.status < 300:
                return True
            reason = f"it responds with {response.status}"
            if response.status not in (408, 429) and response.status < 500:
                break  # it would say the same again
        self._report(tenant, "a URL", reason)
        return False

    def _report(self, tenant: str, sink: str, reason: str) -> None:
        """Say it without the URL, whose query may be a credential."""
        self._throttled_log.warning(
            "lines of an access log are lost tenant=%s sink=%s: %s",
            tenant,
            sink,
            reason,
            subject=tenant,
        )


def _nothing(_: Place) -> None:
    """Do nothing: lines wait."""

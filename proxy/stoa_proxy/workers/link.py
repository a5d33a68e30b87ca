"""One worker as its parent sees it: what it was sent, what it said, and when."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from stoa_proxy.core.quotas import QuotaKey
from stoa_proxy.core.usage_figures import ApiKey, Durations, Usage, UsageKey
from stoa_proxy.errors import ListenFailed, WorkerGone
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.foundation.metric_readings import Reading
from stoa_proxy.workers.channel import Channel, Message
from stoa_proxy.workers.log_relay import write_record
from stoa_proxy.workers.process import WorkerProcess
from stoa_proxy.workers.shared_state import WorkerSettings

_log = logging.getLogger("stoa_proxy.workers")

START_SECONDS: Final = 120.0
"""From a new process to its first word: Python on a machine that has other work to do."""

_LISTEN_SECONDS: Final = 60.0

Post = Message | Iterator[Message]
"""What is sent: a message, or messages that are made when it is their turn."""


class WorkerLink:
    """One process of a worker, from its start to its end.

    `applied` is the number of the last change that it has; it `serves` from when it was told to
    listen. `missed` are beats that did not come. `relay` answers a request of an own path,
    `on_verdicts` is told what checks of backends found.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        process: WorkerProcess,
        channel: Channel,
        on_report: Callable[[Mapping[str, Any]], None],
        relay: Callable[[WorkerLink, Message], None],
        on_verdicts: Callable[[WorkerLink, Message], None],
    ) -> None:
        self.number = settings.number
        self.process = process
        self.channel = channel
        self.reading = Reading()
        self.applied = 0
        self.missed = 0
        self.serves = False
        self.listening_since: float | None = None
        self._on_report = on_report
        self._relay = relay
        self._on_verdicts = on_verdicts
        self._moved = asyncio.Event()
        self._outbox: deque[Post] = deque()
        self._filled = asyncio.Event()
        self.post(Message("begin", content=pickle.dumps(settings)))

    def post(self, post: Post) -> None:
        """Send in turn; the order of posts is the order in which the worker has them."""
        self._outbox.append(post)
        self._filled.set()

    async def run(self) -> None:
        """Send what is posted and take what comes, until the worker is gone."""
        sending = asyncio.get_running_loop().create_task(self._send())
        try:
            await self.channel.run(self._take)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._wake()

    async def listen(self, current: Callable[[], int]) -> None:
        """Tell the worker to listen, once it has the change of the number that is `current` then.

        Raises ListenFailed, WorkerGone.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                while self.applied < current():
                    await self._wait()
            # From here on, each write waits for this worker.
            self.serves = True
            answer = await self.channel.call(Message("listen"), _LISTEN_SECONDS)
        except TimeoutError:
            raise ListenFailed("a worker does not begin to listen") from None
        if "refused" in answer.values:
            raise ListenFailed(str(answer.values["refused"]))

    async def await_applied(self, number: int) -> None:
        """Wait until the worker has a change, or is gone."""
        with suppress(WorkerGone):
            while self.applied < number:
                await self._wait()

    async def collect(self, seconds: float) -> None:
        """Have a report now; without one in time the last one stands."""
        # The report is a message of its own, so that none is lost that comes late.
        with suppress(WorkerGone, TimeoutError):
            await self.channel.call(Message("collect"), seconds)

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _wait(self) -> None:
        """Wait for the next thing that the worker says. Raises WorkerGone at its end."""
        if self.process.ended.done() or self.channel.is_gone:
            raise WorkerGone("it has ended")
        await self._moved.wait()

    async def _send(self) -> None:
        while True:
            while self._outbox:
                post = self._outbox.popleft()
                for message in (post,) if isinstance(post, Message) else post:
                    self.channel.send(message)
                    await self.channel.drain()
                    await asyncio.sleep(0)
            self._filled.clear()
            await self._filled.wait()

    async def _take(self, message: Message) -> None:
        match message.kind:
            case "report":
                self._take_report(message)
            case "applied":
                self.applied = message.values["number"]
            case "relay":
                self._relay(self, message)
            case "verdicts":
                self._on_verdicts(self, message)
            case "log":
                write_record(message.values, self.number)
        self._wake()

    def _take_report(self, message: Message) -> None:
        self.missed = 0
        self.reading = Reading.from_json(message.values["metrics"])
        self._on_report(message.values)


def changes_message(
    number: int, documents: Sequence[Mapping[str, Any]], guard: AddressGuard | None = None
) -> Message:
    """Return changes that are one, and the number by which they are confirmed; 0 is without."""
    content = b"\n".join(json.dumps(one, separators=(",", ":")).encode() for one in documents)
    networks = None if guard is None else [[*map(str, guard.allow)], [*map(str, guard.deny)]]
    return Message("change", {"number": number, "guard": networks}, content)


def read_usage(values: Mapping[str, Any]) -> list[tuple[UsageKey, Usage]]:
    """Return the usage of a report."""
    return [(UsageKey(*key), Usage.of(figures)) for key, figures in values["usage"]]


def read_durations(values: Mapping[str, Any]) -> list[tuple[ApiKey, Durations]]:
    """Return how long requests took, of a report."""
    return [(ApiKey(*key), Durations(*found)) for key, *found in values["durations"]]


def read_quota_keys(values: Mapping[str, Any]) -> list[QuotaKey]:
    """Return the counts of quotas that changed, of a report."""
    return [QuotaKey(*key) for key in values["quotas"]]

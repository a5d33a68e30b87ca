"""All workers of a gateway: what each of them is sent, and what they say together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_proxy.admin.replication import document_of, table_documents
from stoa_proxy.admin.store import Store
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.quotas import QuotaCounters
from stoa_proxy.core.shared_quotas import SharedQuotaCounters
from stoa_proxy.core.snapshots import Snapshot
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.foundation.metric_readings import Reading
from stoa_proxy.own_paths import AwaitedCall
from stoa_proxy.pipeline.decide import Pipeline
from stoa_proxy.workers.channel import Message
from stoa_proxy.workers.checking import Checking
from stoa_proxy.workers.link import (
    WorkerLink,
    changes_message,
    read_durations,
    read_quota_keys,
    read_usage,
)
from stoa_proxy.workers.paths import head_values, read_response
from stoa_proxy.workers.spread import is_for_one, merge_responses

_log = logging.getLogger("stoa_proxy.workers")

SETTLE_SECONDS: Final = 20.0
"""How long a write waits for a worker, which is killed then: none serves an old table."""

_COLLECT_SECONDS: Final = 2.0
_SPREAD_SECONDS: Final = 120.0


class WorkerLinks:
    """The workers by their numbers.

    What is written to `store` goes to all of them in the same order; `changes` is the number of the
    last one. What they counted is added up, that of processes that have ended included.
    """

    def __init__(self, pipeline: Pipeline, store: Store) -> None:
        self.by_number: dict[int, WorkerLink] = {}
        self.settle_seconds = SETTLE_SECONDS
        self.checking = Checking(self.listening)
        # The table of the start is the first one.
        self.changes = 1
        self._pipeline = pipeline
        self._store = store
        self._guard: AddressGuard | None = None
        self._ended = Reading()
        self._collecting: asyncio.Task[None] | None = None
        store.changes = []
        store.on_change["workers"] = self._replicate
        store.settle = self.settle
        pipeline.metrics.read_others = self._readings

    def add(self, link: WorkerLink) -> None:
        """Send a new worker the table, and all changes from now on."""
        self.by_number[link.number] = link
        if self._guard is not None:
            link.post(changes_message(0, [], self._guard))
        link.post(self._table_messages())

    def remove(self, link: WorkerLink) -> None:
        """Keep what a worker that has ended counted."""
        del self.by_number[link.number]
        self._ended.add(link.reading, with_gauges=False)
        self.checking.leave(link)

    def listening(self) -> Sequence[WorkerLink]:
        """Return the workers that serve."""
        return [one for one in self.by_number.values() if one.listening_since is not None]

    async def update_guard(self, guard: AddressGuard) -> None:
        """Have all workers connect to backends by these address rules from now on."""
        self._guard = guard
        self._post_to_all([], guard)
        await self.settle()

    async def settle(self) -> None:
        """Wait until all workers that serve have every change; kill those that take too long."""
        number = self.changes
        behind = [one for one in self.by_number.values() if one.serves and one.applied < number]
        if not behind:
            return
        waiting = {asyncio.ensure_future(link.await_applied(number)): link for link in behind}
        _, late = await asyncio.wait(waiting, timeout=self.settle_seconds)
        for task in late:
            link = waiting[task]
            task.cancel()
            _log.warning("a worker does not take a change and is killed worker=%d", link.number)
            link.process.kill()
        if late:
            await asyncio.wait([waiting[task].process.ended for task in late])

    async def collect(self) -> None:
        """Have a report of each worker now; those who ask at the same time share it."""
        if self._collecting is None or self._collecting.done():
            self._collecting = asyncio.get_running_loop().create_task(self._collect())
        await asyncio.shield(self._collecting)

    async def spread(self, call: AwaitedCall) -> Respond:
        """Return the response of all workers to a request, or of one."""
        links = self.listening()
        if is_for_one(call.head.target):
            links = links[:1]
        message = Message("ask", head_values(call.head), call.body)
        answers = await asyncio.gather(
            *(link.channel.call(message, _SPREAD_SECONDS) for link in links),
            return_exceptions=True,
        )
        return merge_responses(
            call.head.target,
            [read_response(one) for one in answers if not isinstance(one, BaseException)],
        )

    def take_report(self, values: Mapping[str, Any]) -> None:
        """Count what a worker has counted since its last report."""
        self._pipeline.usage.add(read_usage(values), read_durations(values))
        if self._pipeline.snapshots is not None:
            self._pipeline.snapshots.kept.restore(Snapshot(*one) for one in values["snapshots"])
        quotas = self._pipeline.states.of(QuotaCounters)
        assert isinstance(quotas, SharedQuotaCounters), "those of all processes"
        quotas.note_changed(read_quota_keys(values))

    def _table_messages(self) -> Iterator[Message]:
        """Return messages with the whole table as it is now."""
        return _in_messages(table_documents(self._store), self.changes)

    def _replicate(self) -> None:
        """Send what was changed since the last time to all workers."""
        changes, self._store.changes = self._store.changes, []
        if changes:
            self._post_to_all([document_of(one) for one in changes])

    def _post_to_all(
        self, documents: list[Mapping[str, Any]], guard: AddressGuard | None = None
    ) -> None:
        self.changes += 1
        message = changes_message(self.changes, documents, guard)
        for link in self.by_number.values():
            link.post(message)

    def _readings(self) -> Iterable[Reading]:
        return [self._ended, *(link.reading for link in self.by_number.values())]

    async def _collect(self) -> None:
        await asyncio.gather(*(link.collect(_COLLECT_SECONDS) for link in self.listening()))


def list_workers(
    links: WorkerLinks, restarts: Mapping[int, int], now: Callable[[], float]
) -> Sequence[Mapping[str, object]]:
    """Return what `GET /admin/workers` shows of each; `restarts` are counted by number."""
    rows: list[Mapping[str, object]] = []
    for number, restarted in restarts.items():
        link = links.by_number.get(number)
        since = None if link is None else link.listening_since
        rows.append(
            {
                "number": number,
                "pid": None if link is None else link.process.pid,
                "state": "starting" if since is None else "listening",
                "listening_seconds": 0 if since is None else int(now() - since),
                "restarts": restarted,
                "checks_backends": link is not None and links.checking.is_leader(link),
                "requests": 0 if link is None else sum(link.reading.requests.values()),
            }
        )
    return rows


def _in_messages(documents: Iterator[Mapping[str, Any]], number: int) -> Iterator[Message]:
    for document in documents:
        yield changes_message(0, [document])
    yield changes_message(number, [])

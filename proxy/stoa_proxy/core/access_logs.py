"""Access logs: lines of requests on their way to where they are written, bounded in every way.

A request only adds a line to a queue in memory. Whatever a sink does, requests never wait for it: a
queue that is full takes no more, and what it did not take is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from stoa_proxy.core.policy_states import MetricFamily, PolicyState
from stoa_proxy.foundation.clock import Clock

STREAMS: Final = ("stdout", "stderr")

# What waits for one sink of one tenant, and how many sinks a tenant has.
_MAX_LINES: Final = 5_000
_MAX_BYTES: Final = 4 * 1024 * 1024
_MAX_SINKS: Final = 32
# One write, or one request to a URL.
_BATCH_LINES: Final = 500
_BATCH_BYTES: Final = 512 * 1024

Place = tuple[str, str]
"""A tenant and a sink: `stdout`, `stderr` or a URL."""


@dataclass(slots=True)
class _Queue:
    lines: deque[bytes] = field(default_factory=deque)
    size: int = 0
    has_batch: bool = False


class AccessLogs(PolicyState):
    """The queues of all sinks.

    `on_line` is called when a queue gets its first line, `on_batch` when it has a batch.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.on_line: Callable[[Place], None] = _nothing
        self.on_batch: Callable[[Place], None] = _nothing
        self._queues: dict[Place, _Queue] = {}
        self._sinks_of: dict[str, int] = {}
        self._counts = dict.fromkeys(("written", "dropped", "lost"), 0)

    def preview(self) -> AccessLogs:
        """Return queues that nobody writes from."""
        return AccessLogs(self.clock)

    def families(self) -> Iterable[MetricFamily]:
        """Return what became of lines, and how many wait."""
        return [
            MetricFamily(
                "counter",
                "stoa_access_log_lines_total",
                "Lines of access logs: written, dropped by full queues, lost by a sink that fails.",
                lambda: [({"result": name}, count) for name, count in self._counts.items()],
            ),
            MetricFamily(
                "gauge",
                "stoa_access_log_queued_bytes",
                "Lines of access logs that wait for their sink.",
                lambda: sum(queue.size for queue in self._queues.values()),
            ),
        ]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many lines were written, dropped and lost."""
        return self._counts

    def push(self, places: Iterable[Place], line: bytes) -> None:
        """Queue a line for each sink, or drop it where the queue is full."""
        for place in places:
            queue = self._queues.get(place) or self._add(place)
            if queue is None:
                self._counts["dropped"] += 1
                continue
            count, size = len(queue.lines), queue.size
            if count >= _MAX_LINES or size >= _MAX_BYTES:
                self._counts["dropped"] += 1
                continue
            queue.lines.append(line)
            queue.size = size = size + len(line)
            if not count:
                self.on_line(place)
            elif (count >= _BATCH_LINES or size >= _BATCH_BYTES) and not queue.has_batch:
                queue.has_batch = True
                self.on_batch(place)

    def take(self, place: Place) -> list[bytes]:
        """Return the next lines of a sink, and forget a sink without any."""
        queue = self._queues.get(place)
        if queue is None:
            return []
        lines: list[bytes] = []
        size = 0
        if len(queue.lines) <= _BATCH_LINES and queue.size <= _BATCH_BYTES:
            lines, size = list(queue.lines), queue.size
            queue.lines.clear()
        while queue.lines and len(lines) < _BATCH_LINES and size < _BATCH_BYTES:
            line = queue.lines.popleft()
            size += len(line)
            lines.append(line)
        queue.size -= size
        queue.has_batch = len(queue.lines) > _BATCH_LINES or queue.size >= _BATCH_BYTES
        if not lines:
            del self._queues[place]
            self._sinks_of[place[0]] -= 1
        return lines

    def has_batch(self, place: Place) -> bool:
        """Whether a sink has as many lines as are written together."""
        queue = self._queues.get(place)
        return queue is not None and queue.has_batch

    def waiting(self) -> list[Place]:
        """Return the sinks that have lines."""
        return [place for place, queue in self._queues.items() if queue.lines]

    def count(self, result: str, lines: int) -> None:
        """Count what became of lines that were taken."""
        self._counts[result] += lines

    def _add(self, place: Place) -> _Queue | None:
        tenant, sink = place
        sinks = self._sinks_of.get(tenant, 0)
        # The streams are two for everybody, so they always have room.
        if sinks >= _MAX_SINKS and sink not in STREAMS:
            return None
        self._sinks_of[tenant] = sinks + 1
        queue = self._queues[place] = _Queue()
        return queue


def _nothing(_: Place) -> None:
    """Do nothing: nobody writes lines yet, and they wait."""

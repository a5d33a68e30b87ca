"""Sends spans to a collector over OTLP/HTTP, as JSON. Requests never wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from stoa_proxy.core.policy import FetchedResponse, Services
from stoa_proxy.errors import ServiceFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.metrics import Metrics
from stoa_proxy.foundation.throttled_log import ThrottledLog
from stoa_proxy.pipeline.otlp import END, encode_resource, encode_span, rejected_spans
from stoa_proxy.pipeline.tracing import Span, Tracing

_log = logging.getLogger("stoa_proxy.tracing")

_ATTEMPTS: Final = 4
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 5.0
# Of OTLP/HTTP: the statuses that may be followed by another attempt.
_RETRYABLE: Final = frozenset({429, 502, 503, 504})
# What waits when the gateway stops has so long.
_STOP_SECONDS: Final = 3.0
# So many are written in one go of the event loop: 0.5 ms.
_AT_ONCE: Final = 64

Pause = Callable[[float], Awaitable[None]]


class SpanExporter:
    """Empties the queue of spans from `start` to `stop`.

    `services` calls the collector under no rule for tenants' backends: the operator names it.
    """

    def __init__(
        self,
        tracing: Tracing,
        services: Callable[[], Services],
        version: str,
        clock: Clock,
        *,
        pause: Pause = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        config = tracing.config
        self._tracing = tracing
        self._config = config
        self._services = services
        self._pause = pause
        self._jitter = jitter
        self._headers = (("Content-Type", "application/json"), *config.headers)
        resource = (
            ("service.name", config.service),
            ("service.version", version),
            ("stoa.deployment_mode", tracing.mode),
            *config.resource,
        )
        self._head = encode_resource(resource, version)
        self._throttled_log = ThrottledLog(_log, clock)
        self._task: asyncio.Task[None] | None = None
        self._due = asyncio.Event()
        self._is_ending = False

    def add_metrics(self, metrics: Metrics) -> None:
        """Serve what becomes of spans."""
        tracing = self._tracing
        metrics.add(
            "counter",
            "gateway_otel_spans_exported_total",
            "Spans that the collector took.",
            lambda: tracing.exported,
        )
        metrics.add(
            "counter",
            "stoa_spans_dropped_total",
            "Spans that a full queue did not take, and those that could not be sent.",
            lambda: [({"reason": name}, count) for name, count in tracing.dropped.items()],
        )
        metrics.add(
            "gauge", "stoa_spans_queued", "Spans that wait to be sent.", lambda: len(tracing)
        )

    def start(self) -> None:
        """Send spans from now on."""
        self._is_ending = False
        self._due = asyncio.Event()
        self._tracing.on_due = self._due.set
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Send what waits, for a bounded time; what is left then is dropped."""
        if self._task is None:
            return
        task, self._task = self._task, None
        self._is_ending = True
        self._due.set()
        await asyncio.wait([task], timeout=_STOP_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._tracing.dropped["export"] += len(self._tracing.take(len(self._tracing)))

    async def _run(self) -> None:
        while not self._is_ending:
            self._due.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._config.delay):
                    await self._due.wait()
            await self._empty()

    async def _empty(self) -> None:
        while spans := self._tracing.take(self._config.max_batch):
            is_sent = False
            try:
                is_sent = await self._send(await self._encode(spans), len(spans))
            finally:
                if not is_sent:
                    self._tracing.dropped["export"] += len(spans)

    async def _encode(self, spans: list[Span]) -> bytes:
        parts: list[bytes] = []
        for start in range(0, len(spans), _AT_ONCE):
            parts += map(encode_span, spans[start : start + _AT_ONCE])
            await asyncio.sleep(0)
        return self._head + b",".join(parts) + END

    async def _send(self, content: bytes, count: int) -> bool:
        """Send spans; try again a few times, with pauses. Return whether they were taken."""
        reason = ""
        for attempt in range(_ATTEMPTS):
            if attempt and self._is_ending:
                break
            if attempt:
                await self._wait(attempt)
            try:
                response = await self._services().fetch(
                    "POST",
                    self._config.url,
                    self._headers,
                    content,
                    seconds=self._config.timeout,
                )
            except ServiceFailed as error:
                reason = str(error)
                continue
            if response.status < 300:
                self._count(response, count)
                return True
            reason = f"it responds with {response.status}"
            if response.status not in _RETRYABLE:
                break  # it would say the same again
        self._throttled_log.warning("spans are lost: %s", reason)
        return False

    async def _wait(self, attempt: int) -> None:
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (attempt - 1))
        await self._pause(pause * (0.5 + self._jitter() / 2))

    def _count(self, response: FetchedResponse, count: int) -> None:
        rejected, reason = rejected_spans(response.body)
        rejected = min(rejected, count)
        self._tracing.exported += count - rejected
        self._tracing.dropped["export"] += rejected
        if rejected:
            self._throttled_log.warning("spans are lost: the collector refuses %d", rejected)
            _log.debug("the collector says: %s", reason[:200])

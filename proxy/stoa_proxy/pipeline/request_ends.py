"""How requests end: metrics, usage, policies that log, spans, snapshots of errors. No I/O.

For a request that goes well without any of the last three this costs three comparisons.
"""

from __future__ import annotations

import logging

from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.model import Route
from stoa_proxy.core.policy import RequestEnd
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.usage import Counted, UsageCounters
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.metrics import Metrics
from stoa_proxy.http.heads import RequestHead
from stoa_proxy.pipeline.snapshots import SnapshotMaker
from stoa_proxy.pipeline.tracing import Tracing

_log = logging.getLogger("stoa_proxy.access")


class RequestEnds:
    """The part of a pipeline that is told how requests end.

    Without `tracing` there are no spans, without `snapshots` none of responses 500 and above. An
    engine calls `begin` with the head of each request to a route, and one of the others at its end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.metrics = Metrics()
        self.usage = UsageCounters()
        self.tracing: Tracing | None = None
        self.snapshots: SnapshotMaker | None = None

    def begin(self, head: RequestHead) -> RequestHead:
        """Return the head of a request with its trace, if there is one."""
        tracing = self.tracing
        return head if tracing is None else head._replace(trace=tracing.begin(head))

    def end_request(self, context: RequestContext, status: int | None = None) -> None:
        """Tell policies that a request has ended, the first time that this is called for it.

        Without a status the client got no whole response. An engine calls it for every request,
        also where it has called `finish` or `log_request`.
        """
        if status is None and context.head.trace is not None:
            self.end_trace(context.head, context, None)
        if context.is_ended or not context.api.loggers:
            return
        context.is_ended = True
        seconds = self._clock.monotonic() - context.started
        end = RequestEnd(status, seconds, context.fallback_reason)
        for policy in context.api.loggers:
            policy.log(context, end)

    def log_request(self, context: RequestContext, status: int, seconds: float, *size: int) -> None:
        """Count it, and write one line at DEBUG: no query, no headers, so no secret is in it."""
        if context.api.loggers:
            self.end_request(context, status)
        self.usage.count_once(context, status, seconds, *size)
        reason = context.fallback_reason
        self.count_request(context.head.method, context.route, status, seconds, reason)
        if context.head.trace is not None:
            self.end_trace(context.head, context, status)
        if status >= 500 and self.snapshots is not None:
            self.snapshots.capture(context.head, context, status, seconds)

    def count_request(
        self, method: str, route: Route, status: int, seconds: float, reason: str | None = None
    ) -> None:
        """Do what `log_request` does for an API without policies that log, but for usage."""
        self.metrics.count_request(method, status, seconds)
        if _log.isEnabledFor(logging.DEBUG):
            self._write(method, route, status, seconds, reason)

    def count_forwarded(
        self, method: str, route: Route, key: Counted, status: int, seconds: float, sent: int
    ) -> None:
        """Do what `log_request` does where no policy logs and no trace or reason is kept.

        For a response that came whole with its head, to a request without a body; `key` is
        `core.usage.counted_as` of the request.
        """
        if _log.isEnabledFor(logging.DEBUG):
            self._write(method, route, status, seconds, None)
        bucket = self.metrics.count_forwarded(method, status, seconds)
        self.usage.count_forwarded(key, status, seconds, sent, bucket)

    def _write(
        self, method: str, route: Route, status: int, seconds: float, reason: str | None
    ) -> None:
        _log.debug(
            "request method=%s route=%s tenant=%s status=%d seconds=%.4f fallback=%s",
            method, route.id, route.tenant_id, status, seconds, reason or "-",
        )  # fmt: skip

    def log_refusal(self, head: RequestHead, response: Respond, seconds: float) -> None:
        """Count a request that was not passed on."""
        status, context = response.status, response.context
        self.metrics.count_refusal(head.method, status, seconds)
        known = context if isinstance(context, RequestContext) else None
        if known is not None:
            self.usage.observe(known.route, seconds)
        if head.trace is not None:
            self.end_trace(head, known, status)
        if known is not None and known.record is not None:
            # A sidecar may have another status for a refusal than who asks it can be told.
            status = known.record.status or status
        if status >= 500 and self.snapshots is not None:
            self.snapshots.capture(head, known, status, seconds, response.headers)

    def keep_error(self, context: RequestContext, seconds: float) -> None:
        """Keep a snapshot of a check whose request is refused with 500 or above."""
        status = 0 if context.record is None else context.record.status
        if status >= 500 and self.snapshots is not None:
            self.snapshots.capture(context.head, context, status, seconds)

    def end_trace(
        self, head: RequestHead, context: RequestContext | None, status: int | None
    ) -> None:
        """Keep the spans of a request that is recorded, the first time that this is called."""
        trace, tracing = head.trace, self.tracing
        if trace is None or tracing is None or trace.is_ended or not trace.is_recorded:
            return
        trace.is_ended = True
        tracing.end(trace, head, context, status)

"""How requests end: metrics, usage, policies that log, spans. No I/O.

For a request that goes well without any of the last two this costs two comparisons.
"""

from __future__ import annotations

import logging

from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.model import Route
from stoa_proxy.core.policy import RequestEnd
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.usage import UsageCounters
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.metrics import Metrics
from stoa_proxy.http.heads import RequestHead
from stoa_proxy.pipeline.tracing import Tracing

_log = logging.getLogger("stoa_proxy.access")


class RequestEnds:
    """The part of a pipeline that is told how requests end. Without `tracing` there are no spans.

    An engine calls `begin` with the head of each request to a route, and one of the others at its
    end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.metrics = Metrics()
        self.usage = UsageCounters()
        self.tracing: Tracing | None = None

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

    def count_request(
        self, method: str, route: Route, status: int, seconds: float, reason: str | None = None
    ) -> None:
        """Do what `log_request` does for an API without policies that log, but for usage."""
        self.metrics.count_request(method, status, seconds)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug(
                "request method=%s route=%s tenant=%s status=%d seconds=%.4f fallback=%s",
                method, route.id, route.tenant_id, status, seconds, reason or "-",
            )  # fmt: skip

    def log_refusal(self, head: RequestHead, response: Respond, seconds: float) -> None:
        """Count a request that was not passed on."""
        self.metrics.count_refusal(head.method, response.status, seconds)
        if head.trace is not None:
            context = response.context
            known = context if isinstance(context, RequestContext) else None
            self.end_trace(head, known, response.status)

    def end_trace(
        self, head: RequestHead, context: RequestContext | None, status: int | None
    ) -> None:
        """Keep the spans of a request that is recorded, the first time that this is called."""
        trace, tracing = head.trace, self.tracing
        if trace is None or tracing is None or trace.is_ended or not trace.is_recorded:
            return
        trace.is_ended = True
        tracing.end(trace, head, context, status)

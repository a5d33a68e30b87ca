"""Which requests are traced, and the spans of those that are. No I/O.

A request that is recorded is one server span and a client span for each call of an upstream, made
when it has ended; they wait in a bounded queue for `SpanExporter`. Names of attributes are those of
OpenTelemetry's semantic conventions for HTTP. No query, no value of a header and no credential is
among them.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from http import HTTPMethod
from typing import Final, NamedTuple

from stoa_proxy.core.exchange import CallNote, RequestContext
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http.heads import RequestHead, RequestTrace
from stoa_proxy.http.redaction import scrub_path
from stoa_proxy.http.trace_context import (
    SAMPLED,
    Parent,
    draw_span_id,
    make_parent,
    read_parent,
    renew_client_span,
)
from stoa_proxy.pipeline.shown import shown_url
from stoa_proxy.tracing_config import TracingConfig

SERVER: Final = 2
CLIENT: Final = 3
"""Kinds of spans, as OTLP numbers them."""

_METHODS: Final = frozenset(HTTPMethod)
_LOW_64: Final = (1 << 64) - 1
# What a path may add to a span.
_LONGEST_PATH: Final = 512

Attributes = tuple[tuple[str, str | int], ...]


class Span(NamedTuple):
    """One span that has ended; times are nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    state: str
    name: str
    kind: int
    began: int
    ended: int
    attributes: Attributes
    is_error: bool


class Tracing:
    """Begins traces, decides which are recorded, and keeps their spans until they are taken.

    `mode` is the gateway's. `on_due` is called when a whole batch waits.
    """

    def __init__(self, config: TracingConfig, mode: str, clock: Clock) -> None:
        self.config = config
        self.mode = mode
        self._clock = clock
        # As OpenTelemetry's TraceIdRatioBased: gateways of one ratio record the same traces.
        self._bound = int(config.ratio * (1 << 64))
        self._spans: deque[Span] = deque()
        self._spare: RequestTrace | None = None
        self.on_due: Callable[[], None] = _do_nothing
        self.exported = 0
        self.dropped = {"queue": 0, "export": 0}

    def __len__(self) -> int:
        return len(self._spans)

    def begin(self, head: RequestHead) -> RequestTrace:
        """Return the trace of a request: the caller's where it names one, else a new one."""
        parent = read_parent(head) if "traceparent" in head.keys else None
        return self.begin_root() if parent is None else self.follow(parent)

    def resume(self, parent: Parent | None, state: str) -> RequestTrace:
        """Return the trace of a request whose `traceparent` and `tracestate` are read already."""
        if parent is None:
            return self.begin_root()
        return self.follow(parent._replace(state=state) if state else parent)

    def begin_root(self) -> RequestTrace:
        """Return the trace of a request that belongs to none yet."""
        trace, self._spare = self._spare, None
        if trace is None:
            number = random.getrandbits(128) or 1
            trace = RequestTrace(f"{number:032x}")
            trace.is_recorded = (number & _LOW_64) < self._bound
        return self._start(trace)

    def give_back(self, trace: RequestTrace) -> None:
        """Take a trace back whose request another one begins: it gets the same decision."""
        if not trace.parent_id:
            self._spare = trace

    def follow(self, parent: Parent) -> RequestTrace:
        """Return the trace of a request that a caller's span has made."""
        trace_id, span_id, flags = parent.trace_id, parent.span_id, parent.flags
        trace = RequestTrace(trace_id, span_id, flags, parent.state, parent.text)
        is_sampled = bool(flags & SAMPLED)
        trace.is_recorded = (
            is_sampled
            if self.config.is_parent_based
            else (int(trace_id, 16) & _LOW_64) < self._bound
        )
        # Where nothing of it has changed, `traceparent` goes on as it came.
        return self._start(trace) if trace.is_recorded or is_sampled else trace

    def _start(self, trace: RequestTrace) -> RequestTrace:
        if not trace.is_recorded:
            # A span that nobody records, so that the next gateway begins no trace of its own.
            trace.flags &= ~SAMPLED
            trace.outgoing = make_parent(trace.trace_id, draw_span_id(), trace.flags)
            return trace
        trace.flags |= SAMPLED
        trace.span_id = draw_span_id()
        renew_client_span(trace)
        clock = self._clock
        trace.started = clock.monotonic()
        trace.started_at = round(clock.now().timestamp() * 1_000_000) * 1000
        return trace

    def end(
        self,
        trace: RequestTrace,
        head: RequestHead,
        context: RequestContext | None,
        status: int | None,
    ) -> None:
        """Keep the spans of a request that is recorded; None: it got no whole response."""
        now = self._clock.monotonic()
        calls = [] if context is None or context.record is None else context.record.calls
        for number, call in enumerate(calls):
            is_last = number == len(calls) - 1 and call.outcome == status
            # Of the response that was passed on the body is a part of the call.
            ended = now if is_last else call.ended
            self._keep(self._client_span(trace, head.method, call, number, ended))
        self._keep(self._server_span(trace, head, context, status, now))

    def take(self, most: int) -> list[Span]:
        """Return spans that wait, the oldest first, and forget them."""
        spans = self._spans
        return [spans.popleft() for _ in range(min(most, len(spans)))]

    def _keep(self, span: Span) -> None:
        if len(self._spans) < self.config.max_queue:
            self._spans.append(span)
            if len(self._spans) == self.config.max_batch:
                self.on_due()
        else:
            self.dropped["queue"] += 1

    def _server_span(
        self,
        trace: RequestTrace,
        head: RequestHead,
        context: RequestContext | None,
        status: int | None,
        now: float,
    ) -> Span:
        method = _method(head.method)
        route = None if context is None else context.route
        template = None if route is None else route.path
        attributes = tuple(self._server_attributes(head, method, context, status))
        name = method if method != "_OTHER" else "HTTP"
        return Span(
            trace.trace_id,
            trace.span_id,
            trace.parent_id,
            trace.state,
            name if template is None else f"{name} {template}",
            SERVER,
            trace.started_at,
            self._wall(trace, now),
            attributes,
            status is None or status >= 500,
        )

    def _server_attributes(
        self, head: RequestHead, method: str, context: RequestContext | None, status: int | None
    ) -> list[tuple[str, str | int]]:
        found: list[tuple[str, str | int]] = [
            ("stoa.deployment_mode", self.mode),
            ("http.request.method", method),
            ("url.scheme", head.scheme),
            ("url.path", scrub_path(head.target.partition("?")[0])[:_LONGEST_PATH]),
            ("network.protocol.version", "1.1"),
            ("client.address", head.client_address),
        ]
        if status is None:
            found.append(("error.type", "incomplete"))
        else:
            found.append(("http.response.status_code", status))
            if status >= 500:
                found.append(("error.type", str(status)))
        if context is None:
            return found
        if context.host:
            found.append(("server.address", context.host))
        route = context.route
        found += (
            ("http.route", route.path),
            ("stoa.route_id", route.id),
            ("stoa.api_id", route.api_id),
            ("stoa.tenant_id", route.tenant_id),
        )
        if context.fallback_reason is not None:
            found.append(("stoa.fallback", context.fallback_reason))
        return found

    def _client_span(
        self, trace: RequestTrace, sent: str, call: CallNote, number: int, ended: float
    ) -> Span:
        method, target, outcome = _method(sent), call.target, call.outcome
        attributes: list[tuple[str, str | int]] = [
            ("stoa.deployment_mode", self.mode),
            ("http.request.method", method),
            ("url.full", shown_url(target)[:_LONGEST_PATH]),
            ("server.address", target.host),
            ("server.port", target.port),
            ("network.protocol.version", "1.1"),
        ]
        if isinstance(outcome, int):
            attributes.append(("http.response.status_code", outcome))
        is_error = not isinstance(outcome, int) or outcome >= 400
        if is_error:
            attributes.append(("error.type", str(outcome)))
        if number:
            attributes.append(("http.request.resend_count", number))
        return Span(
            trace.trace_id,
            call.span_id,
            trace.span_id,
            trace.state,
            method if method != "_OTHER" else "HTTP",
            CLIENT,
            self._wall(trace, call.began),
            self._wall(trace, ended),
            tuple(attributes),
            is_error,
        )

    def _wall(self, trace: RequestTrace, time: float) -> int:
        """Return a time of the monotonic clock, by how far it is from the trace's beginning."""
        return trace.started_at + max(0, round((time - trace.started) * 1_000_000)) * 1000


def _do_nothing() -> None:
    """Do nothing: nobody sends spans yet, and they wait."""


def _method(method: str) -> str:
    """Return a method, `_OTHER` for one that clients invented: it is part of a span's name."""
    return method if method in _METHODS else "_OTHER"

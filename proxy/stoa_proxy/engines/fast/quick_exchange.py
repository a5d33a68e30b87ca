"""A usual request on its shortest way (`quick`), or as an `Exchange` takes it over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final, cast

from stoa_proxy.core.exchange import Forward, RequestContext
from stoa_proxy.core.limit_headers import limit_lines
from stoa_proxy.core.limits import LimitResult
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.core.usage import counted_as
from stoa_proxy.engines.complete.upstream.connection import UpstreamConnection
from stoa_proxy.engines.complete.upstream.pool import Pool
from stoa_proxy.engines.fast.call import UpstreamCall
from stoa_proxy.engines.fast.exchange import Exchange
from stoa_proxy.engines.fast.quick import KnownRequest, PassKey, QuickLane
from stoa_proxy.engines.fast.quick_link import QuickLink
from stoa_proxy.engines.fast.quick_routes import (
    Course,
    Pass,
    Place,
    Tail,
    encode_tail,
    note_call,
)
from stoa_proxy.engines.fast.upstream import FastUpstream, Receiver, fast_end
from stoa_proxy.engines.fast.without_body import WithoutBody
from stoa_proxy.http.heads import RequestTrace
from stoa_proxy.http.trace_context import parse_state, split_parent, trace_lines

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.connection import FastConnection

_log = logging.getLogger("stoa_proxy.engine")
_STATE: Final = frozenset({"tracestate"})
_LAST: Final = b"Connection: close\r\n\r\n"


class QuickExchange(WithoutBody):
    """The request at work on a connection, again and again the same object.

    To the connection it is what an `Exchange` is; whatever is not usual makes one of it. A context
    is made only where something is asked that needs one. What came of the response waits for the
    end of the turn.
    """

    __slots__ = (
        "_came", "_connection", "_context", "_course", "_end", "_engine", "_in_flight", "_key",
        "_known", "_lane", "_limit", "_link", "_pass", "_place", "_pool", "_started", "_table",
        "_tenants", "_token", "_trace", "_tracing", "_turn",
    )  # fmt: skip

    _connection: UpstreamConnection
    _key: PassKey | None
    _known: KnownRequest
    _pool: Pool
    _table: RoutingTable

    def __init__(self, link: QuickLink, lane: QuickLane) -> None:
        self._link = link
        self._end: FastUpstream | None = None
        self._came = b""
        self._lane = lane
        self._engine = engine = link.engine
        self._turn = engine.turn
        self._tenants, self._in_flight = engine.request_shares.tenants, engine.client.in_flight
        self._context: RequestContext | None = None
        self._limit: LimitResult | None = None
        self._pass: Pass | None = None
        self._course: Course | None = None
        self._place: Place | None = None
        self._token = ""
        self._tracing = link.engine.pipeline.tracing
        self._trace: RequestTrace | None = None

    def begin(self, data: bytes) -> bool:
        """Serve the request that `data` is; return False, with nothing done, if it is not usual."""
        started = perf_counter()
        engine, link, tracing = self._engine, self._link, self._tracing
        size, parent = len(data), None
        if tracing is not None:
            data, parent = split_parent(data, 0)
        known = self._lane.find(data, size)
        if known is None:
            return False
        # From here on the request is this one's.
        plan = known.plan
        self._known, self._started, self._table = known, started, engine.store.table
        self._context = self._limit = None
        self._place, self._token = plan.place, ""
        passed = self._find_pass(known)
        now = engine.loop.time()
        link.begin_quick(self, now + plan.timeout, is_last=known.head.form.is_last)
        is_recorded = False
        if tracing is not None:
            state = parse_state([pair[1] for pair in known.head.headers(_STATE)[0]])
            self._trace = tracing.resume(parent, state)
            is_recorded = self._trace.is_recorded
        if passed is not None and passed.is_whole:
            for number, count in passed.counts:
                result = count()
                if not result.allowed:
                    # Nothing was counted: the policy is asked, and says so in full.
                    return self._ask_policies(self._make_context(), number, now)
                if self._limit is None or result.remaining < self._limit.remaining:
                    self._limit = result
            if is_recorded:
                self._context = self._make_context()
        elif plan.needs_context or is_recorded:
            return self._ask_policies(self._make_context(), 0, now)
        if not self._send(now):
            self._link.carry(self._enter_upstream)
        return True

    def _find_pass(self, known: KnownRequest) -> Pass | None:
        """Return what let the last request like this one pass."""
        names, client, clock = known.plan.names, self._link.client_address, self._lane.clock
        self._key = self._pass = self._course = None
        if names is None:
            return None
        course = known.find_course(client, clock)
        if course is not None:
            self._course = course
            self._pass = passed = course.passed
            return passed
        self._key = key = (known.head.form, known.plan, client, known.head.raw_lines(names))
        self._pass = found = self._lane.find_pass(key)
        if found is not None and found.is_whole and not known.is_new:
            self._course = known.keep_course(client, found)
        known.is_new = False
        return found

    def _ask_policies(self, context: RequestContext, first: int, now: float) -> bool:
        """Go on behind the policies from the `first` one on, or answer what one responds."""
        self._context = context
        refused = context.ask(self._known.plan.filters[first:])
        if refused is not None:
            self._make_exchange(context).refuse(context, *refused)
            return True
        self._limit = context.limit_result
        if self._pass is not None and self._pass.consumer is not context.consumer:
            self._pass = self._course = None
        if context.hidden_query or not self._send(now):
            self._link.carry(self._enter_upstream)
        return True

    def _send(self, now: float) -> bool:
        """Count the request and send it on a kept connection; return False, with nothing done."""
        engine, known = self._engine, self._known
        plan = known.plan
        place = plan.place or self._choose_place()
        pool = engine.client.pool
        if place is None or pool is None:
            return False
        connection = pool.take(place.origin, now)
        if connection is None:
            return False
        tenants, in_flight = self._tenants, self._in_flight
        if not tenants.try_enter(plan.tenant):
            pool.keep(connection)
            return False
        if not in_flight.try_enter(place.key):
            tenants.leave(plan.tenant)
            pool.keep(connection)
            return False
        wire = self._encode(place)
        pool.join()
        self._pool, self._connection = pool, connection
        self._end = end = fast_end(connection)
        end.receiver = self
        if self._trace is not None:
            wire = b"%b%b\r\n" % (wire, trace_lines(self._trace))
        self._turn.send(end, wire)
        return True

    def _encode(self, place: Place) -> bytes:
        """Return the head for the upstream; of a request with a trace without that and its end."""
        known, course, passed = self._known, self._course, self._pass
        is_only = place is known.plan.place
        key = (place, self._token)
        if course is not None:
            wire = course.wire if is_only else course.wires.get(key)
            if wire:
                return wire
        kept = None if passed is None else passed.tails.get(key)
        tail = None if kept is None else kept.write(known.head)
        if tail is None:
            tail = self._make_tail(place)
        wire = (known.line if is_only else known.line_for(place)) + tail
        if course is not None and is_only:
            course.wire = wire
        elif course is not None:
            course.wires.keep(key, wire)
        return wire

    def _choose_place(self) -> Place | None:
        """Return the backend that gets the request; None where that needs more than a choice."""
        plan = self._known.plan
        if self._place is not None:
            return self._place
        chosen = self._engine.pipeline.backends.pick(plan.route)
        if chosen is None:
            return None
        backend, self._token = chosen
        self._place = plan.places[id(backend)]
        return self._place

    def _make_tail(self, place: Place) -> bytes:
        """Return the head for the upstream without its first line, and keep it for others."""
        context = self._context or self._make_context()
        pipeline = self._engine.pipeline
        pipeline.backends.note_picked(context, place.backend, self._token)
        tail = encode_tail(pipeline, context, place.backend)
        if self._pass is None and self._key is None:
            return tail  # policies may depend on whatever the client sends
        if self._pass is None:
            assert self._key is not None
            self._pass = Pass(context, self._known.plan.filters)
            self._lane.keep_pass(self._key, self._pass)
        self._pass.tails.keep((place, self._token), Tail(self._known.head, context, tail))
        return tail

    # What the upstream's connection calls (`upstream.Receiver`).

    def receive(self, data: bytes) -> None:
        """Take what came: it is passed on at the end of the turn."""
        if not self._came:
            self._turn.wait(self)
        self._came += data

    def pass_on(self) -> None:
        """Pass a usual response on; anything else is read by an `Exchange`."""
        data, self._came = self._came, b""
        if not data:
            return  # the client has left
        place, link, limit = self._place, self._link, self._limit
        assert place is not None
        known = self._lane.responses.find(data, place)
        if known is None or link.is_write_paused or (known.has_limits and limit is not None):
            link.carry(partial(self._tell, lambda receiver: receiver.receive(data)))
            return
        body = data[known.start :]
        if limit is None and not link.is_closing:
            response = known.head + body
        else:
            lines = () if limit is None else limit_lines(limit)
            end = _LAST if link.is_closing else b"\r\n"
            response = b"".join((known.sent, *lines, end, body))
        if link.is_closing or link.ends_at_once:
            link.write(response)
        else:
            self._turn.responses.append((link.write, response))
        self._complete(known.status, len(body))

    def _complete(self, status: int, sent: int) -> None:
        """End a request whose response is sent."""
        request, place, passed = self._known, self._place, self._pass
        plan, pipeline = request.plan, self._engine.pipeline
        assert place is not None
        assert self._end is not None
        self._end.receiver = None
        self._pool.give_back(self._connection, self._engine.loop.time())
        self._in_flight.leave(place.key)
        self._tenants.leave(plan.tenant)
        seconds = perf_counter() - self._started
        if plan.is_observed:
            pipeline.backends.note_outcome(plan.route, place.backend, status)
        context = self._context
        if context is not None:
            self._context = None
            note_call(context, place.backend, status)
            pipeline.metrics.upstream_seconds.observe(seconds)
            pipeline.log_request(context, status, seconds, 0, sent)
        else:
            route = plan.route
            counted = counted_as(route, None) if passed is None else passed.counted
            pipeline.count_forwarded(request.method, route, counted, status, seconds, sent)
            if self._course is not None:
                for end in self._course.ends:
                    end(status, seconds)
            elif plan.loggers:
                assert passed is not None
                for log in passed.logs:
                    log(request.method, request.target)(status, seconds)
        self._link.end_quick()

    def lose(self, *, in_order: bool) -> None:
        """Learn that the connection to the upstream has ended."""
        if self._came:
            self._turn.end()
            if self._end is None or self._end.receiver is None:
                return  # the response was whole
        self._link.carry(partial(self._tell, lambda receiver: receiver.lose(in_order=in_order)))

    def fail(self, error: Exception) -> None:
        """Learn of an error of ours; one behind the response ends the client's connection."""
        if self._is_sent:
            self._link.carry(partial(self._tell, lambda receiver: receiver.fail(error)))
            return
        _log.error("unexpected error in a request", exc_info=error)
        self._link.abort()

    def _tell(self, tell: Callable[[Receiver], None]) -> None:
        """Tell the call, unless it has ended: what was carried before may have made one."""
        assert self._end is not None, "its connection calls"
        receiver = self._promote()[1] if self._is_sent else self._end.receiver
        if receiver is not None:
            tell(receiver)

    # What the client's connection calls, as of an `Exchange`.

    def time_out(self) -> None:
        """End what takes too long."""
        if self._came:
            # That came in time; for the rest of a head there is no more.
            cast("FastConnection", self._link).wait(0)
            self._turn.end()
        else:
            self._promote()[0].time_out()

    def abandon(self) -> None:
        """Give everything back: the client has left."""
        self._came = b""
        if self._is_sent:
            self._promote()[0].abandon()
        elif self._context is not None:
            self._engine.pipeline.end_request(self._context)
            self._context = None

    # What a connection that grows calls.

    def hold(self) -> None:
        """Let the response wait."""
        if self._is_sent and self._end is not None and not self._end.transport.is_closing():
            self._end.transport.pause_reading()

    def move_to(self, link: QuickLink) -> None:
        """Go on with another end of the same connection."""
        self._link = link
        if self._is_sent and self._end is not None and not self._end.transport.is_closing():
            self._end.transport.resume_reading()

    @property
    def _is_sent(self) -> bool:
        """Whether an upstream has the request, and this the upstream's connection."""
        return self._end is not None and self._end.receiver is self

    def _make_context(self) -> RequestContext:
        """Return the context of the request, with what is known of it."""
        context = self._lane.make_context(
            self._known, self._link.client_address, self._table, self._trace
        )
        passed = self._pass
        if passed is not None and passed.is_whole:
            context.consumer = passed.consumer
            context.hidden_headers, context.secret_headers = passed.hidden, passed.secret
            context.limit_result = self._limit
        return context

    def _make_exchange(self, context: RequestContext) -> Exchange:
        # Of an arrival one is only made that ends at once.
        link = cast("FastConnection", self._link)
        exchange = Exchange(link, context.head, started=self._started)
        self._context = None
        self._link.replace_exchange(exchange)
        return exchange

    def _enter_upstream(self) -> None:
        """Let an `Exchange` go on behind the policies."""
        context = self._context or self._make_context()
        pipeline = self._engine.pipeline
        if self._place is None:
            decision = pipeline.enter_upstream(context)
        else:
            decision = self._forward(context, self._place)
        self._make_exchange(context).carry_out(decision)

    def _promote(self) -> tuple[Exchange, UpstreamCall]:
        """Make an `Exchange` of the request, whose call goes on."""
        context = self._context or self._make_context()
        place = self._place
        assert place is not None, "it was sent there"
        exchange = self._make_exchange(context)
        forward = self._forward(context, place)
        return exchange, exchange.take_over(forward, place.key, self._connection, self._pool)

    def _forward(self, context: RequestContext, place: Place) -> Forward:
        pipeline = self._engine.pipeline
        pipeline.backends.note_picked(context, place.backend, self._token)
        forward = pipeline.upstream_request_filter(context, place.backend)
        assert isinstance(forward, Forward), "of other backends there are no plans"
        return forward

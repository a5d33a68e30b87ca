"""A usual request on its shortest way (`quick`), or as an `Exchange` takes it over."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from stoa_proxy.core.exchange import CallNote, Forward, RequestContext
from stoa_proxy.core.limit_headers import limit_lines
from stoa_proxy.core.match import build_target
from stoa_proxy.core.model import Consumer
from stoa_proxy.engines.complete.upstream.connection import UpstreamConnection
from stoa_proxy.engines.complete.upstream.pool import Pool
from stoa_proxy.engines.fast.call import UpstreamCall
from stoa_proxy.engines.fast.exchange import Exchange
from stoa_proxy.engines.fast.quick import Block, QuickLane, RoutePlan, Way, encode_tail
from stoa_proxy.engines.fast.upload import Upload
from stoa_proxy.engines.fast.upstream import FastUpstream, fast_end
from stoa_proxy.http.heads import RequestHead, RequestTrace
from stoa_proxy.http.trace_context import split_parent, trace_lines

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.connection import FastConnection


class QuickExchange:
    """The request at work on a connection, again and again the same object.

    To the connection it is what an `Exchange` is; whatever is not usual makes one of it.
    """

    __slots__ = (
        "_block", "_connection", "_consumer", "_context", "_end", "_engine", "_hidden", "_lane",
        "_link", "_method", "_plan", "_pool", "_query", "_started", "_tail", "_tail_block",
        "_tail_plan", "_trace", "_tracing", "_way", "has_begun", "upload", "wants_body",
    )  # fmt: skip

    _block: Block
    _connection: UpstreamConnection
    _end: FastUpstream
    _plan: RoutePlan
    _pool: Pool
    _way: Way

    def __init__(self, link: FastConnection, lane: QuickLane) -> None:
        self._link = link
        self._lane = lane
        self._engine = link.engine
        self._tracing = link.engine.pipeline.tracing
        self._trace: RequestTrace | None = None
        self._context: RequestContext | None = None
        self._tail = b""
        self._tail_block: Block | None = None
        self._tail_plan: RoutePlan | None = None
        self._consumer: Consumer | None = None
        self._hidden: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
        self.upload: Upload | None = None
        self.has_begun = False
        self.wants_body = True

    def begin(self, data: bytes) -> bool:
        """Serve the request that `data` is; return False, with nothing done, if it is not usual."""
        started = perf_counter()
        lane, engine, link = self._lane, self._engine, self._link
        line = lane.read_line(data)
        if line is None:
            return False
        parent, tracing = None, self._tracing
        if tracing is None:
            block = lane.find_block(data[line.end() :], data)
        else:
            rest, parent = split_parent(data, line.end())
            block = lane.find_block(rest, data)
        if block is None:
            return False
        raw_method, raw_path, query = line.groups()
        method = raw_method.decode()
        way = lane.find_way(block, raw_path, method)
        if way is None:
            return False
        # From here on the request is this one's.
        self._block, self._way, self._started = block, way, started
        self._method, self._query = method, query
        plan = self._plan = way.plan
        engine.shares.touch(link)
        now = engine.loop.time()
        link.begin_quick(self, now + plan.timeout)
        context, is_recorded = None, False
        if tracing is not None:
            trace = self._trace = tracing.resume(parent, block.state)
            is_recorded = trace.is_recorded
        if plan.needs_context or is_recorded:
            context = self._context = self._make_context()
            filters = plan.filters
            is_same = self._tail_plan is plan and self._tail_block is block
            if is_same and plan.is_remembered:
                # The last request, which passed, had the same headers and the same table.
                context.consumer = self._consumer
                context.hidden_headers, context.secret_headers = self._hidden
                filters = plan.counting
            for policy in filters:
                refusal = policy.request_filter(context)
                if refusal is not None:
                    self._make_exchange(context).refuse(context, policy, refusal)
                    return True
            if context.hidden_query:
                self._go_on()
                return True
        if not self._send(context, raw_method, raw_path, now):
            self._go_on()
        return True

    def _send(self, context: RequestContext | None, method: bytes, path: bytes, now: float) -> bool:
        """Count the request and send it on a kept connection; return False, with nothing done."""
        engine, plan = self._engine, self._plan
        pool = engine.client.pool
        tenants, in_flight = engine.request_shares.tenants, engine.client.in_flight
        connection = None if pool is None else pool.take(plan.origin, now)
        if pool is None or connection is None:
            return False
        if not tenants.try_enter(plan.tenant):
            pool.keep(connection)
            return False
        if not in_flight.try_enter(plan.upstream_key):
            tenants.leave(plan.tenant)
            pool.keep(connection)
            return False
        consumer = None if context is None else context.consumer
        if (
            self._tail_plan is not plan
            or self._tail_block is not self._block
            or self._consumer is not consumer
        ):
            self._tail = encode_tail(engine, context or self._make_context(), plan)
            self._tail_block, self._tail_plan, self._consumer = self._block, plan, consumer
            if context is not None:
                self._hidden = context.hidden_headers, context.secret_headers
        pool.join()
        self._pool, self._connection = pool, connection
        self._end = end = fast_end(connection)
        end.receiver = self
        rest = path[plan.skipped :]
        target = plan.base + rest if rest else plan.base_alone
        if self._query:
            target = b"%b?%b" % (target, self._query)
        if self._trace is None:
            end.write(b"%b %b HTTP/1.1\r\n%b" % (method, target, self._tail))
        else:
            lines = trace_lines(self._trace)
            end.write(b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method, target, self._tail, lines))
        return True

    # What the upstream's connection calls (`upstream.Receiver`).

    def receive(self, data: bytes) -> None:
        """Pass a usual response on; anything else is read by an `Exchange`."""
        start = data.find(b"\r\n\r\n") + 4
        known = self._lane.find_response(data[:start]) if start > 3 else None
        link, context = self._link, self._context
        if (
            known is None
            or known.size != len(data)
            or link.is_closing
            or link.is_write_paused
            or (known.has_limits and context is not None and context.limit_result is not None)
        ):
            self._promote()[1].receive(data)
            return
        engine, plan = self._engine, self._plan
        limit = None if context is None else context.limit_result
        lines = b"" if limit is None else limit_lines(limit)
        link.transport.write(b"%b%b\r\n%b" % (known.sent, lines, data[start:]))
        self._end.receiver = None
        self._pool.keep(self._connection)
        self._pool.leave_now()
        engine.client.in_flight.leave(plan.upstream_key)
        engine.request_shares.tenants.leave(plan.tenant)
        seconds = perf_counter() - self._started
        pipeline = engine.pipeline
        pipeline.metrics.upstream_seconds.observe(seconds)
        sent = len(data) - start
        if context is not None:
            self._context = None
            self._note_call(context, known.status)
            pipeline.log_request(context, known.status, seconds, 0, sent)
        else:
            pipeline.usage.count(plan.route, None, known.status, seconds, 0, sent)
            pipeline.count_request(self._method, plan.route, known.status, seconds)
        link.end_quick()

    def _note_call(self, context: RequestContext, status: int) -> None:
        """Note the call of a request that is recorded, as `core.attempts` does it."""
        trace, route = context.head.trace, context.route
        if trace is None or not trace.is_recorded:
            return
        strip = route.strip_path
        target = build_target(context.backend, context.path, context.depth, strip=strip)
        now = context.clock.monotonic()
        note = CallNote(target, trace.started, now, status, trace.client_id)
        context.noted.calls.append(note)

    def lose(self, *, in_order: bool) -> None:
        """Learn that the connection to the upstream has ended."""
        self._promote()[1].lose(in_order=in_order)

    def fail(self, error: Exception) -> None:
        """Learn of an error of ours."""
        self._promote()[1].fail(error)

    def pause_body(self) -> None:
        """Do nothing: there is no body."""

    def resume_body(self) -> None:
        """Do nothing: there is no body."""

    # What the client's connection calls, as of an `Exchange`.

    def body_came(self) -> None:
        """Do nothing: there is no body."""

    def refuse_body(self) -> None:
        """Do nothing: there is no body."""

    def time_out(self) -> None:
        """End what takes too long."""
        self._promote()[0].time_out()

    def abandon(self) -> None:
        """Give everything back: the client has left."""
        self._promote()[0].abandon()

    def pause_response(self) -> None:
        """Do nothing: no response has begun."""

    def resume_response(self) -> None:
        """Do nothing: no response has begun."""

    def _make_context(self) -> RequestContext:
        path, match, _ = self._way
        target = path.raw
        if self._query is not None:
            path = path._replace(query=self._query.decode())
            target = f"{path.raw}?{path.query}"
        block = self._block
        head = RequestHead(
            self._method, target, block.headers, block.keys, self._link.client_address,
            self._engine.scheme, trace=self._trace,
        )  # fmt: skip
        return self._lane.make_context(head, path, block, match)

    def _make_exchange(self, context: RequestContext) -> Exchange:
        exchange = Exchange(self._link, context.head, started=self._started)
        self._context = None
        self._link.replace_exchange(exchange)
        return exchange

    def _go_on(self) -> None:
        """Let an `Exchange` go on behind the policies."""
        context = self._context or self._make_context()
        self._make_exchange(context).go_on(self._forward(context))

    def _promote(self) -> tuple[Exchange, UpstreamCall]:
        """Make an `Exchange` of the request, whose call goes on."""
        context = self._context or self._make_context()
        exchange = self._make_exchange(context)
        key = self._plan.upstream_key
        call = exchange.take_over(self._forward(context), key, self._connection, self._pool)
        return exchange, call

    def _forward(self, context: RequestContext) -> Forward:
        backend = self._plan.route.backend
        forward = self._engine.pipeline.upstream_request_filter(context, backend)
        assert isinstance(forward, Forward), "of other backends there are no plans"
        return forward

"""Carries out one request of the admin API and tells how it was decided (`POST /admin/trace`).

The request never passes a listener: it is decided by a pipeline and a table of its own, beside all
others, and its upstream is called by the engine's own client.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import aiohttp

from stoa_proxy.admin.store import Store
from stoa_proxy.admin.trace_request import TraceRequest
from stoa_proxy.core.api import Api
from stoa_proxy.core.attempts import PASS_ON, Attempt, Attempts, Step
from stoa_proxy.core.exchange import Echo, Forward, Prepare, ReadBody, RequestContext
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.engines.base import PolicyPreparer
from stoa_proxy.engines.complete.request_body import BodyFaulty, RequestBody
from stoa_proxy.engines.complete.request_shares import RequestShares
from stoa_proxy.engines.complete.responses import decode_headers
from stoa_proxy.engines.complete.services import TenantServices
from stoa_proxy.engines.complete.upstream.client import UpstreamClient
from stoa_proxy.engines.complete.upstream.pool import UpstreamLease
from stoa_proxy.errors import UpstreamFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http.heads import RequestHead, lower_names
from stoa_proxy.pipeline.decide import Pipeline
from stoa_proxy.pipeline.echo import BODY_LIMIT, make_echo
from stoa_proxy.pipeline.trace import Call, Trace, find_api, traced_table
from stoa_proxy.pipeline.trace_view import Answer, shown_target, trace_view

TRACE_SECONDS: Final = 60.0
"""Most that a traced request may take, its retries and its fallback included."""

# That of `api_key`, for an API that reads no key.
_USUAL_PLACE: Final = ("header", "X-API-Key")
_ANSWER_BYTES: Final = 64 * 1024
# They are for people who look, not for load.
_AT_ONCE: Final = 4
_BUSY: Final = problem(
    503, "Too many traces", f"{_AT_ONCE} requests are being traced.", [("Retry-After", "1")]
)


class Tracer:
    """Traces requests, a few at a time."""

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        client: UpstreamClient,
        services: TenantServices,
        shares: RequestShares,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._pipeline = pipeline
        self._store = store
        self._client = client
        self._services = services
        self._shares = shares
        self._clock = clock
        self._jitter = jitter
        self._running = 0

    async def respond(self, request: TraceRequest) -> Respond:
        """Return 200 and the trace; 503 while too many run, 504 for one that takes too long."""
        if self._running >= _AT_ONCE:
            return _BUSY
        self._running += 1
        try:
            async with asyncio.timeout(TRACE_SECONDS):
                document = await self._trace(request)
        except TimeoutError:
            detail = f"The request took more than {TRACE_SECONDS:.0f} s."
            return problem(504, "Gateway timeout", detail)
        finally:
            self._running -= 1
        content = json.dumps(document, separators=(",", ":")).encode()
        return Respond(200, (("Content-Type", "application/json"),), content)

    async def _trace(self, request: TraceRequest) -> dict[str, object]:
        store, trace = self._store, Trace(self._clock)
        head = _with_key(request, find_api(request.head, store.table))
        head = self._pipeline.begin(head)
        table = traced_table(head, store.table, store.compile_wrapped, trace)
        # A sidecar sends nothing: it can only say how it would decide.
        sends = request.send and self._pipeline.forwards
        pipeline = self._pipeline if sends else self._pipeline.rehearsal()
        started = self._clock.monotonic()
        decision = pipeline.decide(head, table)
        assert not isinstance(decision, ReadBody), "only checks of a sidecar are read whole"
        if isinstance(decision, Prepare):
            preparer = PolicyPreparer(pipeline, self._services.of, self._clock)
            decision = await preparer.prepare(decision)
        plan = None if isinstance(decision, Respond) else decision
        answer: Answer | None = None
        if isinstance(decision, Respond):
            answer = _own_answer(decision, trace)
            if sends:
                seconds = self._clock.monotonic() - started
                pipeline.log_refusal(head, decision, seconds)
        elif sends:
            answer = await self._send(decision, request.body, trace, started)
        seconds = self._clock.monotonic() - started
        return trace_view(head, trace, plan, answer, seconds, sent=sends)

    async def _send(
        self, decision: Forward | Echo, content: bytes, trace: Trace, started: float
    ) -> Answer:
        pipeline, context = self._pipeline, decision.context
        peer = context.head.client_address
        refusal = self._shares.enter(context, peer)
        if refusal is not None:
            return _own_answer(pipeline.finish(context, refusal), trace)
        body = RequestBody(_Content(content), maximum=context.max_body) if content else None
        try:
            answer = await self._perform(decision, body, trace)
        except BaseException:
            pipeline.end_request(context)
            raise
        finally:
            self._shares.leave(context, peer)
        pipeline.log_request(context, answer.status, self._clock.monotonic() - started)
        return answer

    async def _perform(
        self, first: Forward | Echo, body: RequestBody | None, trace: Trace
    ) -> Answer:
        """Carry a decision out, with its retries and its fallback, as `Forwarder.perform` does."""
        context = first.context
        attempts = _TracedAttempts(self._pipeline, body, self._jitter, trace)
        step: Step = attempts.start(first)
        while isinstance(step, Attempt):
            attempts.begin()
            reached = await self._client.call(step, attempts, body)
            if not isinstance(reached, UpstreamLease):
                step = reached
                continue
            try:
                step = attempts.next(reached.response.status)
                if step is PASS_ON:
                    return await self._relay(context, reached, trace)
            finally:
                await reached.release()
        if isinstance(step, Echo):
            return await self._echo(step, body, trace)
        assert isinstance(step, Respond), "responses are passed on above"
        return _own_answer(step, trace)

    async def _relay(self, context: RequestContext, lease: UpstreamLease, trace: Trace) -> Answer:
        """Return an upstream's response, or the one that a policy has in its place."""
        pipeline, upstream = self._pipeline, lease.response
        if context.api.upstream_response_filters:
            received = list(decode_headers(upstream))
            response = pipeline.upstream_response_filter(context, upstream.status, received)
            if response is not None:
                return _own_answer(response, trace)
        headers = tuple(
            pipeline.response_filter(context, decode_headers(upstream), upstream.status)
        )
        recorder, content, is_cut = context.recorder, bytearray(), False
        try:
            upstream.limit_reads(context.route.timeout)
            async for chunk in upstream.content.iter_any():
                if recorder is not None:
                    recorder.write(chunk)
                content += chunk
                if len(content) > _ANSWER_BYTES:
                    is_cut = True
                    break
            if recorder is not None and not is_cut:
                recorder.close()
        except (aiohttp.ClientError, TimeoutError):
            is_cut = True
        source = "backend" if context.fallback_reason is None else "fallback"
        body = bytes(content[:_ANSWER_BYTES])
        return Answer(upstream.status, headers, body, source, is_cut)

    async def _echo(self, echo: Echo, body: RequestBody | None, trace: Trace) -> Answer:
        try:
            content, is_cut = (b"", False) if body is None else await body.read(BODY_LIMIT)
        except BodyFaulty as error:
            return _own_answer(self._pipeline.finish(echo.context, error.refusal), trace)
        made = self._pipeline.finish(echo.context, make_echo(echo, content, truncated=is_cut))
        return Answer(made.status, made.headers, made.body, "echo")


class _TracedAttempts(Attempts):
    """Attempts that note in a trace how each ended."""

    __slots__ = ("_started", "_trace")

    def __init__(
        self,
        pipeline: Pipeline,
        body: RequestBody | None,
        jitter: Callable[[], float],
        trace: Trace,
    ) -> None:
        super().__init__(pipeline, body, jitter)
        self._trace = trace
        self.begin()

    def begin(self) -> None:
        """Note that an attempt begins."""
        self._started = self._trace.clock.monotonic()

    def next(self, outcome: UpstreamFailed | int) -> Step:
        """Note an outcome, and return what follows on it."""
        now = self._trace.clock.monotonic()
        call = Call(shown_target(self._forward.target), seconds=now - self._started)
        if isinstance(outcome, int):
            call.status = outcome
        else:
            call.failure = outcome.reason
        self._trace.calls.append(call)
        self._started = now
        return super().next(outcome)


class _Content:
    """A request body that is here already, as a stream."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def readany(self) -> bytes:
        data, self._data = self._data, b""
        return data

    def is_eof(self) -> bool:
        return True


def _own_answer(response: Respond, trace: Trace) -> Answer:
    source = "gateway" if trace.decided_by is None else "policy"
    return Answer(response.status, response.headers, response.body, source)


def _with_key(request: TraceRequest, api: Api | None) -> RequestHead:
    """Return the head with the API key where the policy of the API reads it."""
    head, key = request.head, request.api_key
    if key is None:
        return head
    policies = () if api is None else api.policies
    places = [policy.key_place for policy in policies if policy.key_place is not None]
    location, name = places[0] if places else _USUAL_PLACE
    if location == "query":
        joined = "&" if "?" in head.target else "?"
        pair = f"{quote(name, safe='')}={quote(key, safe='')}"
        return head._replace(target=f"{head.target}{joined}{pair}")
    headers = (*head.headers, (name, key))
    return head._replace(headers=headers, keys=lower_names(headers))

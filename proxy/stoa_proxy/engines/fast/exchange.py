"""One request: decided by the pipeline, carried out by calls of upstreams, answered."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from stoa_proxy.core.attempts import PASS_ON, Attempt, Attempts, Step
from stoa_proxy.core.exchange import (
    Decision,
    Echo,
    Forward,
    Prepare,
    ReadBody,
    RequestContext,
    UpstreamDecision,
)
from stoa_proxy.core.policy import Policy
from stoa_proxy.core.problems import Respond
from stoa_proxy.engines.complete.request_body import TIMED_OUT
from stoa_proxy.engines.fast.call import UpstreamCall
from stoa_proxy.engines.fast.pace import Pace
from stoa_proxy.engines.fast.relay import Relay
from stoa_proxy.engines.fast.response_reader import ResponseHead
from stoa_proxy.engines.fast.upload import Upload
from stoa_proxy.errors import UpstreamFailed
from stoa_proxy.http.heads import RequestHead
from stoa_proxy.pipeline.echo import BODY_LIMIT, make_echo

if TYPE_CHECKING:
    from stoa_proxy.engines.complete.upstream.connection import UpstreamConnection
    from stoa_proxy.engines.complete.upstream.pool import Pool
    from stoa_proxy.engines.fast.connection import FastConnection

_log = logging.getLogger("stoa_proxy.engine")
InFlightKey = tuple[str, str, int]
"""Tenant, host and port: what calls of upstreams are counted by."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange:
    """A request of a client connection, from its head to the end of the response.

    `begin` it once; the connection feeds `upload` and then calls `body_came`, and `abandon` when
    the client leaves. The exchange tells the connection when it `end`s.
    """

    __slots__ = (
        "_attempts", "_call", "_context", "_echo", "_engine", "_expects_continue", "_head",
        "_in_flight", "_is_body_paused", "_link", "_pace", "_relay", "_started", "_started_call",
        "_task", "_timeout", "upload",
    )  # fmt: skip

    def __init__(
        self,
        link: FastConnection,
        head: RequestHead,
        *,
        expects_continue: bool = False,
        started: float | None = None,
    ) -> None:
        self._link = link
        self._engine = link.engine
        self._head = head
        self._expects_continue = expects_continue
        self._started = time.perf_counter() if started is None else started
        self.upload = Upload() if head.has_body else None
        self._call: UpstreamCall | None = None
        self._context: RequestContext | None = None
        self._in_flight: InFlightKey | None = None
        self._task: asyncio.Task[None] | None = None
        self._pace: Pace | None = None
        self._echo: Echo | None = None
        self._relay: Relay | None = None
        self._is_body_paused = False

    @property
    def has_begun(self) -> bool:
        """Whether a response has begun."""
        return self._relay is not None

    @property
    def wants_body(self) -> bool:
        """Whether more of the request's body can be taken now."""
        upload = self.upload
        return not self._is_body_paused and (upload is None or not upload.waits)

    def begin(self) -> None:
        """Decide, and begin to carry the decision out."""
        self._head = head = self._engine.pipeline.begin(self._head)
        decision = self._engine.pipeline.decide(head, self._engine.store.table)
        assert not isinstance(decision, ReadBody), "aiohttp reads such a body"
        self.carry_out(decision)

    def carry_out(self, decision: Decision) -> None:
        """Begin to carry out what the pipeline decided."""
        if isinstance(decision, Respond):
            self._refuse(decision)
        else:
            self.go_on(decision)

    def go_on(self, decision: Prepare | Forward | Echo) -> None:
        """Carry out a decision for a request that no policy refuses."""
        engine, context = self._engine, decision.context
        refusal = engine.request_shares.enter(context, self._link.client_address)
        if refusal is not None:
            self._refuse(engine.pipeline.finish(context, refusal), is_last=True)
            return
        self._context = context
        if isinstance(decision, Prepare):
            self._task = engine.loop.create_task(self._prepare(decision))
        else:
            self._perform(decision)

    def refuse(self, context: RequestContext, policy: Policy, refusal: Respond) -> None:
        """Send the refusal of a policy."""
        self._refuse(self._engine.pipeline.refuse(context, policy, refusal))

    def take_over(
        self, forward: Forward, key: InFlightKey, connection: UpstreamConnection, pool: Pool
    ) -> UpstreamCall:
        """Go on with a request that was counted and sent already; return its call."""
        self._context, self._in_flight = forward.context, key
        self._timeout, self._started_call = forward.timeout, self._started
        self._attempts = Attempts(self._engine.pipeline, None, self._engine.jitter)
        seconds = time.perf_counter() - self._started
        self._attempts.start(forward, forward.context.clock.monotonic() - seconds)
        self._call = call = UpstreamCall(self, self._engine.client, None)
        call.take_over(self._head.method, connection, pool)
        return call

    def body_came(self) -> None:
        """Look at what came of the body: it may be too large, whole, or enough for an echo."""
        upload = self.upload
        assert upload is not None, "only a request with a body gets more of it"
        if upload.refusal is not None:
            self.refuse_body()
        elif self._echo is not None:
            self._answer_echo(self._echo)
        if upload.is_whole:
            self._stop_pace()

    def refuse_body(self) -> None:
        """Answer what `upload.refusal` says, or break off where a response has begun."""
        self._stop_pace()
        if self._context is None or self._task is not None:
            return  # `_perform` looks at it
        if self._relay is not None:
            self.break_off()
        elif self._echo is not None:
            assert self.upload is not None
            assert self.upload.refusal is not None
            refusal = self._engine.pipeline.finish(self._context, self.upload.refusal)
            self._answer(refusal, is_last=True)
        elif self._call is not None:
            self._call.abort()
            self._follow(self._attempts.next(UpstreamFailed("no-answer")))

    def refuse_slow_body(self) -> None:
        """Refuse a body of which next to nothing comes."""
        assert self.upload is not None, "only a body has a pace"
        self.upload.refusal = TIMED_OUT
        self.refuse_body()

    def time_out(self) -> None:
        """End what takes too long: the wait for a head, for more of a body, or for an echo's."""
        if self._relay is not None:
            self.break_off()
        elif self._echo is not None:
            assert self._context is not None
            self._answer(self._engine.pipeline.finish(self._context, TIMED_OUT), is_last=True)
        elif self._call is not None:
            self._call.end()
            self._follow(self._attempts.next(UpstreamFailed("timeout")))

    def abandon(self) -> None:
        """Give everything back: the client has left."""
        if self._task is not None:
            self._task.cancel()
        if self._call is not None:
            self._call.abort()
        self._end_without_response()

    def pause_response(self) -> None:
        """Read nothing more of the response: the client reads slowly."""
        if self._call is not None and self._relay is not None:
            self._call.pause()
            self._link.timer.clear()

    def resume_response(self) -> None:
        """Read on."""
        if self._call is not None and self._relay is not None:
            self._call.resume()
            self._link.wait(self._timeout)

    async def _prepare(self, decision: Prepare) -> None:
        following = await self._engine.preparer.prepare(decision)
        self._task = None
        try:
            if isinstance(following, Respond):
                self._refuse(following)
            else:
                self._perform(following)
        except Exception as error:  # noqa: BLE001 - the boundary where it becomes a response
            self._link.fail(error)

    def _perform(self, decision: UpstreamDecision) -> None:
        """Carry a decision out, with its retries and its fallback."""
        context, upload = self._context, self.upload
        assert context is not None
        if upload is not None:
            upload.check(context.max_body)
            if upload.refusal is not None:
                self._answer(self._engine.pipeline.finish(context, upload.refusal), is_last=True)
                return
            if self._expects_continue:
                self._expects_continue = False
                self._link.transport.write(_CONTINUE)
            if not upload.is_whole:
                self._pace = Pace(self, self._link, upload, self._engine.upload_seconds)
        self._attempts = Attempts(self._engine.pipeline, upload, self._engine.jitter)
        self._follow(self._attempts.start(decision))

    def _follow(self, step: Step) -> None:
        if isinstance(step, Attempt):
            self._make_call(step)
            return
        self._leave_upstream()
        if isinstance(step, Echo):
            self._call, self._echo = None, step
            self._link.wait(step.context.route.timeout)
            self._answer_echo(step)
            return
        assert isinstance(step, Respond), "responses are passed on in `on_head`"
        self._answer(step, is_last=self.upload is not None and self.upload.refusal is not None)

    def _make_call(self, attempt: Attempt) -> None:
        forward, engine = attempt.forward, self._engine
        if not attempt.is_retry:
            self._leave_upstream()
            # By tenant, too: nobody may use up what another one has of a backend that both call.
            key = (forward.context.route.tenant_id, forward.target.host, forward.target.port)
            if not engine.client.in_flight.enter(key):
                self._follow(self._attempts.next(UpstreamFailed("busy")))
                return
            self._in_flight = key
            self._timeout = forward.timeout
            self._started_call = time.perf_counter()
            now = self._link.wait(forward.timeout)
        else:
            now = asyncio.get_running_loop().time()
        self._call = call = UpstreamCall(self, engine.client, self.upload)
        call.start(attempt, now)

    # What a call tells (`call.Caller`).

    def on_head(self, head: ResponseHead, content: bytes) -> None:
        """Pass the response on, or go to the fallback."""
        pipeline, context, call = self._engine.pipeline, self._context, self._call
        assert context is not None
        assert call is not None
        pipeline.metrics.upstream_seconds.observe(time.perf_counter() - self._started_call)
        step = self._attempts.next(head.status)
        if step is not PASS_ON:
            call.end()
            self._follow(step)
            return
        self._stop_pace()
        if context.api.upstream_response_filters:
            response = pipeline.upstream_response_filter(context, head.status, head.headers)
            if response is not None:
                self._answer(response)
                return
        headers = pipeline.response_filter(context, head.headers, head.status)
        upload, link, is_whole = self.upload, self._link, call.is_whole
        # Told the end before it sent the body, a client may send it or its next request
        # (RFC 9110, 10.1.1).
        expects = upload is not None and not upload.is_whole and "expect" in self._head.keys
        is_last = expects or link.is_closing
        self._relay = relay = Relay(link.transport, context.recorder, is_last=is_last)
        date = self._engine.date
        relay.begin(self._head.method, head, headers, content, date, is_whole=is_whole)
        if is_whole:
            self._complete(relay)
            return
        self._timeout = context.route.timeout
        link.wait(self._timeout)
        if link.is_write_paused:
            self.pause_response()

    def on_content(self, content: bytes) -> None:
        """Pass more of the body on."""
        call, relay = self._call, self._relay
        assert call is not None
        assert relay is not None
        relay.add(content, is_whole=call.is_whole)
        if call.is_whole:
            self._complete(relay)
        elif not self._link.is_write_paused:
            self._link.wait(self._timeout)

    def on_failure(self, failure: UpstreamFailed) -> None:
        """Try again, go to the fallback, or answer that there is no response."""
        self._follow(self._attempts.next(failure))

    def on_error(self, error: Exception) -> None:
        """Pass on an error of ours."""
        self._link.fail(error)

    def on_sent(self) -> None:
        """Read more of the request's body: what came of it is being sent."""
        self._link.update_body()

    def on_break(self) -> None:
        """Break the client's connection off: only that says that this is not the whole."""
        self.break_off()

    def pause_body(self) -> None:
        """Read nothing more of the request's body: the upstream reads slowly."""
        self._is_body_paused = True
        self._link.update_body()

    def resume_body(self) -> None:
        """Read it again."""
        self._is_body_paused = False
        self._link.update_body()

    def break_off(self) -> None:
        """End without a whole response."""
        link = self._link
        _log.debug("the response broke off")
        self._end_without_response()
        link.transport.abort()

    def _end_without_response(self) -> None:
        context = self._context
        self._give_back()
        if context is not None:
            self._engine.pipeline.end_request(context)

    def _complete(self, relay: Relay) -> None:
        """End a request whose response is sent."""
        context = self._context
        assert context is not None
        self._give_back()
        seconds = time.perf_counter() - self._started
        received = 0 if self.upload is None else self.upload.size
        self._engine.pipeline.log_request(context, relay.status, seconds, received, relay.sent)
        self._link.end_exchange(is_last=relay.is_last)

    def _answer_echo(self, echo: Echo) -> None:
        upload = self.upload
        content, is_cut = b"", False
        if upload is not None:
            if not upload.is_whole and upload.is_repeatable and upload.size <= BODY_LIMIT:
                return
            content, is_cut = upload.content(BODY_LIMIT)
        response = make_echo(echo, content, truncated=is_cut)
        self._answer(self._engine.pipeline.finish(echo.context, response))

    def _answer(self, response: Respond, *, is_last: bool = False) -> None:
        """Send a response of the gateway itself to a request to a route."""
        context = self._context
        assert context is not None
        self._give_back()
        self._link.send_own(response, self._head, self.upload, is_last=is_last)
        seconds = time.perf_counter() - self._started
        received, sent = 0 if self.upload is None else self.upload.size, len(response.body)
        self._engine.pipeline.log_request(context, response.status, seconds, received, sent)
        self._link.end_exchange(is_last=is_last)

    def _refuse(self, response: Respond, *, is_last: bool = False) -> None:
        """Send a response of the gateway itself to a request that is not passed on."""
        self._give_back()
        self._link.send_own(response, self._head, self.upload, is_last=is_last)
        self._engine.pipeline.log_refusal(self._head, response, time.perf_counter() - self._started)
        self._link.end_exchange(is_last=is_last)

    def _give_back(self) -> None:
        """Leave all counts, and give the connection to the upstream back."""
        self._stop_pace()
        call, self._call = self._call, None  # it refers to this: both would be garbage
        if call is not None:
            call.end()
        self._leave_upstream()
        if self._context is not None:
            self._engine.request_shares.leave(self._context, self._link.client_address)
            self._context = None

    def _leave_upstream(self) -> None:
        if self._in_flight is not None:
            self._engine.client.in_flight.leave(self._in_flight)
            self._in_flight = None

    def _stop_pace(self) -> None:
        if self._pace is not None:
            self._pace.stop()
            self._pace = None

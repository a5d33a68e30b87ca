"""Carries decisions out: calls upstreams and passes their responses on, streaming both ways."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from stoa_proxy.core.attempts import PASS_ON, Attempt, Attempts, Step
from stoa_proxy.core.exchange import Echo, Forward, RequestContext
from stoa_proxy.core.problems import Respond
from stoa_proxy.engines.complete.aiohttp_private import UntypedResponse, UntypedStream
from stoa_proxy.engines.complete.request_body import (
    TIMED_OUT,
    BodyFaulty,
    BodyLost,
    RequestBody,
    UploadPace,
)
from stoa_proxy.engines.complete.responses import (
    BufferedResponse,
    can_be_buffered,
    decode_headers,
    end_with_connection,
    make_response,
)
from stoa_proxy.engines.complete.tunnel import Tunnel, TunnelRules
from stoa_proxy.engines.complete.upstream.client import UpstreamClient
from stoa_proxy.engines.complete.upstream.pool import UpstreamLease
from stoa_proxy.engines.deadlines import TimeLimits
from stoa_proxy.http.heads import WEBSOCKET_HEADERS
from stoa_proxy.pipeline.decide import Pipeline
from stoa_proxy.pipeline.echo import BODY_LIMIT, make_echo

_log = logging.getLogger("stoa_proxy.engine")


class Forwarder:
    """Carries out what the pipeline decided. `draining` is set when tunnels are to end.

    `upload_seconds` is how long a client may send next to nothing of a body. Time limits belong to
    one event loop: `restart` for another.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        client: UpstreamClient,
        rules: TunnelRules,
        upload_seconds: float,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._pipeline = pipeline
        self._client = client
        self._tunnel_rules = rules
        self._upload_seconds = upload_seconds
        self._jitter = jitter
        self.restart()

    def restart(self) -> None:
        """Make ready for the running event loop."""
        self.draining = asyncio.Event()
        self._limits = TimeLimits()

    async def perform(self, request: web.BaseRequest, first: Forward | Echo) -> web.StreamResponse:
        """Carry a decision out, with its retries and its fallback."""
        context = first.context
        body = None
        if context.head.has_body:
            pace = UploadPace(self._upload_seconds, self._limits)
            body = RequestBody(request.content, maximum=context.max_body, pace=pace)
            await send_continue(request)
        attempts = Attempts(self._pipeline, body, self._jitter)
        step: Step = attempts.start(first)
        while isinstance(step, Attempt):
            started = time.perf_counter()
            reached = await self._client.call(step, attempts, body)
            if not isinstance(reached, UpstreamLease):
                step = reached
                continue
            self._pipeline.metrics.upstream_seconds.observe(time.perf_counter() - started)
            try:
                step = attempts.next(reached.response.status)
                if step is PASS_ON:
                    if body is not None:
                        body.end_pace()
                    if context.api.upstream_response_filters:
                        response = self._filter_response(context, reached)
                        if response is not None:
                            return make_response(response)
                    return await self._relay(request, context, reached)
            finally:
                await reached.release()
        if isinstance(step, Echo):
            return await self._echo(step, body)
        assert isinstance(step, Respond), "responses are passed on above"
        if body is not None and body.refusal is not None:
            return refuse_body(step)
        return make_response(step)

    def _filter_response(self, context: RequestContext, lease: UpstreamLease) -> Respond | None:
        """Return a response in place of the upstream's, if a policy has one."""
        response = lease.response
        headers = list(decode_headers(response))
        return self._pipeline.upstream_response_filter(context, response.status, headers)

    async def _echo(self, echo: Echo, body: RequestBody | None) -> web.Response:
        """Respond with what was received; the body has the time that an upstream would have."""
        context = echo.context
        content, is_cut = b"", False
        try:
            if body is not None:
                async with asyncio.timeout(context.route.timeout):
                    content, is_cut = await body.read(BODY_LIMIT)
        except BodyLost:
            is_cut = True
        except BodyFaulty as error:
            return refuse_body(self._pipeline.finish(context, error.refusal))
        except TimeoutError:
            return refuse_body(self._pipeline.finish(context, TIMED_OUT))
        response = make_echo(echo, content, truncated=is_cut)
        return make_response(self._pipeline.finish(context, response))

    async def _relay(
        self, request: web.BaseRequest, context: RequestContext, lease: UpstreamLease
    ) -> web.StreamResponse:
        """Pass an upstream's response on; a broken one breaks the client's connection."""
        upstream = lease.response
        pairs = self._pipeline.response_filter(context, decode_headers(upstream), upstream.status)
        # Complete already, a body goes out with its head: one system call less.
        body = upstream.content.read_nowait() if upstream.content.is_eof() else b""
        recorder = context.recorder
        if recorder is not None and upstream.content.is_eof():
            recorder.write(body)
            recorder.close()
            recorder = None
        if body and can_be_buffered(request, upstream.status):
            return BufferedResponse(upstream.status, upstream.reason, pairs, body)
        headers = CIMultiDict(pairs)
        headers.setdefault("Server", "stoa-gateway")
        if upstream.status == 101:
            return await self._tunnel(request, lease, headers)
        if body:
            whole = web.Response if "Content-Type" in headers else UntypedResponse
            return whole(status=upstream.status, reason=upstream.reason, headers=headers, body=body)
        streamed = web.StreamResponse if "Content-Type" in headers else UntypedStream
        response = streamed(status=upstream.status, reason=upstream.reason, headers=headers)
        end_with_connection(request, response)
        await response.prepare(request)
        try:
            upstream.limit_reads(context.route.timeout)
            async for chunk in upstream.content.iter_any():
                if recorder is not None:
                    recorder.write(chunk)
                await response.write(chunk)  # waits for a client that reads slowly
            if recorder is not None:
                recorder.close()
            await response.write_eof()
        except (aiohttp.ClientError, TimeoutError) as error:
            # The head is gone: only a broken connection says that this is not the whole upstream.
            _log.debug("the response broke off route=%s: %r", context.route.id, error)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the upstream's response broke off") from None
        return response

    async def _tunnel(
        self, request: web.BaseRequest, lease: UpstreamLease, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        """Pass a 101 on and carry bytes both ways; afterwards neither connection is used again."""
        headers.extend(WEBSOCKET_HEADERS)
        response = web.StreamResponse(status=101, reason="Switching Protocols", headers=headers)
        response.force_close()
        await response.prepare(request)
        tunnel = Tunnel(request.protocol, lease.response.protocol, self._tunnel_rules)
        await tunnel.run(self.draining)
        return response


def refuse_body(refusal: Respond) -> web.Response:
    """Return the response to a refused body, whose rest is not waited for."""
    response = make_response(refusal)
    response.force_close()
    return response


async def send_continue(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send its body (RFC 9110, 10.1.1)."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1):
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

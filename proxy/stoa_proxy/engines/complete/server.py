"""The aiohttp engine: a server and a client that drive the core, streaming both ways."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.http import HttpVersion11

from stoa_proxy.admin.store import Store
from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.exchange import Forward, Prepare
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.engines.base import Engine, PolicyPreparer
from stoa_proxy.engines.complete.connection import Connection, ConnectionServer
from stoa_proxy.engines.complete.forwarder import Forwarder, refuse_body, send_continue
from stoa_proxy.engines.complete.listener import Listener
from stoa_proxy.engines.complete.request_body import BodyFaulty, RequestBody
from stoa_proxy.engines.complete.responses import make_response, send_parts
from stoa_proxy.engines.complete.services import EngineServices
from stoa_proxy.engines.complete.tunnel import TunnelRules
from stoa_proxy.engines.complete.upstream.client import Pause, UpstreamClient
from stoa_proxy.errors import ListenFailed
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.connection_limit import max_connections
from stoa_proxy.http.heads import RequestHead, lower_names
from stoa_proxy.own_paths import ADMIN_SECONDS, ADMIN_TIMED_OUT, AdminCall, OwnPaths
from stoa_proxy.pipeline.decide import Pipeline

_log = logging.getLogger("stoa_proxy.engine")
# An idle client connection; bounded, so that idle ones do not pile up. nginx waits as long.
_KEEPALIVE_SECONDS = 75.0
_TOO_MANY = problem(
    503, "Too many connections", "All connections are in use.", [("Retry-After", "1")]
)


class AiohttpEngine(Engine):
    """One listener for tenants' APIs and the gateway's own paths, and the client to upstreams."""

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        own_paths: OwnPaths,
        config: ProxyConfig,
        clock: Clock,
        *,
        pause: Pause = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._max_connections = max_connections(config.max_connections)
        self._clock = clock
        self._pipeline = pipeline
        self._store = store
        self._own_paths = own_paths
        self._config = config
        self._client = UpstreamClient(config.guard(), pause)
        self._preparer = self._make_preparer()
        rules = TunnelRules(config.max_websocket_message, config.idle_seconds)
        self._forwarder = Forwarder(pipeline, self._client, rules, jitter)
        self._server: ConnectionServer | None = None
        self._listener: Listener | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port, which for 0 is a free one. Raises ListenFailed."""
        await self._client.open()
        # Anew for each start: time limits belong to one event loop.
        self._preparer = self._make_preparer()
        self._forwarder.draining = asyncio.Event()
        self._server = server = ConnectionServer(
            self._handle,
            head_seconds=self._config.head_seconds,
            write_seconds=self._config.write_seconds,
            max_connections=self._max_connections,
            clock=self._clock,
            handler_cancellation=True,
            auto_decompress=False,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            lingering_time=2.0,
            access_log=None,
            logger=_log,
            max_line_size=64 * 1024,
            max_field_size=32 * 1024,
        )
        listener = Listener(server, server.close_idle, self._clock)
        try:
            bound = await listener.open(host, port)
        except OSError as error:
            await listener.close()
            await self._client.close()
            reason = error.strerror or "the address cannot be used"
            raise ListenFailed(f"cannot listen on {host}:{port}: {reason}") from None
        self._listener = listener
        return bound

    async def stop(self, drain_seconds: float) -> None:
        """Accept no more, finish requests for at most `drain_seconds`, then end the rest."""
        self._forwarder.draining.set()
        if self._listener is not None:
            await self._listener.close()
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(drain_seconds)
        self._server = self._listener = None
        await self._client.close()

    async def update_guard(self, guard: AddressGuard) -> None:
        """Connect to backends by these address rules from now on, and close older connections."""
        await self._client.update_guard(guard)

    def _make_preparer(self) -> PolicyPreparer:
        services = EngineServices(self._client, self._clock)
        return PolicyPreparer(self._pipeline, services, self._clock)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        head = _read_head(request)
        response = await self._respond(request, head)
        if "upgrade" in head.keys or head.method == "CONNECT":
            # What follows such a request was not framed as HTTP, so it must not be read as such.
            response.force_close()
        elif "expect" in head.keys and not request.content.is_eof():
            # Told the end before it sent the body, a client may send it or its next request
            # (RFC 9110, 10.1.1).
            response.force_close()
        return response

    async def _respond(self, request: web.BaseRequest, head: RequestHead) -> web.StreamResponse:
        own = self._own_paths.respond(head)
        if own is not None:
            if isinstance(own, AdminCall):
                return await self._handle_admin(request, own)
            return make_response(own)
        if self._is_too_many(request):
            return refuse_body(_TOO_MANY)
        started = time.perf_counter()
        decision = self._pipeline.decide(head, self._store.table)
        if not isinstance(decision, Forward):  # the usual one first
            if isinstance(decision, Prepare):
                decision = await self._preparer.prepare(decision)
            if isinstance(decision, Respond):
                seconds = time.perf_counter() - started
                self._pipeline.metrics.count_refusal(head.method, decision.status, seconds)
                return make_response(decision)
        response = await self._forwarder.perform(request, decision)
        seconds = time.perf_counter() - started
        self._pipeline.log_request(decision.context, response.status, seconds)
        return response

    def _is_too_many(self, request: web.BaseRequest) -> bool:
        """Whether a request came on a connection that is beyond the bound."""
        connection = request.protocol
        return (
            isinstance(connection, Connection)
            and connection.is_spare
            and self._server is not None
            and self._server.is_full
        )

    async def _handle_admin(self, request: web.BaseRequest, call: AdminCall) -> web.StreamResponse:
        body = RequestBody(request.content)
        await send_continue(request)
        try:
            async with asyncio.timeout(ADMIN_SECONDS):
                content, is_cut = await body.read(self._own_paths.max_admin_body)
        except TimeoutError:
            return make_response(ADMIN_TIMED_OUT)
        except BodyFaulty as error:
            return refuse_body(error.refusal)
        response = self._own_paths.complete(call, content, is_cut=is_cut)
        if response.rest is not None:
            return await send_parts(request, response, response.rest)
        return make_response(response)


def _read_head(request: web.BaseRequest) -> RequestHead:
    """Return the request's head.

    Bytes of values outside ASCII are opaque (RFC 9110, 5.5): what is no UTF-8 stands in the text as
    lone surrogates, as aiohttp reads it, and `encode_head` writes the same bytes again.
    """
    headers = tuple(request.headers.items())
    return RequestHead(
        method=request.method,
        target=request.raw_path,
        headers=headers,
        keys=lower_names(headers),
        client_address=getattr(request.protocol, "client_address", "unknown"),
        has_body=request.body_exists,
        may_upgrade=request.version >= HttpVersion11,
    )

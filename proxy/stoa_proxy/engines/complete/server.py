"""The aiohttp engine: a server and a client that drive the core, streaming both ways."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.http import HttpVersion11

from stoa_proxy.admin.api import AdminApi
from stoa_proxy.admin.store import Store
from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.exchange import Respond
from stoa_proxy.core.problems import problem
from stoa_proxy.engines.complete.connection import (
    Connection,
    ConnectionServer,
    make_response,
    send_pieces,
)
from stoa_proxy.engines.complete.forwarder import Forwarder, refuse_body, send_continue
from stoa_proxy.engines.complete.listener import Listener
from stoa_proxy.engines.complete.request_body import BodyFaulty, RequestBody
from stoa_proxy.engines.complete.tunnel import TunnelRules
from stoa_proxy.engines.complete.upstream.client import UpstreamClient
from stoa_proxy.errors import ListenFailed
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.connection_limit import max_connections
from stoa_proxy.http.heads import RequestHead, lower_names
from stoa_proxy.http.targets import split_authority
from stoa_proxy.pipeline.decide import Pipeline

_log = logging.getLogger("stoa_proxy.engine")
_HEALTH = frozenset({"/health", "/health/live"})
_READY = frozenset({"/ready", "/health/ready"})
_OWN_PATHS = ("/admin", "/health", "/ready")
_ADMIN_SECONDS = 30.0
# An idle client connection; each is bounded, so that idle ones do not pile up.
_KEEPALIVE_SECONDS = 75.0
_TOO_MANY = problem(
    503, "Too many connections", "All connections are in use.", [("Retry-After", "1")]
)


class AiohttpEngine:
    """One listener for tenants' APIs, `/admin/*`, `/health` and `/ready`."""

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        admin: AdminApi,
        client: UpstreamClient,
        config: ProxyConfig,
        clock: Clock,
    ) -> None:
        self._max_connections = max_connections(config.max_connections)
        self._clock = clock
        self._pipeline = pipeline
        self._store = store
        self._admin = admin
        self._client = client
        self._config = config
        rules = TunnelRules(config.max_websocket_message, config.idle_seconds)
        self._forwarder = Forwarder(pipeline, client, rules)
        self._server: ConnectionServer | None = None
        self._listener: Listener | None = None
        self.is_ready: Callable[[], bool] = _always

    async def start(self, host: str, port: int) -> int:
        """Listen; the port, which for 0 is a free one. Raises ListenFailed."""
        await self._client.open()
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
        listener = Listener(server, server.relieve, self._clock)
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
        """Take no new connections, finish requests for at most `drain_seconds`, end the rest."""
        self._forwarder.draining.set()
        if self._listener is not None:
            await self._listener.close()
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(drain_seconds)
        self._server = self._listener = None
        await self._client.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        head = _read_head(request)
        if head is None:
            return make_response(
                problem(400, "Bad request", "A header holds bytes that are no text.")
            )
        response = await self._answer(request, head)
        if "upgrade" in head.keys or head.method == "CONNECT":
            # What follows such a request was not judged as HTTP, so it must not be read as such.
            response.force_close()
        elif "expect" in head.keys and not request.content.is_eof():
            # Told the end before it sent the body, a client may send it or its next request.
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest, head: RequestHead) -> web.StreamResponse:
        target = head.target if head.target.startswith("/") else split_authority(head.target)[1]
        if target.startswith(_OWN_PATHS):
            path = target.partition("?")[0]
            if path == "/admin" or path.startswith("/admin/"):
                return await self._handle_admin(request, head._replace(target=target))
            if path in _HEALTH or path in _READY:
                return make_response(self._handle_health(head, path))
        if self._is_too_many(request):
            return refuse_body(_TOO_MANY)
        started = time.perf_counter()
        decision = self._pipeline.decide(head, self._store.table)
        if isinstance(decision, Respond):
            return make_response(decision)
        response = await self._forwarder.perform(request, decision)
        seconds = time.perf_counter() - started
        self._pipeline.logging(decision.context, response.status, seconds)
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

    def _handle_health(self, head: RequestHead, path: str) -> Respond:
        if head.method not in ("GET", "HEAD"):
            return Respond(405, (("Allow", "GET,HEAD"),))
        plain = (("Content-Type", "text/plain; charset=utf-8"),)
        if path in _READY and self._forwarder.draining.is_set():
            return Respond(503, plain, b"NOT READY: draining")
        if path in _READY and not self.is_ready():
            return Respond(503, plain, b"NOT READY: not configured yet")
        return Respond(200, plain, b"READY" if path in _READY else b"OK")

    async def _handle_admin(
        self, request: web.BaseRequest, head: RequestHead
    ) -> web.StreamResponse:
        refused = self._admin.authorize(head)
        if refused is not None:
            return make_response(refused)
        body = RequestBody(request.content)
        await send_continue(request)
        try:
            async with asyncio.timeout(_ADMIN_SECONDS):
                raw, is_cut = await body.read(self._config.max_admin_body)
        except TimeoutError:
            return make_response(problem(408, "Request timeout"))
        except BodyFaulty as error:
            return refuse_body(error.refusal)
        if is_cut:
            return make_response(problem(413, "Content too large"))
        answer = self._admin.answer(head, raw)
        if answer.rest is not None:
            return await send_pieces(request, answer, answer.rest)
        return make_response(answer)


def _always() -> bool:
    return True


def _read_head(request: web.BaseRequest) -> RequestHead | None:
    """The request's head; None when a header is not text (neither ASCII nor UTF-8)."""
    headers = tuple(request.headers.items())
    if not "".join([value for _, value in headers]).isascii():
        try:
            headers = tuple([(k.decode(), v.decode()) for k, v in request.raw_headers])
        except UnicodeDecodeError:
            return None
    return RequestHead(
        method=request.method,
        target=request.raw_path,
        headers=headers,
        keys=lower_names(headers),
        client_address=getattr(request.protocol, "client_address", "unknown"),
        has_body=request.body_exists,
        may_upgrade=request.version >= HttpVersion11,
    )

"""The aiohttp engine: a server and a client that drive the core, streaming both ways."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from stoa_proxy.admin import AdminApi
from stoa_proxy.config import ProxyConfig
from stoa_proxy.decide import Pipeline
from stoa_proxy.echo import BODY_LIMIT, echo_answer
from stoa_proxy.engines.body import BodyFaulty, BodyLost, RequestBody
from stoa_proxy.engines.connection import ConnectionServer, make_response
from stoa_proxy.engines.pool import Lease
from stoa_proxy.engines.tunnel import Tunnel, TunnelRules
from stoa_proxy.engines.upstream import UpstreamClient
from stoa_proxy.engines.wire import Answer
from stoa_proxy.errors import ListenFailed, UpstreamFailed
from stoa_proxy.exchange import Decision, Echo, Exchange, Forward, Respond
from stoa_proxy.heads import WEBSOCKET_HEADERS, Header, RequestHead
from stoa_proxy.problems import problem
from stoa_proxy.store import Store

_log = logging.getLogger("stoa_proxy.engine")
_HEALTH = frozenset({"/health", "/health/live"})
_READY = frozenset({"/ready", "/health/ready"})
_OWN_PATHS = ("/admin", "/health", "/ready")
_ADMIN_SECONDS = 30.0
# An idle client connection; each is bounded, so that idle ones do not pile up.
_KEEPALIVE_SECONDS = 75.0


class AiohttpEngine:
    """One listener for tenants' APIs, `/admin/*`, `/health` and `/ready`."""

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        admin: AdminApi,
        client: UpstreamClient,
        config: ProxyConfig,
    ) -> None:
        self._pipeline = pipeline
        self._store = store
        self._admin = admin
        self._client = client
        self._config = config
        self._tunnel_rules = TunnelRules(config.max_websocket_message, config.idle_seconds)
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._draining = asyncio.Event()
        self.is_ready: Callable[[], bool] = _always

    async def start(self, host: str, port: int) -> int:
        """Listen; the port, which for 0 is a free one. Raises ListenFailed."""
        await self._client.open()
        self._draining = asyncio.Event()
        self._server = ConnectionServer(
            self._handle,
            head_seconds=self._config.head_seconds,
            write_seconds=self._config.write_seconds,
            handler_cancellation=True,
            auto_decompress=False,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            lingering_time=2.0,
            access_log=None,
            logger=_log,
            max_line_size=64 * 1024,
            max_field_size=32 * 1024,
        )
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._server, host, port, reuse_port=False
            )
        except OSError as error:
            await self._client.close()
            reason = error.strerror or "the address cannot be used"
            raise ListenFailed(f"cannot listen on {host}:{port}: {reason}") from None
        bound: int = self._listener.sockets[0].getsockname()[1]
        return bound

    async def stop(self, drain_seconds: float) -> None:
        """Take no new connections, finish requests for at most `drain_seconds`, end the rest."""
        self._draining.set()
        if self._listener is not None:
            self._listener.close()
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(drain_seconds)
        if self._listener is not None:
            await self._listener.wait_closed()
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
        return response

    async def _answer(self, request: web.BaseRequest, head: RequestHead) -> web.StreamResponse:
        if head.target.startswith(_OWN_PATHS):
            path = head.target.partition("?")[0]
            if path == "/admin" or path.startswith("/admin/"):
                return await self._handle_admin(request, head)
            if path in _HEALTH or path in _READY:
                return make_response(self._handle_health(head, path))
        started = time.perf_counter()
        decision = self._pipeline.decide(head, self._store.table)
        if isinstance(decision, Respond):
            return make_response(decision)
        response = await self._perform(request, decision)
        seconds = time.perf_counter() - started
        self._pipeline.logging(decision.exchange, response.status, seconds)
        return response

    def _handle_health(self, head: RequestHead, path: str) -> Respond:
        if head.method not in ("GET", "HEAD"):
            return Respond(405, (("Allow", "GET,HEAD"),))
        plain = (("Content-Type", "text/plain; charset=utf-8"),)
        if path in _READY and self._draining.is_set():
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
        await _continue(request)
        try:
            async with asyncio.timeout(_ADMIN_SECONDS):
                raw, is_cut = await body.read(self._config.max_admin_body)
        except TimeoutError:
            return make_response(problem(408, "Request timeout"))
        except BodyFaulty as error:
            return _refuse(error.refusal)
        if is_cut:
            return make_response(problem(413, "Content too large"))
        return make_response(self._admin.answer(head, raw))

    async def _perform(self, request: web.BaseRequest, first: Forward | Echo) -> web.StreamResponse:
        """Carry a decision out; a fallback makes it two."""
        exchange = first.exchange
        body = None
        if exchange.head.has_body:
            body = RequestBody(request.content, maximum=exchange.max_body)
            await _continue(request)
        decision: Decision = first
        while True:
            if body is not None and body.refusal is not None:
                return _refuse(self._pipeline.finish(exchange, body.refusal))
            if isinstance(decision, Respond):
                return make_response(decision)
            if isinstance(decision, Echo):
                return make_response(await self._echo(decision, body))
            try:
                lease = await self._client.call(decision, body)
            except UpstreamFailed as failure:
                if body is not None and body.refusal is not None:
                    continue
                is_whole = body is None or body.is_repeatable
                decision = self._pipeline.failed(exchange, failure.reason, is_repeatable=is_whole)
                continue
            try:
                status = lease.answer.status
                if not self._pipeline.wants_fallback(exchange, status) or (
                    body is not None and not body.is_repeatable
                ):
                    return await self._relay(request, exchange, lease)
            finally:
                await lease.release()
            decision = self._pipeline.fall_back(exchange, f"status-{status}")

    async def _echo(self, echo: Echo, body: RequestBody | None) -> Respond:
        content, is_cut = b"", False
        if body is not None:
            try:
                content, is_cut = await body.read(BODY_LIMIT)
            except BodyLost:
                is_cut = True
            except BodyFaulty as error:
                return self._pipeline.finish(echo.exchange, error.refusal)
        return self._pipeline.finish(echo.exchange, echo_answer(echo, content, truncated=is_cut))

    async def _relay(
        self, request: web.BaseRequest, exchange: Exchange, lease: Lease
    ) -> web.StreamResponse:
        """Pass an upstream's answer on; a broken one breaks the connection."""
        answer = lease.answer
        headers = CIMultiDict(self._pipeline.response_filter(exchange, _answer_headers(answer)))
        headers.setdefault("Server", "stoa-gateway")
        if answer.status == 101:
            return await self._tunnel(request, lease, headers)
        if answer.content.is_eof() and (body := answer.content.read_nowait()):
            # Here already, so it goes out with its head: one system call less.
            return web.Response(
                status=answer.status, reason=answer.reason, headers=headers, body=body
            )
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        await response.prepare(request)
        try:
            answer.limit_reads(exchange.route.timeout)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)  # waits for a caller that reads slowly
            await response.write_eof()
        except (aiohttp.ClientError, TimeoutError) as error:
            # The head is gone: only a broken connection says that this is not the whole answer.
            _log.debug("answer broke off route=%s: %r", exchange.route.id, error)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the upstream's answer broke off") from None
        return response

    async def _tunnel(
        self, request: web.BaseRequest, lease: Lease, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        """Pass a 101 on and carry bytes both ways; then neither connection is used again."""
        headers.extend(WEBSOCKET_HEADERS)
        response = web.StreamResponse(status=101, reason="Switching Protocols", headers=headers)
        response.force_close()
        await response.prepare(request)
        tunnel = Tunnel(request.protocol, lease.answer.protocol, self._tunnel_rules)
        await tunnel.run(self._draining)
        return response


def _answer_headers(answer: Answer) -> list[Header]:
    """An answer's headers as text: ASCII, UTF-8, or Latin-1 as older servers send it."""
    headers = list(answer.headers.items())
    if "".join([value for _, value in headers]).isascii():
        return headers
    return [(_latin(key), _latin(value)) for key, value in answer.raw_headers]


def _refuse(refusal: Respond) -> web.Response:
    """What the sender of a refused body is told; its rest is not waited for."""
    response = make_response(refusal)
    response.force_close()
    return response


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
        peer=getattr(request.protocol, "peer", "unknown"),
        has_body=request.body_exists,
    )


def _latin(raw: bytes) -> str:
    """Header bytes as text: UTF-8, or Latin-1 as older servers send it."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


async def _continue(request: web.BaseRequest) -> None:
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1):
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

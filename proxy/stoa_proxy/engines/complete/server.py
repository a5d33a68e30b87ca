"""The aiohttp engine: a server and a client that drive the core, streaming both ways."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable

from aiohttp import web
from aiohttp.http import HttpVersion11

from stoa_proxy.admin.store import Store
from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.exchange import Echo, Forward, Prepare, ReadBody
from stoa_proxy.core.policy import Services
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.engines.base import Engine, PolicyPreparer
from stoa_proxy.engines.complete.aiohttp_private import has_further_requests
from stoa_proxy.engines.complete.beginnings import Beginnings
from stoa_proxy.engines.complete.connection import Connection, ConnectionServer
from stoa_proxy.engines.complete.figures import add_figures
from stoa_proxy.engines.complete.forwarder import Forwarder, refuse_body, send_continue
from stoa_proxy.engines.complete.listener import Acceptor, Listener
from stoa_proxy.engines.complete.request_body import BodyFaulty, RequestBody
from stoa_proxy.engines.complete.request_shares import RequestShares
from stoa_proxy.engines.complete.responses import make_response, send_parts, sent_bytes
from stoa_proxy.engines.complete.services import TenantServices
from stoa_proxy.engines.complete.tracing import Tracer
from stoa_proxy.engines.complete.tunnel import TunnelRules
from stoa_proxy.engines.complete.upstream.client import Pause, UpstreamClient
from stoa_proxy.errors import CertificateUnusable, ListenFailed
from stoa_proxy.foundation.address_guard import EVERYWHERE, AddressGuard, Network
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.connection_shares import Excess, ShareBounds
from stoa_proxy.foundation.descriptors import (
    connections_per_client,
    max_connections,
    requests_per_tenant,
    requests_per_upstream,
)
from stoa_proxy.foundation.server_certificates import ServerCertificates
from stoa_proxy.http.forwarded import forwarded_client, forwarded_scheme, is_proxy
from stoa_proxy.http.heads import Headers, RequestHead, lower_names
from stoa_proxy.own_paths import ADMIN_SECONDS, ADMIN_TIMED_OUT, AdminCall, AwaitedCall, OwnPaths
from stoa_proxy.pipeline.decide import Pipeline

_log = logging.getLogger("stoa_proxy.engine")
_FORWARDED = "x-forwarded-for"
_FORWARDED_SCHEME = "x-forwarded-proto"
_RETRY = [("Retry-After", "1")]
_OPERATORS_CALLS = 8
TOO_MANY = {
    Excess.ALL: problem(503, "Too many connections", "All connections are in use.", _RETRY),
    Excess.CLIENT: problem(
        429, "Too many connections", "Your address has all connections that one may have.", _RETRY
    ),
}


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
        connections = max_connections(config.max_connections)
        per_client = connections_per_client(config.connections_per_client, connections)
        per_tenant = requests_per_tenant(config.requests_per_tenant, connections)
        per_upstream = requests_per_upstream(config.requests_per_upstream, connections)
        self._certificates = None if config.tls is None else ServerCertificates(config.tls)
        self.scheme = "http" if config.tls is None else "https"
        self._proxies = config.proxies()
        self._share_bounds = ShareBounds(connections, per_client, self._proxies)
        # What an operator asks for is not reduced.
        capacity = connections if config.requests_per_tenant is None else None
        self._request_shares = RequestShares(per_tenant, per_client, clock, capacity)
        self._clock = clock
        self._pipeline = pipeline
        pipeline.filters_responses = True
        self._store = store
        self._own_paths = own_paths
        self._config = config
        self._client = UpstreamClient(
            config.guard(),
            clock,
            connections=connections,
            per_upstream=per_upstream,
            lookups_per_tenant=config.lookups_per_tenant,
            pause=pause,
        )
        # For what settings name, which no rule for tenants' backends is about.
        self._operators = UpstreamClient(
            AddressGuard(EVERYWHERE),
            clock,
            connections=_OPERATORS_CALLS,
            per_upstream=_OPERATORS_CALLS,
            lookups_per_tenant=config.lookups_per_tenant,
        )
        self._jitter = jitter
        pipeline.backends.balancers.loads = self._client.in_flight.counts
        self._preparer = self._make_preparer()
        rules = TunnelRules(config.max_websocket_message, config.idle_seconds)
        self.on_drained = _do_nothing
        self._forwarder = Forwarder(pipeline, self._client, rules, config.upload_seconds, jitter)
        self._server: ConnectionServer | None = None
        self._listener: Listener | None = None
        add_figures(
            pipeline.metrics, self._request_shares, self._client, self._count_clients, self._refused
        )

    def _count_clients(self) -> int:
        return 0 if self._server is None else len(self._server.shares)

    def _refused(self) -> Iterable[tuple[Excess, int]]:
        return self._server.shares.refused.items() if self._server is not None else ()

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port, which for 0 is a free one. Raises ListenFailed."""
        await self._client.open()
        await self._operators.open()
        # Anew for each start: time limits belong to one event loop.
        self._preparer = self._make_preparer()
        self._forwarder.restart()
        self._server = server = ConnectionServer(
            self._handle,
            head_seconds=self._config.head_seconds,
            write_seconds=self._config.write_seconds,
            bounds=self._share_bounds,
            clock=self._clock,
            handler_cancellation=True,
            auto_decompress=False,
            keepalive_timeout=self._config.keepalive_seconds,
            lingering_time=2.0,
            access_log=None,
            logger=_log,
            max_line_size=64 * 1024,
            max_field_size=32 * 1024,
        )
        certificates = self._certificates
        beginnings = Beginnings(
            self._clock, certificates, self._proxies, expects_header=self._config.proxy_protocol
        )
        listener = Listener(
            self._make_protocol(server),
            server.shares.close_idle,
            self._clock,
            beginnings=beginnings,
            acceptor=self._make_acceptor(beginnings),
            write_seconds=self._config.write_seconds,
        )
        try:
            if certificates is not None:
                certificates.load()
            bound = await listener.open(host, port, shares_port=self._config.shares_port)
        except CertificateUnusable as error:
            await self._client.close()
            raise ListenFailed(f"the certificates of the listener: {error}") from None
        except OSError as error:
            await listener.close()
            await self._close_clients()
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
            await self._end_connections(self._server, drain_seconds)
        self._server = self._listener = None
        await self.on_drained()
        await self._close_clients()

    async def _close_clients(self) -> None:
        await self._client.close()
        await self._operators.close()

    def _make_protocol(self, server: ConnectionServer) -> Callable[[], asyncio.Protocol]:
        """Return what makes the protocol of a new client connection."""
        return server

    def _make_acceptor(self, beginnings: Beginnings) -> Acceptor | None:
        """Return what accepts connections in the listener's stead, where something does."""
        return None

    async def _end_connections(self, server: ConnectionServer, drain_seconds: float) -> None:
        """Close idle client connections, and the others after their request or when time is up."""
        server.pre_shutdown()
        await server.shutdown(drain_seconds)

    async def update_guard(self, guard: AddressGuard) -> None:
        """Connect to backends by these address rules from now on, and close older connections."""
        await self._client.update_guard(guard)

    def services_of(self, tenant: str) -> Services:
        """Return what a tenant's policies may use."""
        return self._services.of(tenant)

    def _make_preparer(self) -> PolicyPreparer:
        self._services = TenantServices(self._client, self._operators, self._clock)
        self._own_paths.trace = Tracer(
            self._pipeline,
            self._store,
            self._client,
            self._services,
            self._request_shares,
            self._clock,
            self._jitter,
        ).respond
        return PolicyPreparer(self._pipeline, self._services.of, self._clock)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection), "`ConnectionServer` makes no others"
        head = _read_head(request, connection.client_address, self.scheme, self._proxies)
        response = await self._respond(request, connection, head)
        if "upgrade" in head.keys or head.method == "CONNECT":
            # What follows such a request was not framed as HTTP, so it must not be read as such.
            response.force_close()
        elif "expect" in head.keys and not request.content.is_eof():
            # Told the end before it sent the body, a client may send it or its next request
            # (RFC 9110, 10.1.1).
            response.force_close()
        elif connection.has_ended and not has_further_requests(connection):
            response.force_close()
        if not response.keep_alive or (head.has_body and not request.content.is_eof()):
            # Nothing but the rest of a body is waited for, so it makes room for others.
            connection.is_ending = True
        return response

    async def _respond(
        self, request: web.BaseRequest, connection: Connection, head: RequestHead
    ) -> web.StreamResponse:
        own = self._own_paths.respond(head)
        if own is not None:
            if isinstance(own, AdminCall):
                return await self._handle_admin(request, own)
            if isinstance(own, AwaitedCall):
                own = await self._own_paths.finish(own)
            return make_response(own)
        if connection.is_spare and self._server is not None:
            excess = self._server.shares.refusal(connection)
            if excess is not None:
                return refuse_body(TOO_MANY[excess])
        started = time.perf_counter()
        head = self._pipeline.begin(head)
        decision = self._pipeline.decide(head, self._store.table)
        if isinstance(decision, ReadBody):
            try:
                content, is_cut = await self._read_body(request, decision.maximum)
            except TimeoutError:
                return refuse_body(ADMIN_TIMED_OUT)
            except BodyFaulty as error:
                return refuse_body(error.refusal)
            decision = decision.complete(None if is_cut else content)
        if isinstance(decision, Respond):
            return make_response(self._count_refusal(head, decision, started))
        return await self._perform(request, connection, decision, started)

    async def _perform(
        self,
        request: web.BaseRequest,
        connection: Connection,
        decision: Prepare | Forward | Echo,
        started: float,
    ) -> web.StreamResponse:
        """Carry out a decision for a request that no policy refuses."""
        context, peer = decision.context, connection.client_address
        head = context.head
        refusal = self._request_shares.enter(context, peer)
        if refusal is not None:
            refusal = self._pipeline.finish(context, refusal)
            return refuse_body(self._count_refusal(head, refusal, started))
        try:
            connection.is_forwarding = not isinstance(decision, Echo)
            if connection.is_forwarding and connection.has_ended:
                connection.close_now()
                raise ConnectionResetError("the client has left")
            following = (
                await self._preparer.prepare(decision)
                if isinstance(decision, Prepare)
                else decision
            )
            if isinstance(following, Respond):
                return make_response(self._count_refusal(head, following, started))
            response = await self._forwarder.perform(request, following)
        except BaseException:
            self._pipeline.end_request(context)
            raise
        finally:
            connection.is_forwarding = False
            self._request_shares.leave(context, peer)
        seconds = time.perf_counter() - started
        received, sent = getattr(request.content, "total_bytes", 0), sent_bytes(request, response)
        self._pipeline.log_request(context, response.status, seconds, received, sent)
        return response

    def _count_refusal(self, head: RequestHead, refusal: Respond, started: float) -> Respond:
        """Return a response of the gateway itself, which is counted."""
        seconds = time.perf_counter() - started
        self._pipeline.log_refusal(head, refusal, seconds)
        return refusal

    async def _handle_admin(self, request: web.BaseRequest, call: AdminCall) -> web.StreamResponse:
        try:
            content, is_cut = await self._read_body(request, self._own_paths.max_admin_body)
        except TimeoutError:
            return make_response(ADMIN_TIMED_OUT)
        except BodyFaulty as error:
            return refuse_body(error.refusal)
        answer = self._own_paths.complete(call, content, is_cut=is_cut)
        response = await self._own_paths.finish(answer)
        if response.rest is not None:
            return await send_parts(request, response, response.rest)
        return make_response(response)

    async def _read_body(self, request: web.BaseRequest, maximum: int) -> tuple[bytes, bool]:
        """Return a body, and whether it is cut. Raises TimeoutError and BodyFaulty."""
        await send_continue(request)
        async with asyncio.timeout(ADMIN_SECONDS):
            return await RequestBody(request.content).read(maximum)


async def _do_nothing() -> None:
    """Wait for nothing."""


def read_client(
    peer: str,
    scheme: str,
    headers: Headers,
    keys: tuple[str, ...],
    proxies: tuple[Network, ...],
) -> tuple[str, str]:
    """Return the client's address and scheme: those of the connection, or what a proxy says.

    `peer` is the address of the connection's other end, `keys` the names of `headers` in lower
    case.
    """
    if not proxies or not is_proxy(peer, proxies):
        return peer, scheme
    pairs = list(zip(keys, headers, strict=True))
    schemes = [pair[1] for key, pair in pairs if key == _FORWARDED_SCHEME]
    clients = [pair[1] for key, pair in pairs if key == _FORWARDED]
    return forwarded_client(peer, clients, proxies), forwarded_scheme(schemes, scheme)


def _read_head(
    request: web.BaseRequest, peer: str, scheme: str, proxies: tuple[Network, ...]
) -> RequestHead:
    """Return the head of a request that the address `peer` sent.

    Bytes of values outside ASCII are opaque (RFC 9110, 5.5): what is no UTF-8 stands in the text as
    lone surrogates, as aiohttp reads it, and `encode_head` writes the same bytes again.
    """
    headers = tuple(request.headers.items())
    keys = lower_names(headers)
    client, scheme = read_client(peer, scheme, headers, keys, proxies)
    return RequestHead(
        method=request.method,
        target=request.raw_path,
        headers=headers,
        keys=keys,
        client_address=client,
        scheme=scheme,
        has_body=request.body_exists,
        may_upgrade=request.version >= HttpVersion11,
        peer=peer,
    )

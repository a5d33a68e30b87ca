"""CPU per request of the aiohttp engine: match among 10,000, key, limit, metrics, access log.

Peer: a bare streaming forwarder on aiohttp's server and its ClientSession: it copies the head
without hop-by-hop headers, streams both bodies, and does nothing else. Ours uses the same server,
and of the client the connector and the parser, but writes requests itself and sends a short
response together with its head; the ratio holds what that saves against what the pipeline costs.
Both run as processes of their own before one upstream and are loaded in turn, round by round; what
counts is the CPU time that each process used, divided by the requests that it served.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import statistics
import sys
import tempfile

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from stoa_proxy.admin.checks import Scope
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.routes import parse_route
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from stoa_proxy.foundation.address_guard import AddressGuard, parse_networks
from stoa_proxy.foundation.allocator import tune_malloc
from yarl import URL

from benchmarks.figures import Lane
from benchmarks.proxy_load import Child, Upstream, send, serve_until_told

ROUNDS = int(os.environ.get("ROUNDS", "9"))
REQUESTS = int(os.environ.get("REQUESTS", "4000"))
CONNECTIONS = 16
TARGET = 1.4
KEY = "benchmark-key"
REQUEST = (
    b"GET /apis/acme/billing/invoices/42?expand=lines HTTP/1.1\r\nHost: api.example.com\r\n"
    b"User-Agent: load/1\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n"
    b"X-API-Key: %s\r\n\r\n" % KEY.encode()
)
ROUTE = {
    "id": "billing", "name": "billing", "tenant_id": "acme", "path_prefix": "/apis/acme/billing",
    "methods": ["GET", "POST"], "spec_hash": "h", "activated": True,
}  # fmt: skip
POLICIES = {
    "api_key": {}, "rate_limit": {"requests": 1_000_000_000, "window": "1h"}, "logging": {},
}  # fmt: skip
ROUTES = 10_000
CONSUMER = {
    "id": "c1", "name": "mobile", "tenant_id": "acme", "subscriptions": [{"api_id": "billing"}],
    "credentials": [{"type": "api_key", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}],
}  # fmt: skip
HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade", "host",
    }
)  # fmt: skip


async def fill(gateway: Gateway, upstream: int) -> None:
    """Configure the gateway over its admin API, as anybody would, behind many other routes."""
    guard = AddressGuard(allow=parse_networks(["127.0.0.0/8"]))
    for number in range(ROUTES - 1):
        other = {"id": f"r{number}", "name": f"r{number}", "path_prefix": f"/apis/acme/r{number}"}
        body = Body({**ROUTE, **other, "backend_url": f"http://127.0.0.1:{upstream}"})
        gateway.store.put_route(*parse_route(body, guard, Scope()))
    headers = {"Authorization": "Bearer t"}
    url = gateway.base_url + "/admin/"
    async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
        route = {**ROUTE, "backend_url": f"http://127.0.0.1:{upstream}"}
        await session.post(url + "apis", json=route)
        await session.post(url + "consumers", json=CONSUMER)
        for kind, config in POLICIES.items():
            policy = {
                "id": kind, "name": kind, "policy_type": kind, "config": config, "priority": 1,
                "api_id": "billing",
            }  # fmt: skip
            await session.post(url + "policies", json=policy)


async def serve_ours(upstream: int) -> None:
    tune_malloc()  # as `python -m stoa_proxy` and `run` do
    gateway = Gateway(ProxyConfig(port=0, admin_api_token="t", backends_allow=("127.0.0.0/8",)))
    await gateway.start()
    await fill(gateway, upstream)
    with tempfile.TemporaryFile() as log:  # the access log, which a terminal would make dear
        os.dup2(log.fileno(), sys.stderr.fileno())
    await serve_until_told(gateway.port)
    await gateway.stop(0.1)


async def serve_bare(upstream: int) -> None:
    tune_malloc()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=4096),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )

    async def forward(request: web.BaseRequest) -> web.StreamResponse:
        kept = [pair for pair in request.headers.items() if pair[0].lower() not in HOP_BY_HOP]
        async with session.request(
            request.method,
            URL(f"http://127.0.0.1:{upstream}{request.raw_path}", encoded=True),
            headers=CIMultiDict(kept),
            data=request.content if request.body_exists else None,
            allow_redirects=False,
        ) as answer:
            kept = [pair for pair in answer.headers.items() if pair[0].lower() not in HOP_BY_HOP]
            response = web.StreamResponse(status=answer.status, headers=CIMultiDict(kept))
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    server = web.Server(forward, access_log=None, auto_decompress=False)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    await serve_until_told(listener.sockets[0].getsockname()[1])
    listener.close()
    await server.shutdown(0.1)
    await session.close()


async def serve_upstream(_: int) -> None:
    listener = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    await serve_until_told(listener.sockets[0].getsockname()[1])
    listener.close()


SERVERS = {"ours": serve_ours, "bare": serve_bare, "upstream": serve_upstream}


def measure(lane: Lane, child: Child) -> None:
    """One round: CPU seconds per request of the child."""
    before = child.cpu()
    load = asyncio.run(send(child.port, REQUEST, REQUESTS, CONNECTIONS))
    lane.seconds.append((child.cpu() - before) / REQUESTS)
    lane.errors += load.errors


def main() -> None:
    upstream = Child("benchmarks.proxy_cpu", "upstream", "0")
    ours = Child("benchmarks.proxy_cpu", "ours", str(upstream.port))
    bare = Child("benchmarks.proxy_cpu", "bare", str(upstream.port))
    lanes = [Lane("stoa_proxy: match, key, limit, log"), Lane("bare aiohttp forwarder")]
    for number in range(ROUNDS + 1):
        if number == 1:  # the first round warmed up
            lanes = [Lane(lane.name, errors=lane.errors) for lane in lanes]
        measure(lanes[0], ours)
        measure(lanes[1], bare)
    for child in (ours, bare, upstream):
        child.stop()
    show_cpu(lanes)


def show_cpu(lanes: list[Lane]) -> None:
    """Print microseconds, and the median of the ratios of neighbouring rounds."""
    print(f"CPU per request, {ROUNDS} rounds of {REQUESTS}   (to reach: <= {TARGET} x the peer)")
    for lane in lanes:
        print(
            f"  {lane.name:<36} p50={lane.median * 1e6:7.1f} us"
            f"  min={min(lane.seconds) * 1e6:7.1f} us  errors={lane.errors}"
        )
    ratios = [one / other for one, other in zip(lanes[0].seconds, lanes[1].seconds, strict=True)]
    print(f"  ratio: median {statistics.median(ratios):.2f}, {min(ratios):.2f}..{max(ratios):.2f}")
    print(flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(SERVERS[sys.argv[1]](int(sys.argv[2])))
    else:
        main()

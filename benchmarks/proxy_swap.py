"""Changing one route of 10,000, and 1,000 such changes while requests come in.

The pause is how long the event loop is held by one change: the parsed object is validated, stored,
compiled and the table swapped, in one step. Peer: making the whole table anew from its routes, as a
gateway without shared structure would. Under load: a change goes over the admin API as soon as the
one before is answered, while clients send requests to the route that changes and to one that does
not; every response that is not 200 counts as an error.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import aiohttp
from stoa_proxy.admin.checks import Scope
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.routes import parse_route
from stoa_proxy.admin.store import Store
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.foundation.address_guard import AddressGuard, parse_networks

from benchmarks.figures import Lane, show
from benchmarks.proxy_load import Child, Upstream, send, serve_until_told

ROUTES = 10_000
# Of the matcher: its cost is not to grow from the one to the other.
FEW, MANY = 10, 100_000
MATCHES = 20_000
CHANGES = 1_000
REBUILDS = 9
BATCH = 300
CONNECTIONS = 8
GUARD = AddressGuard(allow=parse_networks(["127.0.0.0/8"]))


def body(number: int, upstream: int, generation: int = 0) -> dict[str, Any]:
    return {
        "id": f"r{number:05}", "name": f"api {number}", "tenant_id": f"t{number % 50}",
        "path_prefix": f"/apis/t{number % 50}/a{number}", "methods": ["GET"], "activated": True,
        "backend_url": f"http://127.0.0.1:{upstream}/{generation}", "spec_hash": str(generation),
    }  # fmt: skip


def fill(store: Store, upstream: int) -> None:
    for number in range(ROUTES):
        store.put_route(*parse_route(Body(body(number, upstream)), GUARD, Scope()))


def measure_pause() -> list[Lane]:
    """Time single changes, and rebuilding everything."""
    store = Store()
    fill(store, 80)
    ours, peer = Lane("one change, table swapped"), Lane("the whole table made anew")
    for number in range(CHANGES):
        start = time.perf_counter()
        store.put_route(*parse_route(Body(body(number * 7, 80, number)), GUARD, Scope()))
        ours.seconds.append(time.perf_counter() - start)
        ours.errors += f"/{number}" not in getattr(
            store.table.routes[f"r{number * 7:05}"].backend, "base_path", ""
        )
    for _ in range(REBUILDS):
        start = time.perf_counter()
        table = RoutingTable.from_routes(store.table.routes.values())
        peer.seconds.append(time.perf_counter() - start)
        peer.errors += len(table.routes) != ROUTES
    return [ours, peer]


def measure_match() -> list[Lane]:
    """Time matches in a large table and in a small one, round by round.

    First where paths of all routes are asked for in turn, so that each match is as cold as its
    table is large, then where those of a few are (`warm`). Then the same where each path ends with
    a parameter and a literal segment.
    """
    lanes: list[tuple[RoutingTable, int, int, Lane]] = []
    for below in ("", "/{id}/items"):
        for count in (MANY, FEW):
            bodies = (body(number, 80) for number in range(count))
            routes = (
                parse_route(
                    Body({**one, "path_prefix": f"{one['path_prefix']}{below}"}), GUARD, Scope()
                )[0]
                for one in bodies
            )
            name = f"a match among {count}{', parameters' if below else ''}"
            table = RoutingTable.from_routes(routes)
            lanes.append((table, count, count, Lane(name)))
            lanes.append((table, count, FEW, Lane(f"{name}, warm")))
    for _ in range(REBUILDS):
        for table, count, most, lane in lanes:
            paths = [
                ("apis", f"t{number % 50}", f"a{number}", "x", "items")
                for number in (step % most * 7919 % count for step in range(MATCHES))
            ]
            start = time.process_time()
            found = [table.find("h", path) for path in paths]
            lane.seconds.append((time.process_time() - start) / MATCHES)
            lane.errors += found.count(None)
    return [lane for *_, lane in lanes]


async def serve_ours(upstream: int) -> None:
    gateway = Gateway(ProxyConfig(port=0, admin_api_token="t", backends_allow=("127.0.0.0/8",)))
    fill(gateway.store, upstream)
    await gateway.start()
    await serve_until_told(gateway.port)
    await gateway.stop(0.1)


async def serve_upstream(_: int) -> None:
    listener = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    await serve_until_told(listener.sockets[0].getsockname()[1])
    listener.close()


async def change(port: int, upstream: int, lane: Lane) -> None:
    """Change route 7 over and over."""
    headers = {"Authorization": "Bearer t", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for generation in range(CHANGES):
            data = json.dumps(body(7, upstream, generation))
            start = time.perf_counter()
            async with session.post(f"http://127.0.0.1:{port}/admin/apis", data=data) as answer:
                lane.errors += answer.status != 200
            lane.seconds.append(time.perf_counter() - start)


async def measure_load(port: int, upstream: int) -> Lane:
    """Requests until all changes are made; failed ones are the lane's errors."""
    lane = Lane("change over the admin API, under load")
    changing = asyncio.create_task(change(port, upstream, lane))
    requests = 0
    paths = (b"/apis/t7/a7/x", b"/apis/t8/a8/x")
    while not changing.done():
        for path in paths:
            request = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path
            load = await send(port, request, BATCH, CONNECTIONS)
            requests += load.done
            lane.errors += load.errors
    await changing
    lane.name += f" ({requests} requests)"
    return lane


SERVERS = {"ours": serve_ours, "upstream": serve_upstream}


def main() -> None:
    lanes = measure_match()
    for lane in lanes:
        print(f"  {lane.name:<34} p50={lane.median * 1e6:6.2f} us of CPU  errors={lane.errors}")
    for start in (0, 1, 4, 5):
        many, few = lanes[start], lanes[start + 2]
        print(f"  {many.name} / {few.name}: {many.median / few.median:.2f}   (to reach: <= 1.5)")
    title = f"one route changed of {ROUTES}"
    show(title, measure_pause(), "<= 5 ms pause")
    upstream = Child("benchmarks.proxy_swap", "upstream", "0")
    ours = Child("benchmarks.proxy_swap", "ours", str(upstream.port))
    lane = asyncio.run(measure_load(ours.port, upstream.port))
    for child in (ours, upstream):
        child.stop()
    show(f"{CHANGES} changes under load", [lane], "0 errors")


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(SERVERS[sys.argv[1]](int(sys.argv[2])))
    else:
        main()

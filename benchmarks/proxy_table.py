"""The table of the data plane while it changes: how long it holds the event loop, what is lost.

    rebuild   every route of 100,000 changes, as a control plane that sends a new table does it,
              while requests flow: the longest turn of the loop; peer: a table made anew in one go
    swap      one route of 100,000 changes: with 50 folders of them, and with all in one
    load      1,000 routes change one after the other over the admin API, while wrk sends all it can
              over another of 10,000 with a key check, a rate limit, metrics and an access log

All over the fast engine. A turn is measured by the clock, which on a busy machine is others' time,
too, and by the CPU of the loop's thread.

    python -m benchmarks proxy_table
    ROUTES=20000 python -m benchmarks.proxy_table rebuild
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from stoa_proxy.admin.checks import Scope
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.routes import parse_route
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from stoa_proxy.control_plane.table_builder import TableBuilder
from stoa_proxy.core.model import Route
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.foundation.allocator import tune_malloc
from stoa_proxy.foundation.breather import Breather, clear
from stoa_proxy.foundation.collector import set_apart, young_collections_only

from benchmarks import proxy_peers
from benchmarks.figures import Lane, show
from benchmarks.proxy_load import Child
from benchmarks.proxy_swap import GUARD, body

ROUTES = int(os.environ.get("ROUTES", "100000"))
CHANGES = int(os.environ.get("CHANGES", "1000"))
SWAPS = 500
FOLDERS = {"50 folders": 50, "one folder": 1}
WORKS = ("swap", "rebuild", "load")
TOKEN = "t"
# Above what any work takes on a busy machine.
SECONDS = 900


class Turns:
    """Goes through the event loop once in each turn, and keeps how long the longest one was."""

    def __init__(self) -> None:
        self.clock = self.cpu = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        clock, cpu = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(0)
            now, used = time.perf_counter(), time.thread_time()
            self.clock, self.cpu = max(self.clock, now - clock), max(self.cpu, used - cpu)
            clock, cpu = now, used

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def line(number: int, upstream: int, generation: int, folders: int = 50) -> dict[str, Any]:
    """One route of a table, in one of so many folders, as it is in a generation."""
    tenant = f"t{number % folders}"
    fields = {"tenant_id": tenant, "path_prefix": f"/apis/{tenant}/a{number}"}
    return {**body(number, upstream, generation), **fields}


async def take_table(gateway: Gateway, upstream: int, generation: int) -> None:
    """Let the store become one generation of the table, as `control_plane.pull` does it."""
    parsers = {"apis": lambda values: parse_route(values, GUARD, Scope())}
    builder = TableBuilder(gateway.store, parsers, {}, ("apis",))
    breather = Breather()
    with young_collections_only():
        for number in range(ROUTES):
            builder.add_line(json.dumps({"apis": line(number, upstream, generation)}).encode())
            await breather.rest()
        await builder.build(f'"{generation}"', generation)
        set_apart()
        # A gateway keeps it until the next build, and lets it go in the same way.
        await clear(builder.taken)
    assert not builder.refusals, builder.refusals[:1]


async def measure_rebuild(upstream: int) -> None:
    config = ProxyConfig(port=0, engine="fast", backends_allow=("127.0.0.0/8",))
    gateway = Gateway(config)
    await gateway.start()
    await take_table(gateway, upstream, 1)
    url = f"http://127.0.0.1:{gateway.port}/apis/t7/a7/x"
    wrk = await asyncio.create_subprocess_exec(
        "wrk", "-t1", "-c8", f"-d{SECONDS}s", url, stdout=subprocess.PIPE
    )
    await asyncio.sleep(1)  # it has begun
    print(f"{ROUTES} routes rebuilt while requests flow   (to reach: no turn above 10 ms)")
    for name, work in (
        ("no change", lambda: asyncio.sleep(3)),
        ("all routes changed", lambda: take_table(gateway, upstream, 2)),
    ):
        turns, began = Turns(), time.perf_counter()
        await work()
        seconds = time.perf_counter() - began
        await turns.stop()
        print(
            f"  {name:<28} {seconds:6.1f} s  longest turn {turns.clock * 1e3:7.1f} ms,"
            f" {turns.cpu * 1e3:6.1f} ms of CPU"
        )
    wrk.send_signal(2)
    text = (await asyncio.wait_for(wrk.communicate(), 60))[0].decode()
    before = time.thread_time()
    made = RoutingTable.from_routes(list(gateway.store.table.routes.values()))
    used = time.thread_time() - before
    print(f"  {'the tree made in one go':<28} {'':>8}  one turn of {used * 1e3:6.1f} ms of CPU")
    requests, errors = read_wrk(text)
    assert len(made.routes) == ROUTES
    print(f"  requests meanwhile {requests}, errors={errors}\n", flush=True)
    await gateway.stop(0.1)


def read_wrk(text: str) -> tuple[int, int]:
    """Return how many requests wrk counted, and how many of them went wrong."""
    found = re.search(r"(\d+) requests in", text)
    errors = 0
    for bad in re.findall(r"(?:Non-2xx or 3xx responses:|Socket errors:) .*", text):
        errors += sum(map(int, re.findall(r"\d+", bad.partition(":")[2])))
    return int(found[1]) if found else 0, errors


def _make_route(folders: int, number: int, generation: int) -> Route:
    return parse_route(Body(line(number, 80, generation, folders)), GUARD, Scope())[0]


def measure_swap() -> None:
    """Time single changes of the table, by the clock and by CPU."""
    print(f"one route changed of {ROUTES}   (to reach: <= 1 ms)")
    for name, folders in FOLDERS.items():
        make = partial(_make_route, folders)
        table = RoutingTable.from_routes(make(number, 0) for number in range(ROUTES))
        gc.freeze()
        lane, cpu = Lane(f"swap, {name}"), Lane(f"swap, {name}, CPU")
        for number in range(SWAPS):
            route = make(number * 7 % ROUTES, number + 1)
            began, used = time.perf_counter(), time.thread_time()
            table = table.with_route(route)
            lane.seconds.append(time.perf_counter() - began)
            cpu.seconds.append(time.thread_time() - used)
            found = table.find("", (*route.prefix, "x"))
            lane.errors += found is None or found.routes != (route,)
        for one in (lane, cpu):
            tail = one.percentile(99) * 1e3
            print(
                f"  {one.name:<28} p50={one.median * 1e3:6.3f} ms  p99={tail:6.3f}"
                f"  errors={one.errors}"
            )
    print(flush=True)


async def change(port: int, upstream: int, lane: Lane) -> None:
    """Change the route that is under load, and others, one after the other."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    names = ("billing-7777", *(f"billing-{number}" for number in range(0, 1000, 7)))
    async with aiohttp.ClientSession(headers=headers) as session:
        for number in range(CHANGES):
            name = names[number % len(names) if number % 2 else 0]
            route = proxy_peers.route(upstream, name) | {"spec_hash": str(number)}
            began = time.perf_counter()
            async with session.post(f"http://127.0.0.1:{port}/admin/apis", json=route) as answer:
                lane.errors += answer.status != 200
            lane.seconds.append(time.perf_counter() - began)


def measure_load(folder: Path) -> None:
    """Load ours in rounds of wrk until all changes are made."""
    with proxy_peers.servers(folder, ["fast"], "full") as (core, peers):
        ours = next(peer for peer in peers if peer.filled is not None)
        proxy_peers.wait_until_served(ours, "full")
        proxy_peers.load(core, ours, "full", 1)
        ours.errors, rates = 0, []
        before = ours.resident()
        lane = Lane(f"{CHANGES} changes under load")
        changing = threading.Thread(
            target=lambda: asyncio.run(change(ours.port, ours.upstream, lane)), daemon=True
        )
        changing.start()
        until = time.monotonic() + SECONDS
        while changing.is_alive() and time.monotonic() < until:
            ours.rates.clear()
            proxy_peers.load(core, ours, "full", 2)
            rates += ours.rates
        changing.join(60)
        lane.errors += CHANGES - len(lane.seconds) + ours.errors
        show(f"{sum(rates) * 2:.0f} requests meanwhile", [lane], "0 errors")
        print(f"  {before:.0f} MiB before, {ours.resident():.0f} behind\n", flush=True)


def main() -> None:
    works = [one for one in WORKS if one in sys.argv] or list(WORKS)
    if "swap" in works:
        measure_swap()
    if "rebuild" in works:
        upstream = Child("benchmarks.proxy_swap", "upstream", "0")
        command = [sys.executable, "-m", "benchmarks.proxy_table", "serve", str(upstream.port)]
        subprocess.run(command, check=True, timeout=SECONDS)
        upstream.stop()
    if "load" in works:
        with tempfile.TemporaryDirectory() as folder:
            measure_load(Path(folder))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        tune_malloc()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure_rebuild(int(sys.argv[2])))
    else:
        main()

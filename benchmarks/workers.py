"""What several processes serve more than one does, and what sharing limits costs a request.

Gateways of one and of two workers (`python -m stoa_proxy --workers`) on all cores of this machine,
loaded by wrk in turn, round by round, without a backend: a policy `mock` answers. Two works:
`plain`, and `limits` with a rate limit and a quota, which all workers count in one memory. On two
cores wrk takes a part of what a second worker has, so the ratio stays below 2.

    python -m benchmarks workers
    python -m benchmarks.workers aiohttp limits   # one engine, one work
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.proxy_peers import CONNECTIONS, ENGINES, Peer, free_port, wait_for

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = float(os.environ.get("SECONDS", "3"))
WORKERS = (1, 2)
WORKS = ("plain", "limits")
TOKEN = "t"
MANY = 1_000_000_000

ROUTE = {
    "id": "r", "name": "r", "tenant_id": "acme", "path_prefix": "/a", "methods": [],
    "spec_hash": "h", "activated": True, "backend_url": "builtin:echo",
}  # fmt: skip
POLICIES: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {"mock": {"body": "x" * 100}},
    "limits": {
        "mock": {"body": "x" * 100},
        "rate_limit": {"requests": MANY, "window": "1h", "by": "ip"},
        "quota": {"requests": MANY, "period": "month", "by": "ip"},
    },
}


def call(port: int, method: str, path: str, body: object = None) -> Any:
    """Call the admin API; return what it says."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/admin/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def start(engine: str, workers: int, work: str, folder: Path) -> Peer:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "stoa_proxy", "--workers", str(workers)],
        env={**os.environ, "STOA_PORT": str(port), "STOA_ADMIN_API_TOKEN": TOKEN,
             "STOA_PROXY_ENGINE": engine},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(port)
    call(port, "POST", "apis", ROUTE)
    for kind, config in POLICIES[work].items():
        policy = {
            "id": kind, "name": kind, "policy_type": kind, "config": config, "priority": 1,
            "api_id": "r",
        }  # fmt: skip
        call(port, "POST", "policies", policy)
    return Peer(f"{workers} of {engine}, {work}", port, process, folder)


def load(peer: Peer, seconds: float) -> None:
    """One round of wrk; notes CPU per request, requests per second and errors."""
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds:g}s",
        f"http://127.0.0.1:{peer.port}/a",
    ]
    before = peer.seconds()
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = peer.seconds() - before
    found, rate = re.search(r"(\d+) requests in", text), re.search(r"sec:\s+([\d.]+)", text)
    if found is None or rate is None or not int(found[1]):
        sys.exit(f"wrk said:\n{text}")
    peer.cpu.append(used / int(found[1]))
    peer.rates.append(float(rate[1]))
    for bad in re.findall(r"(?:Non-2xx or 3xx responses:|Socket errors:) .*", text):
        peer.errors += sum(map(int, re.findall(r"\d+", bad.partition(":")[2])))


def measure(engine: str, work: str, folder: Path) -> None:
    peers: list[Peer] = []
    try:
        for workers in WORKERS:
            peers += [start(engine, workers, work, folder)]
        for peer in peers:
            load(peer, 1)  # warms up
            peer.cpu, peer.rates, peer.errors = [], [], 0
        for number in range(ROUNDS):
            # Each round begins with another one: what disturbs the machine hits all alike.
            for peer in peers[number % len(peers) :] + peers[: number % len(peers)]:
                load(peer, SECONDS)
        show(peers)
    finally:
        for peer in peers:
            peer.process.terminate()
            peer.process.wait(30)


def show(peers: list[Peer]) -> None:
    """Print medians, and those of the ratios of rounds to those of one worker."""
    for peer in peers:
        ratios = [one / other for one, other in zip(peer.rates, peers[0].rates, strict=True)]
        costs = [one / other for one, other in zip(peer.cpu, peers[0].cpu, strict=True)]
        print(
            f"  {peer.name:<26} {statistics.median(peer.rates):8.0f}/s"
            f"  x one {statistics.median(ratios):4.2f}"
            f"  CPU p50={statistics.median(peer.cpu) * 1e6:6.1f} us min={min(peer.cpu) * 1e6:6.1f}"
            f" x one {statistics.median(costs):4.2f}"
            f"  {peer.resident():5.0f} MiB  errors={peer.errors}"
        )
    print(flush=True)


def main() -> None:
    engines = [one for one in ENGINES if one in sys.argv] or list(ENGINES)
    works = [one for one in WORKS if one in sys.argv] or list(WORKS)
    with tempfile.TemporaryDirectory() as folder:
        for engine in engines:
            for work in works:
                measure(engine, work, Path(folder))


if __name__ == "__main__":
    main()

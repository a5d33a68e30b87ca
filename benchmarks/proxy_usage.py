"""What counting usage costs: CPU per request of the fast engine with it and without, in turn.

One gateway on one core, loaded by wrk from another as in `proxy_peers`. Meanwhile it counts usage,
by API and application, or leaves that out, and changes sides ten times a second: so both have the
same memory, the same caches and the same neighbours, and nothing else differs. CPU is what the
kernel counted for the whole process; what counts is the median of the pairs, whose order changes.
What is counted goes to a database every second, which is measured by itself.

    python -m benchmarks proxy_usage          # one route without policies, and everything on
    python -m benchmarks.proxy_usage plain
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.model import Route
from stoa_proxy.core.usage import Counted
from stoa_proxy.foundation.allocator import tune_malloc
from stoa_proxy.foundation.clock import SystemClock
from stoa_proxy.pipeline.request_ends import RequestEnds
from stoa_proxy.usage_file import UsageFile

os.environ.setdefault("PEER_ROUTES", "1000")  # read with the import below

from benchmarks import proxy_peers
from benchmarks.peer_configs import UPSTREAM

_log = logging.getLogger("stoa_proxy.access")
PAIRS = int(os.environ.get("PAIRS", "150"))
SLOT = 0.1
WRITES = 50
MOST = 0.03


class WithoutUsage(RequestEnds):
    """Ends of requests as the gateway counts them, but for usage."""

    def count_forwarded(
        self, method: str, route: Route, key: Counted, status: int, seconds: float, sent: int
    ) -> None:
        """Count the metrics of all requests alone."""
        if _log.isEnabledFor(logging.DEBUG):
            self._write(method, route, status, seconds, None)
        self.metrics.count_forwarded(method, status, seconds)


WAYS = {True: RequestEnds.count_forwarded, False: WithoutUsage.count_forwarded}


def turn(*, counts: bool) -> None:
    """Let gateways count usage from now on, or not.

    Both ways are methods of the class, put there anew: so the interpreter learns each alike.
    """
    RequestEnds.count_forwarded = WAYS[counts]  # type: ignore[method-assign,assignment]


async def compare(gateway: Gateway) -> list[tuple[float, float]]:
    """Return CPU seconds per request with usage and without, of PAIRS pairs of slots."""
    totals = gateway.pipeline.metrics.totals
    pairs = []
    for number in range(PAIRS):
        found = {}
        for counts in (True, False) if number % 2 else (False, True):
            turn(counts=counts)
            used, requests = time.process_time(), totals()[0]
            await asyncio.sleep(SLOT)
            done = totals()[0] - requests
            found[counts] = (time.process_time() - used) / max(1, done)
        pairs.append((found[True], found[False]))
    turn(counts=True)
    return pairs


async def time_write(gateway: Gateway, folder: Path) -> float:
    """Return the CPU seconds of what happens every second where usage is kept in a folder."""
    usage = gateway.pipeline.usage
    file = UsageFile(usage, folder, SystemClock())
    used = time.process_time()
    for _ in range(WRITES):
        usage.count_forwarded(("acme", "billing", ""), 200, 0.001, 100, 0)
        file.start()
        await file.stop()  # writes what was counted
    return (time.process_time() - used) / WRITES


async def serve(work: str, port: int, upstream: int, filled: str) -> None:
    config = ProxyConfig(
        port=port, admin_api_token="t", backends_allow=("127.0.0.0/8",), engine="fast"
    )
    gateway = Gateway(config)
    await gateway.start()
    await proxy_peers.fill(gateway, work, upstream)
    gc.collect()
    gc.freeze()
    begins, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, begins.set)
    ends = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ends.set)
    Path(filled).touch()
    await begins.wait()
    pairs = await compare(gateway)
    write = await time_write(gateway, Path(filled).parent)
    print(json.dumps({"pairs": pairs, "write": write}), flush=True)
    await ends.wait()  # what loads it is still there
    await gateway.stop(0.1)


def measure(folder: Path, work: str) -> None:
    core, other = proxy_peers.cores()
    upstream, port, filled = proxy_peers.free_port(), proxy_peers.free_port(), folder / "filled"
    http = UPSTREAM.format(port=upstream, body="x" * 100, kilobyte="x" * 1024)
    behind = proxy_peers.start_nginx(other, folder, "up", http)
    command = ["taskset", "-c", str(core), sys.executable, "-m", "benchmarks.proxy_usage", "serve"]
    # Its standard error is the access log.
    with (folder / "access.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, work, str(port), str(upstream), str(filled)],
            stdout=subprocess.PIPE,
            stderr=log,
        )
    peer = proxy_peers.Peer("fast", port, process, folder, filled=filled)
    try:
        proxy_peers.wait_until_served(peer, work)
        proxy_peers.load(other, peer, work, 2)  # warms up
        process.send_signal(signal.SIGUSR1)
        # Longer than the pairs take, so that the last have a load, too.
        proxy_peers.load(other, peer, work, round(PAIRS * SLOT * 2 * 1.1) + 2)
        assert process.stdout is not None
        found = json.loads(process.stdout.readline())
        if peer.errors:
            sys.exit(f"{peer.errors} errors: nothing is to be learned from that")
        show(work, found["pairs"], found["write"])
    finally:
        for one in (process, behind):
            one.terminate()
            one.wait(20)


def show(work: str, pairs: list[tuple[float, float]], write: float) -> None:
    counting, plain = zip(*pairs, strict=True)
    low, median, high = statistics.quantiles((one / other - 1 for one, other in pairs), n=4)
    print(
        f"{work}, {len(pairs)} pairs of {SLOT:g} s   (to reach: <= {MOST:.0%} of CPU)\n"
        f"  with usage {statistics.median(counting) * 1e6:6.2f} us of CPU per request,"
        f" without {statistics.median(plain) * 1e6:6.2f}: {median:+.1%}"
        f" (half of the pairs {low:+.1%} to {high:+.1%}), and the database"
        f" {write * 1e3:.1f} ms a second\n",
        flush=True,
    )


def main(arguments: list[str] | None = None) -> None:
    chosen = sys.argv[1:] if arguments is None else arguments
    for work in chosen or ["plain", "full"]:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), work)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        import uvloop

        tune_malloc()
        _, _, work, port, upstream, filled = sys.argv
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(work, int(port), int(upstream), filled))
    else:
        main()

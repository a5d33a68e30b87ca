"""Latency that the data plane adds at half load, beside nginx, as an open loop sees it.

The gateway (fast engine) and nginx stand before the same upstream, an nginx, with one core for what
is measured and one for all others, as in `proxy_peers`. wrk says what each serves on its core; then
requests come at half of the rate of the slower of them, at times that are due beforehand
(`open_loop`): to the upstream itself, to nginx, and to the gateway, in turn in one run. What counts
is the gateway's percentile of a round less nginx's of the same round, and the median of those.
Where the client cannot ask for so much without being what is measured, the rate is lower, and said.

What others do on these cores is in all of it by whole time slices of milliseconds. Where real-time
scheduling is allowed, `chrt -r 1` before the command keeps them away, and leaves them half a core.

    python -m benchmarks proxy_latency               # one route, no policies
    python -m benchmarks.proxy_latency full          # 10,000 routes, key, rate limit, access log
    RATE=2000 python -m benchmarks.proxy_latency     # at this rate, without asking wrk
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import proxy_peers
from benchmarks.open_loop import Round, ask

ROUNDS = int(os.environ.get("ROUNDS", "7"))
SECONDS = float(os.environ.get("SECONDS", "3"))
RATE = float(os.environ.get("RATE", "0"))
MOST_P50, MOST_P99 = 100e-6, 1e-3
# Of its core the client may use so much: the upstream is there, too, and takes a third as much.
CLIENT = 0.55


@dataclass
class Lane:
    """One server and its rounds."""

    name: str
    port: int
    path: str
    peer: proxy_peers.Peer | None = None
    rounds: list[Round] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # of the server, seconds per request

    def ask(self, core: int, work: str, rate: float) -> None:
        """Run a round."""
        before = self.peer.seconds() if self.peer else 0.0
        request = self.request(work)
        done = ask(core, self.port, request, rate, SECONDS, proxy_peers.CONNECTIONS)
        self.rounds.append(done)
        self.cpu.append(((self.peer.seconds() if self.peer else 0.0) - before) / done.asked)

    def median(self, figure: str) -> float:
        return statistics.median(float(getattr(one, figure)) for one in self.rounds)

    def added_to(self, other: Lane, figure: str) -> float:
        """Median of the differences to the same rounds of another one, in seconds."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return statistics.median(
            float(getattr(one, figure)) - float(getattr(two, figure)) for one, two in pairs
        )

    def request(self, work: str) -> bytes:
        key = (f"X-API-Key: {proxy_peers.KEY}",) if work == "full" else ()
        lines = f"GET {self.path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *proxy_peers.HEADERS
        return "\r\n".join([*lines, *key, "", ""]).encode()


def half_load(core: int, peers: list[proxy_peers.Peer], work: str) -> float:
    """Return half of what the slower one serves, by the median of three rounds of wrk each."""
    if RATE:
        return RATE
    for peer in [*peers, *peers, *peers]:
        proxy_peers.load(core, peer, work, SECONDS)
    rates = [statistics.median(peer.rates) for peer in peers]
    said = ", ".join(f"{peer.name} {rate:.0f}/s" for peer, rate in zip(peers, rates, strict=True))
    print(f"wrk: {said}", flush=True)
    return min(rates) / 2


def within_reach(core: int, upstream: Lane, work: str, rate: float) -> float:
    """Return the rate, or less where the client would be what is measured."""
    while True:
        upstream.ask(core, work, rate)
        used = upstream.rounds.pop().cpu
        upstream.cpu.clear()
        if used <= CLIENT:
            return rate
        rate *= CLIENT / used * 0.95
        print(f"the client took {used:.0%} of its core: {rate:.0f}/s instead", flush=True)


def measure(folder: Path, work: str) -> None:
    with proxy_peers.servers(folder, ["fast"], work) as (core, found):
        peers = [peer for peer in found if "envoy" not in peer.name]
        for peer in peers:
            proxy_peers.wait_until_served(peer, work)
            proxy_peers.load(core, peer, work, 1)  # warms up
            peer.rates.clear()
        rate = half_load(core, peers, work)
        path = proxy_peers.PATHS[work]
        upstream = Lane("upstream itself", peers[1].upstream, "/invoices/42")
        rate = within_reach(core, upstream, work, rate)
        lanes = [upstream]
        lanes += [Lane(peer.name, peer.port, path, peer) for peer in peers]
        for number in range(ROUNDS):
            # Each round begins with another one: what disturbs the machine hits all alike.
            for lane in lanes[number % 3 :] + lanes[: number % 3]:
                lane.ask(core, work, rate)
        show(work, rate, lanes)


def show(work: str, rate: float, lanes: list[Lane]) -> None:
    print(
        f"{work}, {rate:.0f} requests per second due, {ROUNDS} rounds of {SECONDS:g} s"
        f"   (to reach: added <= {MOST_P50 * 1e6:.0f} us p50, <= {MOST_P99 * 1e3:.0f} ms p99)"
    )
    for lane in lanes:
        p50, p99, p999, lag50, lag99 = (
            lane.median(figure) * 1e6 for figure in ("p50", "p99", "p999", "lag_p50", "lag_p99")
        )
        print(
            f"  {lane.name:<24} p50={p50:7.0f} us  p99={p99:8.0f}  p99.9={p999:8.0f}"
            f"  CPU={statistics.median(lane.cpu) * 1e6:3.0f} us"
            f"  client: lag p50={lag50:5.0f} p99={lag99:6.0f} us, {lane.median('cpu'):4.0%} of core"
            f"  no connection free={sum(one.backlog for one in lane.rounds)}"
            f"  errors={sum(one.errors for one in lane.rounds)}"
        )
    upstream, nginx, ours = lanes
    for name, one, other in (
        ("nginx adds", nginx, upstream),
        ("the gateway adds", ours, upstream),
        ("more than nginx", ours, nginx),
    ):
        p50, p99 = (one.added_to(other, figure) * 1e6 for figure in ("p50", "p99"))
        print(f"  {name:<24} p50={p50:7.0f} us  p99={p99:8.0f}")
    print(flush=True)


def main(arguments: list[str] | None = None) -> None:
    chosen = sys.argv[1:] if arguments is None else arguments
    with tempfile.TemporaryDirectory() as folder:
        for work in chosen or ["plain"]:
            measure(Path(folder), work)


if __name__ == "__main__":
    main()

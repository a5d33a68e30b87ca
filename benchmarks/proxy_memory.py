"""Memory of the fast engine under load: what is resident before and after, and how it grows.

1,000 routes with a key check, a rate limit, metrics and an access log on the one that wrk loads,
with 64 connections, in rounds of 10 s. The slope is that of the second half, by least squares.
nginx with the same table stands beside it, and is loaded as long in turn.

    python -m benchmarks proxy_memory            # 2 minutes
    MINUTES=10 python -m benchmarks.proxy_memory
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ["PEER_ROUTES"] = "1000"  # read with the import below, and by the processes it starts

from benchmarks import proxy_peers

MINUTES = float(os.environ.get("MINUTES", "2"))
ROUND = 10.0
MOST = 60


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        proxy_peers.servers(Path(folder), ["fast"], "full") as (core, found),
    ):
        peers = sorted(found, key=lambda peer: peer.filled is None)  # ours first
        points: dict[str, list[tuple[float, float]]] = {peer.name: [] for peer in peers}
        for peer in peers:
            proxy_peers.wait_until_served(peer, "full")
            points[peer.name].append((0.0, peer.resident()))
        began = time.monotonic()
        while (now := time.monotonic() - began) < MINUTES * 60:
            # Most of the time is ours: nginx is there to compare with.
            for peer, seconds in zip(peers, (ROUND, 1.0), strict=False):
                proxy_peers.load(core, peer, "full", seconds)
                points[peer.name].append((now, peer.resident()))
        print(f"{MINUTES:g} minutes of load, {len(proxy_peers.NUMBERS)} routes")
        for peer in peers:
            seen = points[peer.name]
            later = seen[len(seen) // 2 :]
            slope = statistics.linear_regression(*zip(*later, strict=True)).slope * 3600
            print(
                f"  {peer.name:<24} {seen[0][1]:6.1f} MiB before, {seen[-1][1]:6.1f} behind,"
                f" {max(size for _, size in seen):6.1f} at most  slope {slope:6.2f} MiB an hour"
                f"  {statistics.median(peer.rates):7.0f}/s  errors={peer.errors}"
            )
        print(f"  (to reach: <= {MOST} MiB, slope 0)\n", flush=True)


if __name__ == "__main__":
    main()

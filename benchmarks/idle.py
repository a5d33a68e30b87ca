"""What a process costs that has nothing to do: 10,000 APIs on the embedded gateway, default
intervals.

CPU of one core while idle, RSS after everything was applied, and RSS and its slope over 2,000
further cycles (asked for one after another over the control listener's own queue, by SIGHUP: each
is a full look).

    python -m benchmarks.idle [--apis 10000] [--seconds 120] [--cycles 2000]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.gen_catalog import generate

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
GATEWAY = """\
apiVersion: gostoa.dev/v1alpha1
kind: GatewayInstance
metadata: {name: main}
spec: {gatewayType: stoa, environment: prod, baseUrl: embedded}
"""


class Watched:
    """A `run` process and its figures."""

    def __init__(self, catalog: Path, state: Path, log: Path) -> None:
        env = {**os.environ, **{f"BACKEND_{team}_KEY": "a-key" for team in range(37)}}
        self.state = state
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "stoa_gitops",
                "run",
                "--catalog",
                str(catalog),
                "--state",
                str(state),
                "--control-listen",
                "127.0.0.1:0",
                "--gateway-listen",
                "127.0.0.1:0",
            ],
            env=env,
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
        )

    def cpu(self) -> float:
        """Seconds of CPU so far, of the process and the children it waited for."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS

    def rss(self) -> float:
        """MiB."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE / 2**20

    def status(self) -> dict[str, Any]:
        found = json.loads((self.state / "runtime.json").read_text())
        request = urllib.request.Request(
            found["control"] + "/v1/status",
            headers={"Authorization": f"Bearer {found['control_token']}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            document: dict[str, Any] = json.load(answer)
            return document

    def cycles(self) -> int:
        items = self.status()["items"]
        return int(items[0]["cycles"]) if items else 0

    def until_cycles(self, count: int) -> None:
        while self.cycles() < count:
            assert self.process.poll() is None, "it ended"
            time.sleep(0.02)


def started(watched: Watched) -> None:
    while True:
        assert watched.process.poll() is None, "it ended"
        try:
            if watched.cycles() >= 1:
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.2)


def slope(points: list[tuple[int, float]]) -> float:
    """MiB per 1,000 cycles, by least squares."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return statistics.linear_regression(xs, ys).slope * 1000


def measure(apis: int, seconds: float, cycles: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        generate(root / "c", apis, 100)
        (root / "c/gateways/main.yaml").write_text(GATEWAY)
        watched = Watched(root / "c", root / "s", root / "log")
        try:
            began = time.monotonic()
            started(watched)
            print(f"{apis} APIs on the embedded gateway")
            print(f"  first cycle done after      {time.monotonic() - began:8.1f} s")
            print(f"  CPU of the start            {watched.cpu():8.1f} s")
            print(f"  RSS                         {watched.rss():8.1f} MiB")
            watched.until_cycles(2)  # which reads back what the first one wrote
            time.sleep(5)
            before, at = watched.cpu(), time.monotonic()
            time.sleep(seconds)
            share = (watched.cpu() - before) / (time.monotonic() - at) * 100
            print(f"  CPU of one core while idle  {share:8.2f} %   (to reach: <= 1 %)")
            if cycles:
                many(watched, cycles)
        finally:
            watched.process.send_signal(signal.SIGTERM)
            watched.process.wait(60)


def many(watched: Watched, cycles: int) -> None:
    first, points = watched.cycles(), list[tuple[int, float]]()
    before = watched.cpu()
    for number in range(1, cycles + 1):
        watched.process.send_signal(signal.SIGHUP)
        watched.until_cycles(first + number)
        if number % 20 == 0:
            points.append((number, watched.rss()))
    spent = (watched.cpu() - before) / cycles * 1000
    later = points[len(points) // 2 :]
    print(f"  CPU of a further cycle      {spent:8.1f} ms")
    print(f"  RSS after {cycles} cycles      {points[-1][1]:8.1f} MiB (to reach: <= 250 MiB)")
    print(f"  slope over the second half  {slope(later):8.2f} MiB per 1,000 cycles (to reach: 0)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apis", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--cycles", type=int, default=2000)
    options = parser.parse_args()
    measure(options.apis, options.seconds, options.cycles)


if __name__ == "__main__":
    main()

"""Requests at times that are due beforehand, whatever was answered meanwhile: an open loop.

A client that sends the next request when the last one is answered (wrk, `proxy_load`) asks less of
a server that pauses, and so leaves out what all those would have waited who came meanwhile. Here
request `n` is due `n / rate` seconds after the beginning, and its latency counts from then: what it
waited for the client itself, or for a connection, is in it.

One thread, epoll and the kernel's own timer: asyncio's and libuv's timers have whole milliseconds,
in which a dozen requests would go out at once. How late the client was is reported with the rest.

    python -m benchmarks.open_loop PORT RATE SECONDS CONNECTIONS < a request   # prints JSON
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import socket
import statistics
import struct
import subprocess
import sys
import time
from array import array
from collections import deque
from dataclasses import asdict, dataclass

# After the last request was due, so many seconds for what is still unanswered.
PATIENCE = 10.0
OK = b"HTTP/1.1 200"


@dataclass
class Round:
    """What came of one round: seconds, and counts.

    `lag` is how late requests were sent though a connection was free, `backlog` how many had none,
    `cpu` the share of its core that the client used.
    """

    asked: int
    errors: int
    p50: float
    p99: float
    p999: float
    most: float
    lag_p50: float
    lag_p99: float
    backlog: int
    cpu: float


def ask(
    core: int, port: int, request: bytes, rate: float, seconds: float, connections: int
) -> Round:
    """Run one round in a process of its own, on one core."""
    command = [sys.executable, "-m", "benchmarks.open_loop"]
    command += map(str, (port, rate, seconds, connections))
    done = subprocess.run(
        ["taskset", "-c", str(core), *command], input=request, capture_output=True, check=True
    )
    return Round(**json.loads(done.stdout))


def percentile(ordered: array[float], percent: float) -> float:
    """The smallest one that `percent` of all do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Timer:
    """A timer of the kernel that comes due every `seconds`, from its start on; it never drifts."""

    def __init__(self, seconds: float) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        flags = os.O_NONBLOCK | os.O_CLOEXEC  # those of timerfd_create(2) are these
        self.number = libc.timerfd_create(time.CLOCK_MONOTONIC, flags)
        each = (int(seconds), max(1, int(seconds % 1 * 1e9)))
        self.began = time.monotonic()
        # Both the interval and the first time, as itimerspec has them.
        if libc.timerfd_settime(self.number, 0, struct.pack("4q", *each, *each), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")


class OpenLoop:
    """One round: sends what is due over idle connections, the one that has waited longest first."""

    def __init__(self, port: int, request: bytes, connections: int) -> None:
        self._request = request
        self._port = port
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._idle: deque[int] = deque()
        # By connection: when its request was due, and what is there of the answer.
        self._due: dict[int, float] = {}
        self._parts: dict[int, bytes] = {}
        self._length = 0  # of an answer; all are alike
        self._waiting: deque[float] = deque()
        self.latencies = array("d")
        self.lags = array("d")
        self.errors = self.backlog = 0
        for _ in range(connections):
            self._connect()

    def _connect(self) -> None:
        made = socket.create_connection(("127.0.0.1", self._port), 5)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setblocking(False)
        self._sockets[made.fileno()] = made
        self._poll.register(made.fileno(), select.EPOLLIN)
        self._idle.append(made.fileno())

    def warm(self) -> None:
        """Send a request over each connection at once, so that no round pays for connecting."""
        self.run(1e6, len(self._sockets) / 1e6)
        self.latencies, self.lags = array("d"), array("d")
        self.errors = self.backlog = 0

    def run(self, rate: float, seconds: float) -> None:
        """Send `rate * seconds` requests, and wait for the answers."""
        total, sent = int(rate * seconds), 0
        timer = Timer(1 / rate)
        self._poll.register(timer.number, select.EPOLLIN)
        last = timer.began + seconds + PATIENCE
        while (sent < total or self._due or self._waiting) and time.monotonic() < last:
            for number, _ in self._poll.poll(1):
                if number != timer.number:
                    self._receive(number)
                    continue
                (times,) = struct.unpack("Q", os.read(number, 8))
                for _ in range(min(times, total - sent)):
                    sent += 1
                    self._begin(timer.began + sent / rate)
            if sent == total:
                self._poll.modify(timer.number, 0)
        self._poll.unregister(timer.number)
        self.errors += total - len(self.latencies)
        os.close(timer.number)

    def _begin(self, due: float) -> None:
        if not self._idle:
            self.backlog += 1
            self._waiting.append(due)
            return
        self.lags.append(time.monotonic() - due)
        self._send(self._idle.popleft(), due)

    def _send(self, number: int, due: float) -> None:
        self._due[number] = due
        try:
            self._sockets[number].send(self._request)
        except OSError:
            self._lose(number)

    def _lose(self, number: int) -> None:
        """Have another connection; its request has no latency and so is an error."""
        self._due.pop(number, None)
        self._parts.pop(number, None)
        if number in self._idle:
            self._idle.remove(number)
        self._poll.unregister(number)
        self._sockets.pop(number).close()
        self._connect()

    def _receive(self, number: int) -> None:
        try:
            data = self._sockets[number].recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or number not in self._due:
            self._lose(number)
            return
        if number in self._parts:
            data = self._parts.pop(number) + data
        if len(data) != self._length and not self._is_whole(data):
            self._parts[number] = data
            return
        self.latencies.append(time.monotonic() - self._due.pop(number))
        if not data.startswith(OK):
            self.errors += 1
        if self._waiting:
            self._send(number, self._waiting.popleft())
        else:
            self._idle.append(number)

    def _is_whole(self, data: bytes) -> bool:
        head, found, body = data.partition(b"\r\n\r\n")
        length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        if not found or len(body) < int(length or 0):
            return False
        self._length = len(data)
        return True


def main() -> None:
    port, rate, seconds, connections = sys.argv[1:]
    loop = OpenLoop(int(port), sys.stdin.buffer.read(), int(connections))
    gc.disable()  # a collection here would be a latency there
    loop.warm()
    began, used = time.monotonic(), time.process_time()
    loop.run(float(rate), float(seconds))
    used = (time.process_time() - used) / (time.monotonic() - began)
    latencies = array("d", sorted(loop.latencies))
    lags = array("d", sorted(loop.lags))
    found = Round(
        asked=int(float(rate) * float(seconds)),
        errors=loop.errors,
        p50=statistics.median(latencies),
        p99=percentile(latencies, 99),
        p999=percentile(latencies, 99.9),
        most=latencies[-1],
        lag_p50=statistics.median(lags),
        lag_p99=percentile(lags, 99),
        backlog=loop.backlog,
        cpu=used,
    )
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()

"""Load for the data plane's benchmarks: requests over kept connections, and a cheap upstream.

Both speak bare asyncio protocols, so that neither is what is measured.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from dataclasses import dataclass

BODY = b'{"items": [' + b", ".join(b'{"id": %d, "name": "item"}' % n for n in range(20)) + b"]}"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 01 Jan 2028 00:00:00 GMT\r\n"
    b'Cache-Control: no-store\r\nETag: "abc"\r\nContent-Length: %d\r\n\r\n' % len(BODY)
) + BODY


class Upstream(asyncio.Protocol):
    """Answers every head with the same bytes."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


@dataclass
class Load:
    """What is sent, and how it went. `left` requests are still to be sent."""

    request: bytes
    left: int
    done: int = 0
    errors: int = 0


class Caller(asyncio.Protocol):
    """One kept connection: the next request goes out when the answer is whole."""

    transport: asyncio.Transport

    def __init__(self, load: Load, ended: asyncio.Future[None]) -> None:
        self._load = load
        self._ended = ended
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._load.errors += 1
            self._ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        if len(body) < int(length or 0):
            return
        self._buffer = b""
        self._load.done += 1
        self._load.errors += not head.startswith(b"HTTP/1.1 200")
        self._send()

    def _send(self) -> None:
        if self._load.left <= 0:
            self._ended.set_result(None)
            self.transport.close()
            return
        self._load.left -= 1
        self.transport.write(self._load.request)


async def send(port: int, request: bytes, count: int, connections: int) -> Load:
    """Send `count` requests over `connections` connections; those left unanswered are errors."""
    load = Load(request, count)
    loop = asyncio.get_running_loop()
    ends = [loop.create_future() for _ in range(connections)]
    for ended in ends:
        await loop.create_connection(lambda ended=ended: Caller(load, ended), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*ends)
    load.errors += count - load.done
    return load


class Child:
    """A process that prints its port, then its CPU seconds for every line it is sent."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._read())

    def cpu(self) -> float:
        """CPU seconds that it used so far, in user and in system mode."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._read())

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


async def serve_until_told(port: int) -> None:
    """The other side of Child: print `port`, answer lines, return at their end."""
    print(port, flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(used.ru_utime + used.ru_stime, flush=True)

"""One body of 1 GiB through the data plane, down and up, beside nginx: CPU, seconds, memory.

The gateways run on the first core that this process may use; this process, which is client and
upstream with blocking sockets, on the second. Four ways: `down` is a response and `up` a request
with a length, `down-chunked` and `up-chunked` the same in chunks. nginx runs twice: as its defaults
have it (it buffers, and writes requests to a file first), and passing on what comes
(`proxy_request_buffering off`, `proxy_buffering off`). Growth is the peak of resident memory while
the body passes less what was resident before.

    python -m benchmarks proxy_bodies
    MIB=256 ROUNDS=3 python -m benchmarks.proxy_bodies fast up
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.proxy_peers import (
    ENGINES,
    PATHS,
    Peer,
    cores,
    free_port,
    start_nginx,
    start_ours,
    wait_for,
    wait_until_served,
)

MIB = int(os.environ.get("MIB", "1024"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
WAYS = ("down", "up", "down-chunked", "up-chunked")
TARGET, GROWTH = 1.5, 30
BLOCK = bytes(256 * 1024)
CHUNK = b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK)
BLOCKS = MIB * 2**20 // len(BLOCK)
# Longer than any body takes on a busy machine: then the round is an error.
SECONDS = 120.0
HEAD_END = b"\r\n\r\n"
NGINX = """
  client_max_body_size 0; {more}
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 16; }}
  server {{ listen 127.0.0.1:{port};
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
    location /apis/acme/billing/ {{ proxy_pass http://up/; }} }}
"""
UNBUFFERED = "proxy_request_buffering off; proxy_buffering off;"


@dataclass
class Body:
    """What one peer did with the bodies of one way."""

    peer: Peer
    cpu: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    growth: list[float] = field(default_factory=list)
    errors: int = 0


class Wire:
    """A blocking connection: heads by line, bodies counted and thrown away."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(SECONDS)
        self._socket = connection
        self._held = b""
        self._space = memoryview(bytearray(len(BLOCK)))

    def read_head(self) -> bytes:
        """Return a head in lower case; empty at the end of the connection."""
        while HEAD_END not in self._held:
            data = self._socket.recv(65536)
            if not data:
                return b""
            self._held += data
        head, _, self._held = self._held.partition(HEAD_END)
        return head.lower()

    def read_body(self, head: bytes) -> int:
        """Return how many bytes a body had; of one in chunks with what frames it."""
        length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        if not length:
            return self._read_chunks() if b"\r\ntransfer-encoding: chunked" in head else 0
        count, self._held = len(self._held), b""
        while count < int(length):
            received = self._socket.recv_into(self._space)
            if not received:
                break
            count += received
        return count

    def _read_chunks(self) -> int:
        """Read until the last chunk: content is zeros only, so nothing else looks like it."""
        count, last = len(self._held), self._held[-5:]
        self._held = b""
        while last != b"0\r\n\r\n":
            received = self._socket.recv_into(self._space)
            if not received:
                return 0
            count += received
            last = (last + bytes(self._space[max(0, received - 5) : received]))[-5:]
        return count

    def write_body(self, *, is_chunked: bool) -> None:
        for _ in range(BLOCKS):
            self._socket.sendall(CHUNK if is_chunked else BLOCK)
        if is_chunked:
            self._socket.sendall(b"0\r\n\r\n")

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)


def framing(*, is_chunked: bool) -> bytes:
    return b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % (MIB * 2**20)


def serve_upstream(listener: socket.socket) -> None:
    """Answer each connection in a thread of its own, until the listener is closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=[connection], daemon=True).start()


def answer(connection: socket.socket) -> None:
    """Send a body to GET of a path that names a way, count that of a POST and say how many."""
    with closing(connection):
        wire = Wire(connection)
        try:
            while head := wire.read_head():
                target = head.split(b" ", 2)[1]
                if b"/down" in target:
                    is_chunked = target.endswith(b"-chunked")
                    wire.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing(is_chunked=is_chunked))
                    wire.write_body(is_chunked=is_chunked)
                    continue
                text = b"%d" % wire.read_body(head)
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
        except OSError:
            return  # a gateway that ends closes what it kept


def transfer(port: int, way: str) -> bool:
    """Let one body pass; return whether all of it arrived."""
    is_chunked = way.endswith("-chunked")
    path = f"{PATHS['plain']}/{way}".encode()
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
        wire = Wire(connection)
        if way.startswith("down"):
            wire.write(b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path)
            head = wire.read_head()
            count = wire.read_body(head)
            return b" 200 " in head and count >= MIB * 2**20
        wire.write(
            b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b\r\n\r\n"
            % (path, framing(is_chunked=is_chunked))
        )
        wire.write_body(is_chunked=is_chunked)
        head = wire.read_head()
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)
        text = wire._held or connection.recv(length)
        return b" 200 " in head and int(text) >= MIB * 2**20


def peak(peer: Peer) -> float:
    """MiB of the most that was resident, as the sum of all processes, since `forget_peak`."""
    return sum(kibibytes(pid, "VmHWM") for pid in peer.family()) / 1024


def kibibytes(pid: int, name: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition(f"\n{name}:")[2].split(maxsplit=1)[0])


def forget_peak(peer: Peer) -> None:
    for pid in peer.family():
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def measure(body: Body, way: str) -> None:
    """One round: CPU seconds, seconds by the clock, and growth in MiB."""
    peer = body.peer
    before, resident = peer.seconds(), peer.resident()
    forget_peak(peer)
    began = time.monotonic()
    try:
        body.errors += not transfer(peer.port, way)
    except (OSError, ValueError) as error:
        print(f"  {peer.name}: {error!r}")
        body.errors += 1
    body.seconds.append(time.monotonic() - began)
    body.cpu.append(peer.seconds() - before)
    body.growth.append(peak(peer) - resident)


@contextmanager
def servers(folder: Path, engines: list[str]) -> Iterator[list[Peer]]:
    """nginx by its defaults, nginx that passes on, then ours; all before this process."""
    core, other = cores()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        upstream = listener.getsockname()[1]
        threading.Thread(target=serve_upstream, args=[listener], daemon=True).start()
        peers = []
        try:
            for name, more in (("nginx", ""), ("nginx unbuffered", UNBUFFERED)):
                port = free_port()
                http = NGINX.format(port=port, upstream=upstream, more=more)
                process = start_nginx(core, folder, name.replace(" ", "-"), http)
                peers.append(Peer(name, port, process, folder))
            peers += [start_ours(core, folder, engine, "plain", upstream) for engine in engines]
            for peer in peers:
                wait_for(peer.port)
                wait_until_served(peer, "plain")
            os.sched_setaffinity(0, {other})
            yield peers
        finally:
            for peer in peers:
                peer.process.terminate()
            for peer in peers:
                peer.process.wait(30)


def show(way: str, bodies: list[Body]) -> None:
    """Print medians, and those of the ratios of rounds to those of either nginx."""
    print(f"{MIB} MiB {way}, {ROUNDS} rounds   (to reach: fast <= {TARGET} x nginx, {GROWTH} MiB)")
    for body in bodies:
        ratios = [
            statistics.median(
                one / max(other, 1e-3) for one, other in zip(body.cpu, to, strict=True)
            )
            for to in (bodies[0].cpu, bodies[1].cpu)
        ]
        print(
            f"  {body.peer.name:<26} CPU p50={statistics.median(body.cpu):6.2f} s"
            f"  x nginx {ratios[0]:4.2f}  x unbuffered {ratios[1]:4.2f}"
            f"  {statistics.median(body.seconds):6.2f} s"
            f"  growth {max(body.growth):6.1f} MiB  errors={body.errors}"
        )
    print(flush=True)


def main() -> None:
    engines = [one for one in ENGINES if one in sys.argv] or list(ENGINES)
    ways = [one for one in WAYS if one in sys.argv] or list(WAYS)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # nginx's worker, another user, writes its files below it
        with servers(Path(folder), engines) as peers:
            for way in ways:
                bodies = [Body(peer) for peer in peers]
                for number in range(ROUNDS):
                    # Each round begins with another one: what disturbs the machine hits all alike.
                    for body in bodies[number % len(bodies) :] + bodies[: number % len(bodies)]:
                        measure(body, way)
                show(way, bodies)


if __name__ == "__main__":
    main()

"""A SOCKS5 proxy on loopback (RFC 1928), without authentication."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator


class SocksProxy(socketserver.ThreadingTCPServer):
    """Connects to whatever it is asked for on loopback; `asked` has each host and port."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, int]] = []

    @property
    def url(self) -> str:
        return f"socks5h://127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.StreamRequestHandler):
    server: SocksProxy

    def handle(self) -> None:
        self.rfile.read(1)
        self.rfile.read(self.rfile.read(1)[0])
        self.wfile.write(b"\x05\x00")  # no authentication
        _, command, _, kind = self.rfile.read(4)
        assert command == 1  # CONNECT
        if kind == 1:
            host = socket.inet_ntoa(self.rfile.read(4))
        else:
            host = self.rfile.read(self.rfile.read(1)[0]).decode()
        port = int.from_bytes(self.rfile.read(2), "big")
        self.server.asked.append((host, port))
        with socket.create_connection(("127.0.0.1", port), 10) as upstream:
            self.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
            back = threading.Thread(target=_copy, args=(upstream, self.connection))
            back.start()
            _copy(self.connection, upstream)
            back.join(30)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def serve_socks() -> Iterator[SocksProxy]:
    """Serve until the end of the block."""
    with SocksProxy() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()

"""Documents by URL through the proxy of the environment, which is a real one on loopback."""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from stoa_gitops.cli import url_document
from stoa_gitops.cli.url_document import HostUnknown, read_url

BODY = b"openapi: 3.0.3\n"


class Proxy(socketserver.ThreadingTCPServer):
    """Answers each CONNECT, and then as the host behind it; keeps what it was asked."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.asked: list[bytes] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(socketserver.StreamRequestHandler):
    server: Proxy

    def head(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            lines.append(line)
        return b"".join(lines)

    def handle(self) -> None:
        self.server.asked.append(self.head())
        self.wfile.write(self.server.answer)
        if b" 200 " in self.server.answer:
            self.server.asked.append(self.head())
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)


@contextlib.contextmanager
def proxy(answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> Iterator[Proxy]:
    with Proxy(answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"api.example": ["93.184.216.34"], "inside.example": ["10.0.0.1"]}

    def resolve(host: str, port: int) -> list[str]:
        if host not in known:
            raise HostUnknown(f"{host} has no address")
        return known[host]

    monkeypatch.setattr(url_document, "_resolve", resolve)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_proxy_is_asked_for_the_address_that_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with proxy() as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:p%40ss@{server.address}")
        monkeypatch.setenv("http_proxy", f"http://user:p%40ss@{server.address}")
        assert read_url("http://api.example/openapi.yaml?x=1", allow_private=False) == BODY
        connect, request = server.asked
    assert connect.startswith(b"CONNECT 93.184.216.34:80 ")
    assert base64.b64encode(b"user:p@ss") in connect
    assert request.startswith(b"GET /openapi.yaml?x=1 ")
    assert b"Host: api.example\r\n" in request
    assert b"Proxy-Authorization" not in request


def test_names_go_to_a_proxy_only_where_private_addresses_are_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with proxy() as server:
        monkeypatch.setenv("all_proxy", server.address)
        with pytest.raises(OSError, match=r"10\.0\.0\.1, of this machine or a private network"):
            read_url("http://inside.example/", allow_private=False)
        with pytest.raises(OSError, match="nobody can tell what the proxy would call"):
            read_url("http://unknown.example/", allow_private=False)
        monkeypatch.setattr(url_document, "_resolve", lambda *_: ["169.254.169.254"])
        with pytest.raises(OSError, match="never called"):
            read_url("http://169.254.169.254/", allow_private=True)
        assert server.asked == []
        monkeypatch.setattr(url_document, "_resolve", lambda *_: ["10.0.0.1"])
        assert read_url("http://inside.example/", allow_private=True) == BODY
        assert server.asked[0].startswith(b"CONNECT inside.example:80 ")


def test_no_proxy_exempts_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy() as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("all_proxy", server.address)
        monkeypatch.setenv("no_proxy", ".example")
        monkeypatch.setattr(url_document, "_resolve", lambda *_: ["127.0.0.1"])
        with pytest.raises(OSError, match="cannot be reached"):
            read_url(f"http://api.example:{closed.getsockname()[1]}/", allow_private=True)
        assert server.asked == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "with --allow-private it is asked for api.example"),
        (b"hello\r\n\r\n", "does not answer as one"),
    ],
)
def test_a_proxy_that_refuses_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, said: str
) -> None:
    with proxy(answer) as server:
        monkeypatch.setenv("all_proxy", f"http://me:hunter2@{server.address}")
        with pytest.raises(OSError, match=said) as caught:
            read_url("http://api.example/", allow_private=False)
    assert server.address in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("kind", ["https", "socks5"])
def test_other_proxies_are_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("all_proxy", f"{kind}://me:hunter2@proxy.example:1")
    with pytest.raises(OSError, match="fetch it to a file") as caught:
        read_url("http://api.example/", allow_private=False)
    assert "hunter2" not in str(caught.value)

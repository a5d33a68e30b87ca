"""The built-in probe: 0 on 2xx in time, 1 otherwise, and never longer than it was given."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stoa_gitops.cli.main import main


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = int(self.path.strip("/").partition("?")[0] or 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/200")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def trickling() -> Iterator[str]:
    """A server that sends a byte of its answer now and then, and never ends."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not stop.wait(0.02):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("path", "code"), [("", 0), ("/200", 0), ("/204?a=b", 0), ("/302", 1), ("/404", 1), ("/503", 1)]
)
def test_only_2xx_is_well(
    url: str, path: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", url + path, "--timeout", "30s"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert bool(err) == bool(code)


def test_nobody_there_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        assert main(["check", f"http://127.0.0.1:{port}/health"]) == 1
    assert "refused" in capsys.readouterr().err


def test_an_answer_that_trickles_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    with trickling() as url:
        assert main(["check", url, "--timeout", "200ms"]) == 1
    assert "no answer within 0.2 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["ftp://x/"], ["/health"], ["http://x", "--timeout", "soon"], ["http://x", "--timeout", "0s"]],
)
def test_what_cannot_be_asked_is_64(arguments: list[str]) -> None:
    assert main(["check", *arguments]) == 64

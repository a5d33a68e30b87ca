"""The client to a running process: what it says when that process is not as it should be."""

from __future__ import annotations

import http.client
import http.server
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from stoa_gitops.cli.remote import Endpoint, Remote, RemoteFailed, at, find
from stoa_gitops.errors import UsageError
from stoa_gitops.state_folder import lock as state_lock
from stoa_gitops.state_folder import runtime_file as runtime
from tests.pki import Authority

TOKEN = "a-token-that-stays-secret"


class Canned(http.server.BaseHTTPRequestHandler):
    status: ClassVar[int] = 200
    body: ClassVar[bytes] = b"{}"

    def do_GET(self) -> None:
        right = self.headers["Authorization"] == f"Bearer {TOKEN}"
        self.send_response(self.status if right else 599)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def answering(status: int, body: bytes, tls: ssl.SSLContext | None = None) -> Iterator[Remote]:
    handler = type("Handler", (Canned,), {"status": status, "body": body})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield Remote(Endpoint(url, TOKEN, os.getpid()))
        finally:
            server.shutdown()
            thread.join()


def test_a_document_is_returned() -> None:
    with answering(200, b'{"a": 1}') as remote:
        assert remote.get("/v1/status") == {"a": 1}


@pytest.mark.parametrize("status", [400, 404, 409])
def test_what_a_person_asked_wrongly_is_a_usage_error_in_the_words_of_the_process(
    status: int,
) -> None:
    body = b'{"detail": "there is: a, b"}'
    with answering(status, body) as remote, pytest.raises(UsageError, match="there is: a, b"):
        remote.post("/v1/gateways/x/suspend", {"reason": "y"})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"detail": "x"}'),
        (200, b"<html>"),
        (200, b"[]"),
        (502, b""),
        (401, b'{"detail": "z"}'),
    ],
)
def test_anything_else_has_failed(status: int, body: bytes) -> None:
    said = pytest.raises(RemoteFailed, match=str(status))
    with answering(status, body) as remote, said as caught:
        remote.get("/v1/status")
    assert TOKEN not in str(caught.value)


def test_a_process_that_does_not_answer_is_named_without_its_token() -> None:
    with answering(200, b"{}") as remote:
        pass
    with pytest.raises(RemoteFailed, match=f"process {os.getpid()} runs") as caught:
        remote.get("/v1/status")
    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(remote)


def test_a_process_is_found_by_its_file_while_it_lives(tmp_path: Path) -> None:
    assert find(tmp_path) is None
    with state_lock.hold_state_lock(tmp_path):
        known = runtime.Runtime(os.getpid(), "http://127.0.0.1:9", control_token=TOKEN)
        runtime.write_runtime(tmp_path, known)
        found = find(tmp_path)
        assert found is not None
        assert found.address == "http://127.0.0.1:9"
        (tmp_path / "runtime.json").write_text("{")
        assert find(tmp_path) is None


def test_a_process_elsewhere_is_asked_with_the_path_that_its_address_has() -> None:
    with answering(200, b'{"a": 1}') as here:
        asked: list[str] = []
        remote = at(f"{here.address}/control/", TOKEN)
        with pytest.MonkeyPatch.context() as patch:
            send = http.client.HTTPConnection.request

            def note(self: object, method: str, path: str, *rest: object) -> None:
                asked.append(path)
                send(self, method, path, *rest)  # type: ignore[arg-type]

            patch.setattr(http.client.HTTPConnection, "request", note)
            assert remote.get("/v1/snapshots") == {"a": 1}
    assert asked == ["/control/v1/snapshots"]
    with pytest.raises(RemoteFailed, match="does not answer") as caught:
        remote.get("/v1/snapshots")
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://stoa.example.com", "plain text"),
        ("http://192.0.2.1:8000", "plain text"),
        ("stoa.example.com", "no address"),
        ("ftp://stoa.example.com", "no address"),
        ("https://me:word@stoa.example.com", "no address"),
        ("https://stoa.example.com?tenant=acme", "no address"),
        ("https://stoa.example.com:99999", "no address"),
    ],
)
def test_an_address_that_would_give_the_token_away_is_refused(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        at(url, TOKEN)
    assert "word" not in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_token_goes_to_who_proves_its_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    shown = authority.issue("server", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.certificate_file, shown.key_file)
    with answering(200, b'{"a": 1}', context) as here:
        remote = at(here.address.replace("http://127.0.0.1", "https://localhost"), TOKEN)
        with pytest.raises(RemoteFailed, match="SSLCertVerificationError"):
            remote.get("/v1/snapshots")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        assert remote.get("/v1/snapshots") == {"a": 1}

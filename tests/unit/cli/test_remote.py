"""The client to a running process: what it says when that process is not as it should be."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from stoa_gitops.cli.remote import Remote, RemoteFailed, find
from stoa_gitops.errors import UsageError
from stoa_gitops.state_folder import lock as state_lock
from stoa_gitops.state_folder import runtime_file as runtime

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
def answering(status: int, body: bytes) -> Iterator[Remote]:
    handler = type("Handler", (Canned,), {"status": status, "body": body})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        yield Remote(runtime.Runtime(os.getpid(), url, control_token=TOKEN))
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

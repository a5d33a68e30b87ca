"""The client to a process that runs on this machine: found by runtime.json of the state folder."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from stoa_gitops.errors import StoaGitopsError, UsageError
from stoa_gitops.state_folder import runtime_file as runtime

TIMEOUT: Final = 10.0
"""Seconds for each step of an exchange; the process answers from memory."""

MAX_ANSWER: Final = 64 * 1024 * 1024


class RemoteFailed(StoaGitopsError):
    """A running process did not answer, or refused; `str()` has its words."""

    reason: ClassVar[str] = "RemoteFailed"


class Remote:
    """One running process. The token is sent to its own address only and is in no message."""

    def __init__(self, running: runtime.Runtime) -> None:
        self._running = running

    @property
    def address(self) -> str:
        """The base URL of its control listener."""
        return self._running.control

    def get(self, path: str) -> dict[str, Any]:
        """Return a JSON document; raises RemoteFailed, or UsageError where there is no such thing."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Ask for something; raises as `get` does."""
        return self._ask("POST", path, json.dumps(body).encode() if body else None)

    def _ask(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port or 80, timeout=TIMEOUT
        )
        headers = {"Authorization": f"Bearer {self._running.control_token}"}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            raw = answer.read(MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise RemoteFailed(
                f"process {self._running.pid} runs, but {self.address} does not answer "
                f"({type(error).__name__}); its log may say why"
            ) from None
        finally:
            connection.close()
        return _document(answer.status, raw)


def _document(status: int, raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise RemoteFailed(f"the running process answered {status} without a document")
    if status < 300:
        return document
    message = str(document.get("detail", status))
    if status in (400, 404, 409):
        raise UsageError(message)
    raise RemoteFailed(f"the running process answered {status}: {message}")


def find(folder: Path) -> Remote | None:
    """Return the process that runs with a state folder; None where none does."""
    running = runtime.read_runtime(folder)
    return Remote(running) if running is not None and running.control else None

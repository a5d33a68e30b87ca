"""Client of the control API of a process on this machine, found by runtime.json."""

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

MAX_RESPONSE: Final = 64 * 1024 * 1024
"""Bytes of a response that are read: far more than a status of 10,000 gateways."""


class RemoteFailed(StoaGitopsError):
    """A running process did not respond, or refused; `str()` has its message."""

    reason: ClassVar[str] = "RemoteFailed"


class Remote:
    """One running process; its token is sent to its own address only and is in no message."""

    def __init__(self, running: runtime.Runtime) -> None:
        self._running = running

    @property
    def address(self) -> str:
        """The base URL of its control listener."""
        return self._running.control

    def get(self, path: str, seconds: float = TIMEOUT) -> dict[str, Any]:
        """Return a JSON document; raises RemoteFailed, and UsageError for 400, 404 and 409.

        `seconds` bounds each step of the exchange.
        """
        return self._request("GET", path, None, seconds)

    def post(self, path: str, body: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Send a request that changes something; raises as `get` does."""
        return self._request("POST", path, json.dumps(body).encode() if body else None, TIMEOUT)

    def _request(
        self, method: str, path: str, body: bytes | None, seconds: float
    ) -> dict[str, Any]:
        token = self._running.control_token
        return _parse(*exchange(self._running, self.address, token, (method, path, body), seconds))


def exchange(
    running: runtime.Runtime,
    address: str,
    token: str,
    request: tuple[str, str, bytes | None],
    seconds: float,
) -> tuple[int, bytes]:
    """Send (method, path, body) to an address of a running process; return status and body.

    Raises RemoteFailed where nothing answers. `seconds` bounds each step of the exchange.
    """
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=seconds)
    # In a header only: addresses are logged, headers are not.
    headers = {"Authorization": f"Bearer {token}"}
    if request[2] is not None:
        headers["Content-Type"] = "application/json"
    try:
        connection.request(*request, headers)
        response = connection.getresponse()
        return response.status, response.read(MAX_RESPONSE)
    except (OSError, http.client.HTTPException) as error:
        raise RemoteFailed(
            f"process {running.pid} runs, but {address} does not answer "
            f"({type(error).__name__}); its log may say why"
        ) from None
    finally:
        connection.close()


def _parse(status: int, raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise RemoteFailed(f"the running process answered {status} without a document")
    if status < 300:
        return document
    message = str(document.get("detail", status))
    # These are about what the person asked for; all others are about the process.
    if status in (400, 404, 409):
        raise UsageError(message)
    raise RemoteFailed(f"the running process answered {status}: {message}")


def find(folder: Path) -> Remote | None:
    """Return the process that runs with a state folder, or None."""
    running = runtime.read_runtime(folder)
    return Remote(running) if running is not None and running.control else None

"""Client of the control API: of a process on this machine, found by runtime.json, or by a URL."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from stoa_gitops.errors import GatewayMalformed, StoaGitopsError, UsageError
from stoa_gitops.state_folder import runtime_file as runtime

TIMEOUT: Final = 10.0
"""Seconds for each step of an exchange; the process answers from memory."""

MAX_RESPONSE: Final = 64 * 1024 * 1024
"""Bytes of a response that are read: far more than a status of 10,000 gateways."""


class RemoteFailed(StoaGitopsError):
    """A running process did not respond, or refused; `str()` has its message."""

    reason: ClassVar[str] = "RemoteFailed"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A base URL and the token that is sent there only; `pid` of a process on this machine."""

    address: str
    token: str = field(repr=False)
    pid: int | None = None

    def exchange(
        self, method: str, path: str, body: bytes | None, seconds: float
    ) -> tuple[int, bytes]:
        """Send a request; return status and body. Raises RemoteFailed where nothing answers.

        `seconds` bounds each step of the exchange. No proxy is used, no redirect followed.
        """
        parts = urlsplit(self.address)
        is_tls = parts.scheme == "https"
        make = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        connection = make(parts.hostname or "", parts.port, timeout=seconds)
        # In a header only: addresses are logged, headers are not.
        headers = {"Authorization": f"Bearer {self.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, parts.path + path, body, headers)
            response = connection.getresponse()
            return response.status, response.read(MAX_RESPONSE)
        except (OSError, http.client.HTTPException) as error:
            raise RemoteFailed(self._silent(type(error).__name__)) from None
        finally:
            connection.close()

    def _silent(self, why: str) -> str:
        if self.pid is None:
            return f"{self.address} does not answer ({why})"
        return (
            f"process {self.pid} runs, but {self.address} does not answer ({why}); its log may "
            "say why"
        )


class Remote:
    """One process that answers at an endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def address(self) -> str:
        """The base URL of its control listener."""
        return self._endpoint.address

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
        return _parse(*self._endpoint.exchange(method, path, body, seconds))


def _parse(status: int, raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise RemoteFailed(f"the process answered {status} without a document")
    if status < 300:
        return document
    message = str(document.get("detail", status))
    # These are about what the person asked for; all others are about the process.
    if status in (400, 404, 409):
        raise UsageError(message)
    raise RemoteFailed(f"the process answered {status}: {message}")


def find(folder: Path) -> Remote | None:
    """Return the process that runs with a state folder, or None."""
    running = runtime.read_runtime(folder)
    if running is None or not running.control:
        return None
    return Remote(Endpoint(running.control, running.control_token, running.pid))


def at(url: str, token: str) -> Remote:
    """Return the process whose control API is at a base URL; raises UsageError for a wrong one.

    A token goes to another machine by https only: plain text is read on the way.
    """
    from stoa_gitops.adapter_sdk.http.auth import is_loopback, normalise_base_url

    try:
        address = normalise_base_url(url)
    except GatewayMalformed:
        raise UsageError(
            "this is no address of a control API: write https://HOST, without user, query or "
            "fragment"
        ) from None
    if not address.startswith("https:") and not is_loopback(address):
        raise UsageError(f"{address} would get the token in plain text: write https://")
    return Remote(Endpoint(address, token))

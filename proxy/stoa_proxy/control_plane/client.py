"""HTTP calls to the control plane: bounded in time and size, never redirected, always verified."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from stoa_proxy.admin.json_body import read_json
from stoa_proxy.control_plane.gateway_key import GatewayKey
from stoa_proxy.control_plane_config import ControlPlaneConfig
from stoa_proxy.engines.complete.upstream.resolver import LookUp, Resolver, look_up
from stoa_proxy.errors import BodyRefused, ConfigInvalid, ControlPlaneFailed
from stoa_proxy.foundation.clock import Clock

PREFIX: Final = "/v1/internal/gateways"
"""Where the documented calls of gateways are."""

CALL_SECONDS: Final = 30.0
"""From connecting to the last byte of a short response; that of STOA gateway 0.9.25."""

# A registration has one or two kibibytes; what is larger is another server's page.
_MAX_BYTES = 256 * 1024
_SILENT_SECONDS = 30.0
# One each for beats, the table, readiness and usage, and one to spare.
_CONNECTIONS = 5


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response: its status, its headers by names in lower case, its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Mapping[str, object]:
        """Return the body as an object. Raises ControlPlaneFailed for what is none."""
        try:
            return read_json("application/json", self.body).values
        except BodyRefused as refused:
            raise ControlPlaneFailed(refused.text) from None

    def describe(self) -> str:
        """Return status and reason for a log line."""
        location = " (a redirect, which is not followed)" if 300 <= self.status < 400 else ""
        return f"status {self.status}{location}{problem_detail(self.headers, self.body)}"


@dataclass(frozen=True, slots=True)
class Download:
    """The head of a response whose body comes in `parts`."""

    status: int
    headers: Mapping[str, str]
    parts: AsyncIterator[bytes]


def problem_detail(headers: Mapping[str, str], body: bytes) -> str:
    """Return what a problem (RFC 9457) says of itself, after a colon; empty for anything else."""
    if "application/problem+json" not in headers.get("content-type", ""):
        return ""
    try:
        detail = read_json("application/json", body).text("detail", "")
    except BodyRefused:
        return ""
    return f": {detail[:300]!r}"


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After, None for none and for a date."""
    text = headers.get("retry-after", "")
    # Six digits are more than a week.
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 6 else None


class ControlPlaneClient:
    """Calls of one gateway, for one event loop: `open` it first and `close` it last.

    The control plane is the operator's own, so the address rules of backends do not hold here.
    Proxies of the environment are not used: the key would go through them.
    """

    def __init__(
        self,
        config: ControlPlaneConfig,
        key: GatewayKey,
        clock: Clock,
        agent: str,
        look_up: LookUp = look_up,
    ) -> None:
        self._url = config.url
        self._key = key
        self._clock = clock
        self._agent = agent
        self._look_up = look_up
        self._ssl = _make_ssl(config)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the session; nothing is sent yet."""
        connector = aiohttp.TCPConnector(
            limit=_CONNECTIONS,
            ssl=self._ssl,
            # On threads of their own: a slow lookup holds up neither others nor the end.
            resolver=Resolver(self._clock, lambda: "", _CONNECTIONS, self._look_up),
            # The resolver has a cache of its own.
            use_dns_cache=False,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._agent, "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=False,
            raise_for_status=False,
        )

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        seconds: float = CALL_SECONDS,
    ) -> Response:
        """Send a call with the key and return the whole response. Raises ControlPlaneFailed.

        A key that is refused is read again from its file, and tried once if it is another one.
        """
        headers = {"Accept": "application/json"}
        content = None
        if body is not None:
            content = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        url = self._url + path
        response = await self._read(method, url, headers | self._key_header(), content, seconds)
        if response.status == 401 and self._key.reload():
            response = await self._read(method, url, headers | self._key_header(), content, seconds)
        return response

    async def get_open(self, url: str | None = None, *, seconds: float) -> Response:
        """Ask without the key: the control plane's `/health`, or another server's `url`."""
        return await self._read("GET", url or f"{self._url}/health", {}, None, seconds)

    @asynccontextmanager
    async def download(
        self, path: str, headers: Mapping[str, str], *, seconds: float
    ) -> AsyncIterator[Download]:
        """Yield a response whose body is read while it comes. Raises ControlPlaneFailed.

        `seconds` bound the whole, and 30 s any silence.
        """
        with _failures():
            for is_last in (False, True):
                async with self._send(
                    "GET", self._url + path, {**headers, **self._key_header()}, None, seconds
                ) as response:
                    if response.status == 401 and not is_last and self._key.reload():
                        continue
                    yield Download(response.status, _headers(response), _parts(response))
                    return

    def _key_header(self) -> dict[str, str]:
        return {"X-Gateway-Key": self._key.value}

    async def _read(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        seconds: float,
    ) -> Response:
        with _failures():
            async with self._send(method, url, headers, content, seconds) as response:
                body = bytearray()
                async for part in response.content.iter_any():
                    body += part
                    if len(body) > _MAX_BYTES:
                        # Closed, not drained: the rest may be of any length.
                        response.close()
                        raise ControlPlaneFailed(f"a response of more than {_MAX_BYTES} bytes")
                return Response(response.status, _headers(response), bytes(body))

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        seconds: float,
    ) -> Any:
        if self._session is None:
            raise ControlPlaneFailed("the client is closed")
        return self._session.request(
            method,
            url,
            headers=headers,
            data=content,
            # The key would go along, to whatever host the response names.
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=seconds, sock_read=min(seconds, _SILENT_SECONDS)),
        )


class _failures:  # noqa: N801 - reads as a statement
    """Turns what the HTTP library raises into ControlPlaneFailed; the message holds no header."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, TimeoutError):
            raise ControlPlaneFailed("no response in time") from None
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            raise ControlPlaneFailed(f"its certificate is not trusted: {error}") from None
        if isinstance(error, aiohttp.ClientConnectorError):
            raise ControlPlaneFailed(_no_connection(error)) from None
        if isinstance(error, (aiohttp.ClientError, OSError)):
            raise ControlPlaneFailed(str(error) or type(error).__name__) from None


def _no_connection(error: aiohttp.ClientConnectorError) -> str:
    """Return where no connection came about and why; the library's text names TLS for http, too."""
    cause = error.os_error
    if isinstance(cause, ssl.SSLError):
        why = f"no TLS there ({cause.reason or cause})"
    else:
        # Numbers of name resolution are below zero, and no errno.
        number = cause.errno or 0
        why = os.strerror(number) if number > 0 else cause.strerror or str(cause)
    host = f"[{error.host}]" if ":" in error.host else error.host
    return f"no connection to {host}:{error.port}: {why}"


async def _parts(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    # Here, too: whoever reads must not meet errors of the HTTP library.
    with _failures():
        async for part in response.content.iter_any():
            yield part


def _headers(response: aiohttp.ClientResponse) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _make_ssl(config: ControlPlaneConfig) -> ssl.SSLContext | bool:
    if config.ca_file is None and not config.url.startswith("https"):
        return True  # the library's own, which verifies, too
    context = ssl.create_default_context()
    if config.ca_file is not None:
        try:
            context.load_verify_locations(config.ca_file)
        except OSError as error:  # ssl.SSLError is one
            reason = error.strerror or "no certificates"
            raise ConfigInvalid(f"STOA_CONTROL_PLANE_CA_FILE {config.ca_file}: {reason}") from None
    return context

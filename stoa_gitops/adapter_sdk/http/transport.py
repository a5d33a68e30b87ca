"""Sends one request and reads its response: over HTTP, or to a gateway in this process."""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import httpcore
import httpx

from stoa_gitops.adapter_sdk.http.auth import (
    credential_header,
    normalise_base_url,
    tls_context,
)
from stoa_gitops.adapter_sdk.http.connections import Connections, Wire, proxied
from stoa_gitops.adapter_sdk.http.encodings import decoded
from stoa_gitops.adapter_sdk.http.proxies import environment_proxy
from stoa_gitops.adapter_sdk.http.registered_address import (
    CheckedAddresses,
    Resolve,
    resolve_host,
)
from stoa_gitops.adapter_sdk.http.responses import MAX_BODY, Response
from stoa_gitops.adapter_sdk.info import Connection, InProcessAdmin
from stoa_gitops.errors import (
    GatewayAddressRefused,
    GatewayMalformed,
    GatewayUnauthorized,
    GatewayUnreachable,
)
from stoa_gitops.model.redaction import Redactor

_PLAIN_TARGET: Final = re.compile(
    r"(?:/(?!\.)[!$&'()*+,\-.0-9:;=@A-Z_a-z~%]*)+(?:\?[!$&'()*+,\-./0-9:;=?@A-Z_a-z~%]*)?"
)
"""A target that goes out as it is: without dot segments, and nothing to be escaped."""

_WITH_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests say that they have no body (RFC 9110 §8.6)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one client.

    connect_seconds   for a connection; TCP repeats a lost SYN after 1 s (RFC 6298)
    read_seconds      between two pieces of a response; a gateway may compute a list that long
    call_seconds      for a call with all its tries and pauses: 3 reads, less than a write's 60 s
    tries             of a repeatable call
    base_seconds      a pause is random between 0 and `base_seconds * 2**try` …
    cap_seconds       … and at most this
    busy_cap_seconds  longest Retry-After that is waited for within a call; a longer one ends it
    max_body          bytes of a response
    connections       in the pool: twice the concurrent writes, so that reads find one
    """

    connect_seconds: float = 3.0
    read_seconds: float = 15.0
    call_seconds: float = 45.0
    tries: int = 3
    base_seconds: float = 0.2
    cap_seconds: float = 5.0
    busy_cap_seconds: float = 20.0
    max_body: int = MAX_BODY
    connections: int = 16


class Transport:
    """One pool of connections, opened on first use. Raises GatewayError and nothing else.

    Requests go to httpcore, and not through httpx: what that adds (redirects, cookies,
    authentication of its own) must not be, and is half of a request's CPU. Gravitee asks whoever
    sends a cookie of its session for a CSRF token.

    timeout  of the next requests; a test may shorten it
    resolve  finds the addresses of a gateway that registered itself, see `registered_address`
    """

    def __init__(
        self, connection: Connection, limits: Limits, resolve: Resolve = resolve_host
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._resolve = resolve
        self._wire: Wire | None = None
        self._base_url = httpx.URL()
        self.timeout = httpx.Timeout(limits.read_seconds, connect=limits.connect_seconds)
        self.redact = Redactor([*connection.credentials.values(), *connection.tls.values()])

    async def aclose(self) -> None:
        """Close the connections; the next request opens them again."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.aclose()

    async def send(
        self,
        method: str,
        path: str,
        what: str,
        content: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> Response:
        """Send once and return the response, whatever its status.

        Raises GatewayUnreachable, GatewayUnauthorized (no usable credential), GatewayMalformed,
        and GatewayAddressRefused for a gateway that registered itself elsewhere.
        """
        sent = {**({"Content-Type": "application/json"} if content else {}), **(headers or {})}
        if self._connection.inside is not None:
            return await self._send_in_process(
                self._connection.inside, method, path, what, content, sent
            )
        response = await self._request(method, path, what, content, sent)
        try:
            body = await self._collect(self._pieces(response, what), what)
            return Response(response.status, _named(response), body)
        finally:
            await response.aclose()

    @asynccontextmanager
    async def stream(
        self, path: str, what: str, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[int, Mapping[str, str], AsyncIterator[bytes]]]:
        """GET once, and give status, headers (names in lower case) and the pieces of the body.

        Raises as `send`; what reading the pieces raises is of the same kind.
        """
        if self._connection.inside is not None:
            answer = await self._connection.inside("GET", path, {**self._headers, **headers}, b"")
            yield answer
            return
        response = await self._request("GET", path, what, None, headers)
        try:
            yield response.status, _named(response), self._pieces(response, what)
        finally:
            await response.aclose()

    async def _request(
        self,
        method: str,
        path: str,
        what: str,
        content: bytes | None,
        sent: Mapping[str, str],
    ) -> httpcore.Response:
        """Send once and return the response with its body unread."""
        wire = self._open()
        try:
            request = httpcore.Request(
                method,
                self._url_of(path),
                headers=self._raw_headers(method, content, sent),
                content=content,
                extensions=self._extensions(),
            )
            return await wire.handle_async_request(request)
        except httpcore.TimeoutException as error:
            raise GatewayUnreachable(
                f"{what}: no response in time ({type(error).__name__})"
            ) from None
        except (GatewayAddressRefused, GatewayUnreachable) as error:
            raise type(error)(f"{what}: {error}") from None
        except (httpcore.LocalProtocolError, UnicodeEncodeError):
            # h11 checks header values (RFC 9110 §5.5); its text may quote the credential.
            raise GatewayUnauthorized(f"{what}: a header of ours is not valid") from None
        except (*_BROKEN, httpx.InvalidURL) as error:
            raise GatewayUnreachable(f"{what}: no connection ({_cause(error)})") from None

    def _url_of(self, path: str) -> httpcore.URL:
        base = self._base_url
        if _PLAIN_TARGET.fullmatch(path):
            target = base.raw_path.rstrip(b"/") + path.encode("ascii")
        else:
            target = httpx.URL(str(base).rstrip("/") + path).raw_path
        return httpcore.URL(
            scheme=base.raw_scheme, host=base.raw_host, port=base.port, target=target
        )

    def _raw_headers(
        self, method: str, content: bytes | None, sent: Mapping[str, str]
    ) -> list[tuple[bytes, bytes]]:
        named = {"Host": self._base_url.netloc.decode("ascii"), **self._headers, **sent}
        if content is not None or method in _WITH_LENGTH:
            named["Content-Length"] = str(len(content or b""))
        return [(name.encode("ascii"), value.encode("latin-1")) for name, value in named.items()]

    async def _pieces(self, response: httpcore.Response, what: str) -> AsyncIterator[bytes]:
        encodings = _named(response).get("content-encoding")
        pieces = response.aiter_stream()
        try:
            async for piece in decoded(pieces, encodings) if encodings else pieces:
                yield piece
        except httpcore.TimeoutException:
            raise GatewayUnreachable(f"{what}: the response stopped half way") from None
        except (*_BROKEN, zlib.error) as error:
            message = (
                f"{what}: the response was cut off or is not HTTP ({_cause(error)}): check baseUrl"
            )
            raise GatewayMalformed(message) from None

    async def _send_in_process(
        self,
        inside: InProcessAdmin,
        method: str,
        path: str,
        what: str,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> Response:
        """Send to a gateway in this process, which checks the credential as its listener does."""
        sent = {**self._headers, **headers}
        status, received, pieces = await inside(method, path, sent, content or b"")
        return Response(status, received, await self._collect(pieces, what))

    async def _collect(self, pieces: AsyncIterator[bytes], what: str) -> bytes:
        # Counted while it comes in: Content-Length may be absent or wrong.
        parts: list[bytes] = []
        size = 0
        async for piece in pieces:
            size += len(piece)
            if size > self._limits.max_body:
                raise GatewayMalformed(
                    f"{what}: the response is longer than {self._limits.max_body} bytes:"
                    " check baseUrl"
                )
            parts.append(piece)
        return b"".join(parts)

    @cached_property
    def _headers(self) -> dict[str, str]:
        """Headers of every request; raises GatewayUnauthorized if there is no usable credential."""
        headers = {
            "User-Agent": f"stoa-gitops/{_version()}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
        }
        credential = credential_header(self._connection)
        if credential is not None:
            self.redact.add([credential[1]])
            headers[credential[0]] = credential[1].reveal()
        return headers

    def _open(self) -> Wire:
        if self._wire is not None:
            return self._wire
        base_url = normalise_base_url(self._connection.base_url)
        try:
            parsed = httpx.URL(base_url)
        except httpx.InvalidURL:
            raise GatewayMalformed(
                "baseUrl has a host that is no name and no address: check baseUrl"
            ) from None
        instance = self._connection.instance
        # A registered gateway is called without the proxy, which would resolve the name by itself.
        # httpx reads the variables of the environment wrongly, see `environment_proxy`.
        proxy = None if instance.is_registered else environment_proxy(base_url)
        context, most = tls_context(self._connection), self._limits.connections
        wire: Wire = proxied(proxy, context, most) if proxy else Connections(context, most)
        if instance.is_registered:
            networks, seconds = instance.registration.networks, self._limits.connect_seconds
            wire = CheckedAddresses(wire, networks, seconds, self._resolve)
        self._wire, self._base_url = wire, parsed
        return wire

    def _extensions(self) -> dict[str, object]:
        found: dict[str, object] = {"timeout": self.timeout.as_dict()}
        # The name for SNI (RFC 6066 §3) and for the certificate, where baseUrl has an address.
        tls = self._connection.instance.tls
        return {**found, "sni_hostname": tls.server_name} if tls and tls.server_name else found


_BROKEN: Final = (
    httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)  # fmt: skip
"""What ends an exchange in httpcore, timeouts apart."""


def _named(response: httpcore.Response) -> dict[str, str]:
    """Return headers by their names in lower case; several of one name are one (RFC 9110 §5.3)."""
    found: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _cause(error: Exception) -> str:
    """Return the text of a connection error, which quotes no header, or its type without one."""
    return str(error) or type(error).__name__


@cache
def _version() -> str:
    try:
        return version("stoa-gitops")
    except PackageNotFoundError:
        return "unknown"

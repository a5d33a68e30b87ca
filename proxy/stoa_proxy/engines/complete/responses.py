"""Responses as the server sends them: the gateway's own, and those of upstreams.

For an upstream's response aiohttp's own `Response` computes anew what it says already (its
length, its type, its date), and adds `Content-Type: application/octet-stream` where the upstream
sent none, which browsers take for a download.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from email.utils import formatdate

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11
from multidict import CIMultiDict

from stoa_proxy.core.problems import Respond
from stoa_proxy.engines.complete.aiohttp_private import UntypedResponse
from stoa_proxy.engines.complete.upstream.http1 import UpstreamResponse
from stoa_proxy.http.heads import Header

# These have no body whatever their headers say (RFC 9110, 6.4.1).
_WITHOUT_BODY = frozenset({204, 304})


class BufferedResponse(web.StreamResponse):
    """A response whose whole body is here, for a request that `can_be_buffered` accepts.

    Saves 5 % of a request against aiohttp's own (benchmarks/README.md, `proxy_cpu`).
    """

    def __init__(self, status: int, reason: str, headers: list[Header], body: bytes) -> None:
        super().__init__(status=status, reason=reason, headers=headers)
        self._content = body
        self._is_last = False

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self._content)

    @property
    def keep_alive(self) -> bool:
        """Whether the connection carries another request after this response."""
        return not self._is_last

    def force_close(self) -> None:
        """Make this response the last of its connection."""
        self._is_last = True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Send head and body in one write. Raises ConnectionResetError when the client is gone."""
        headers = self.headers
        headers.setdefault("Server", "stoa-gateway")
        if "Content-Length" not in headers:
            headers["Content-Length"] = str(len(self._content))
        if "Date" not in headers:
            headers["Date"] = formatdate(usegmt=True)
        if self._is_last:
            headers["Connection"] = "close"
        writer = request.writer
        await writer.write_headers(f"HTTP/1.1 {self.status} {self.reason}", headers)
        await writer.write_eof(self._content)
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: `prepare` has sent everything."""


def can_be_buffered(request: web.BaseRequest, status: int) -> bool:
    """Whether a complete response to this request may be sent as a BufferedResponse.

    Others need what aiohttp's own responses do: no body for HEAD, 204 and 304, closing the
    connection after HTTP/1.0 and after `Connection: close`.
    """
    return (
        status not in _WITHOUT_BODY
        and request.method != "HEAD"
        and request.version == HttpVersion11
        and request.keep_alive
    )


def decode_headers(response: UpstreamResponse) -> Iterable[Header]:
    """Return the headers of an upstream's response as text.

    Bytes outside ASCII are opaque (RFC 9110, 5.5): read as UTF-8, or as Latin-1 as older servers
    send it.
    """
    if response.is_ascii:
        pairs: Iterable[Header] = response.headers.items()
        return pairs
    return [(_decode(name), _decode(value)) for name, value in response.raw_headers]


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def make_response(response: Respond) -> web.Response:
    """Return a response of the gateway itself as aiohttp sends it."""
    # What a policy kept of an upstream may have no type.
    has_type = not response.body or any(
        name.lower() == "content-type" for name, _ in response.headers
    )
    whole = web.Response if has_type else UntypedResponse
    sent = whole(
        status=response.status, headers=CIMultiDict(response.headers), body=response.body or None
    )
    sent.headers.setdefault("Server", "stoa-gateway")
    return sent


def sent_bytes(request: web.BaseRequest, response: web.StreamResponse) -> int:
    """Return how many bytes of a body are in a response, whether it is sent already or not.

    In one that is streamed without a length those of the chunks' framing are counted, too.
    """
    if isinstance(response, BufferedResponse):
        return response.size
    if request.method == "HEAD" or response.status in _WITHOUT_BODY:
        return 0
    if isinstance(response, web.Response):
        return len(response.body) if isinstance(response.body, bytes) else 0
    return response.body_length if response.content_length is None else response.content_length


def end_with_connection(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Close the connection behind a streamed response where nothing else marks its end.

    HTTP/1.0 has no chunks (RFC 9112, 6.3): without a length the connection's end is the body's.
    """
    if request.version < HttpVersion11 and "Content-Length" not in response.headers:
        response.force_close()


async def send_parts(
    request: web.BaseRequest, response: Respond, rest: Iterable[bytes]
) -> web.StreamResponse:
    """Send a response of the gateway itself whose `rest` is made while it is sent."""
    sent = web.StreamResponse(status=response.status, headers=CIMultiDict(response.headers))
    sent.headers.setdefault("Server", "stoa-gateway")
    end_with_connection(request, sent)
    await sent.prepare(request)
    if request.method != "HEAD":
        await sent.write(response.body)
        for part in rest:
            await asyncio.sleep(0)  # other requests run between two parts
            await sent.write(part)  # waits for a client that reads slowly
    await sent.write_eof()
    return sent

"""One request and its response on an upstream connection (HTTP/1.1, RFC 9112).

aiohttp opens and keeps connections and parses responses. Requests are written here, from parts
that were checked before.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterable
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from stoa_proxy.core.match import Target
from stoa_proxy.engines.complete import aiohttp_private
from stoa_proxy.engines.complete.request_body import BodyFaulty, BodyLost
from stoa_proxy.engines.complete.upstream.connection import UpstreamConnection
from stoa_proxy.engines.complete.upstream.failures import NO_STATUS, classify_failure
from stoa_proxy.errors import UpstreamFailed
from stoa_proxy.http.heads import Headers

_log = logging.getLogger("stoa_proxy.upstream")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Without a body these say so, since servers expect one (RFC 9110, 8.6).
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# Continue, Processing, Early Hints, Upload Resumption Supported: what registered 1xx there are that
# a final response follows (IANA, HTTP Status Codes). Behind any other nothing may ever come.
_INTERIM = frozenset({100, 102, 103, 104})
# 1xx responses before the final one. More would be an upstream that keeps the loop busy.
_MAX_INTERIM = 100
# Bytes of a status line (aiohttp's own bound) and of a header; above it the response is refused.
_MAX_LINE, _MAX_FIELD = 8190, 64 * 1024


class UpstreamResponse:
    """The head of a response; its body is read from `content`.

    `is_ascii` is whether the values of its headers are. The `connection` and its `protocol` belong
    to whoever holds the response until it `is_whole`, or until `abandon`.
    """

    def __init__(
        self,
        connection: UpstreamConnection,
        message: Any,
        content: Any,
        upload: asyncio.Task[None] | None,
        *,
        is_ascii: bool,
    ) -> None:
        self.status: int = message.code
        self.reason: str = message.reason
        self.headers = message.headers
        self.raw_headers: tuple[tuple[bytes, bytes], ...] = message.raw_headers
        self.is_ascii = is_ascii
        self.content: aiohttp.StreamReader = content
        self.protocol = connection.protocol
        self.connection = connection
        self._upload = upload

    @property
    def is_whole(self) -> bool:
        """Whether both bodies have ended, so that the connection can carry another request."""
        return self.content.is_eof() and (self._upload is None or self._upload.done())

    def limit_reads(self, seconds: float) -> None:
        """Let the body time out when nothing of it comes for so long."""
        if not self.content.is_eof():
            self.protocol.read_timeout = seconds
            self.protocol.start_timeout()

    async def abandon(self) -> None:
        """Close the connection: what is left of the bodies is not waited for."""
        await _break_off(self.connection, self._upload)


async def send_request(
    connection: UpstreamConnection,
    method: str,
    target: Target,
    headers: Headers,
    body: AsyncIterable[bytes] | None,
) -> UpstreamResponse:
    """Send a request on a connection and wait for the head of the response.

    The connection is closed when this raises: UpstreamFailed.
    """
    protocol = connection.protocol
    protocol.begin_response()
    upload = None
    try:
        protocol.set_response_params(
            skip_payload=method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_FIELD,
        )
        head, is_chunked = encode_head(method, target, headers, has_body=body is not None)
        if protocol.transport is None:
            raise ConnectionResetError("the upstream is gone")
        protocol.transport.write(head)
        if body is not None:
            loop = asyncio.get_running_loop()
            upload = loop.create_task(_send_body(protocol, body, is_chunked=is_chunked))
        for _ in range(_MAX_INTERIM):
            message, content = await protocol.read()
            if message.code >= 200 or message.code == 101:
                is_ascii = _check_head(message)
                return UpstreamResponse(connection, message, content, upload, is_ascii=is_ascii)
            if message.code not in _INTERIM:
                raise UpstreamFailed("bad-answer", NO_STATUS)
        raise aiohttp.ClientPayloadError("too many interim responses")
    except BaseException as error:
        first = protocol.first
        await _break_off(connection, upload)
        is_lost = isinstance(error, OSError) and not isinstance(error, TimeoutError)
        if isinstance(error, UpstreamFailed):
            raise
        if is_lost or isinstance(error, (aiohttp.ClientError, HttpProcessingError)):
            raise classify_failure(error, first, protocol.lost_by) from error
        raise


def _check_head(message: Any) -> bool:
    """Return whether the head of a response is all ASCII.

    Raises ClientPayloadError for a response whose end two readers could see differently (RFC 9112,
    6.3), whose body has a transfer coding that is not undone here, or whose head cannot be passed
    on.
    """
    headers = message.headers
    lengths = headers.getall("Content-Length", ())
    codings = headers.getall("Transfer-Encoding") if "Transfer-Encoding" in headers else ()
    if len(lengths) > 1 or (lengths and codings):
        raise aiohttp.ClientPayloadError("the length of the response is ambiguous")
    if codings and (len(codings) > 1 or codings[0].lower() != "chunked"):
        raise aiohttp.ClientPayloadError("the transfer coding of the response is not known")
    names = "".join(headers)
    if " " in names or not names.isprintable():
        raise aiohttp.ClientPayloadError("a header has no valid name")
    text = "".join([message.reason, *headers.values()])
    if not text.isprintable() and _CONTROL.search(text) is not None:
        raise aiohttp.ClientPayloadError("the head of the response holds a control character")
    return text.isascii()


def encode_head(
    method: str, target: Target, headers: Headers, *, has_body: bool
) -> tuple[bytes, bool]:
    """Return a request's head as it is sent, and whether its body must be chunked.

    Raises ValueError for a line break in a part, which must have been refused long before.
    """
    host = f"[{target.host}]" if ":" in target.host else target.host.removesuffix(".")
    if target.port != _DEFAULT_PORTS.get(target.scheme):
        host = f"{host}:{target.port}"
    path = f"{target.path}?{target.query}" if target.query else target.path
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    is_chunked = False
    if has_body or method in _WITH_BODY:
        is_long = any(name.lower() == "content-length" for name, _ in headers)
        is_chunked = has_body and not is_long
        if is_chunked:
            lines.append("Transfer-Encoding: chunked")
        elif not is_long:
            lines.append("Content-Length: 0")
    # The last defence against request splitting: one line break per line, and the empty line.
    count = len(lines) + 1
    text = "\r\n".join([*lines, "", ""])
    if text.count("\n") != count or text.count("\r") != count:
        raise ValueError("a part of a request's head holds a line break")
    return text.encode("utf-8", "surrogateescape"), is_chunked


async def _send_body(protocol: Any, body: AsyncIterable[bytes], *, is_chunked: bool) -> None:
    """Stream a body; one that cannot be sent to its end aborts the connection."""
    try:
        async for chunk in body:
            await _write(protocol, b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk)
        if is_chunked:
            await _write(protocol, b"0\r\n\r\n")
    except (BodyLost, BodyFaulty) as error:
        _log.debug("a body is not sent to its end: %r", error)
        # Closing normally could look like the body's end.
        if protocol.transport is not None:
            protocol.transport.abort()
    except (aiohttp.ClientError, OSError) as error:
        # The upstream does not want the rest; it may have responded nevertheless.
        _log.debug("a body was not read to its end: %r", error)


async def _write(protocol: Any, data: bytes) -> None:
    if protocol.transport is None:
        raise ConnectionResetError("the upstream is gone")
    protocol.transport.write(data)
    await aiohttp_private.drain(protocol)


async def _break_off(connection: UpstreamConnection, upload: asyncio.Task[None] | None) -> None:
    connection.close()
    if upload is not None:
        upload.cancel()
        await asyncio.gather(upload, return_exceptions=True)

"""One request and its answer on an upstream connection (HTTP/1.1, RFC 9112).

The client library finds, opens and keeps connections and parses answers; what is sent is written
here, from parts that were judged before.
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
from stoa_proxy.engines.complete.upstream.failures import judge
from stoa_proxy.http.heads import Headers

_log = logging.getLogger("stoa_proxy.upstream")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Without a body these say so, since servers expect one.
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# More would keep the loop from everybody else.
_MAX_INTERIM = 100
_MAX_LINE, _MAX_FIELD = 8190, 64 * 1024


class UpstreamResponse:
    """An answer's head; its body is read from `content`.

    `is_ascii` is whether the values of its headers are. `protocol` is the connection's; it belongs
    to whoever holds the answer until `release`.
    """

    def __init__(
        self,
        connection: Any,
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
        self._connection = connection
        self._upload = upload

    def limit_reads(self, seconds: float) -> None:
        """End the body with a timeout when nothing of it comes for so long."""
        if not self.content.is_eof():
            self.protocol.read_timeout = seconds
            self.protocol.start_timeout()

    async def release(self) -> None:
        """Keep the connection when both bodies are at their ends, else close it."""
        is_whole = self.content.is_eof() and (self._upload is None or self._upload.done())
        await _end(self._connection, self._upload, is_whole=is_whole)


async def send_request(
    connection: Any,
    method: str,
    target: Target,
    headers: Headers,
    body: AsyncIterable[bytes] | None,
) -> UpstreamResponse:
    """Send a request on a connection and wait for the head of the response.

    The connection is closed when this raises: UpstreamFailed.
    """
    protocol = connection.protocol
    protocol.first = b""
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
        protocol.transport.write(head)
        if body is not None:
            loop = asyncio.get_running_loop()
            upload = loop.create_task(_send_body(protocol, body, is_chunked=is_chunked))
        for _ in range(_MAX_INTERIM):
            message, content = await protocol.read()
            if message.code >= 200 or message.code == 101:
                is_ascii = _judge(message)
                return UpstreamResponse(connection, message, content, upload, is_ascii=is_ascii)
        raise aiohttp.ClientPayloadError("interim answers without end")
    except BaseException as error:
        first = protocol.first
        await _end(connection, upload, is_whole=False)
        is_lost = isinstance(error, OSError) and not isinstance(error, TimeoutError)
        if is_lost or isinstance(error, (aiohttp.ClientError, HttpProcessingError)):
            raise judge(error, first) from error
        raise


def _judge(message: Any) -> bool:
    """Whether an answer's head is all ASCII.

    Refuses an answer whose end two readers could see differently (RFC 9112, 6.3), whose body is
    coded for this connection in a way that is not undone here, or whose head cannot be passed on.
    """
    headers = message.headers
    lengths = headers.getall("Content-Length", ())
    codings = headers.getall("Transfer-Encoding") if "Transfer-Encoding" in headers else ()
    if len(lengths) > 1 or (lengths and codings):
        raise aiohttp.ClientPayloadError("the answer's length is ambiguous")
    if codings and (len(codings) > 1 or codings[0].lower() != "chunked"):
        raise aiohttp.ClientPayloadError("the answer's transfer coding is not known")
    names = "".join(headers)
    if " " in names or not names.isprintable():
        raise aiohttp.ClientPayloadError("the name of a header is none")
    text = "".join([message.reason, *headers.values()])
    if not text.isprintable() and _CONTROL.search(text) is not None:
        raise aiohttp.ClientPayloadError("the answer's head holds a control character")
    return text.isascii()


def encode_head(
    method: str, target: Target, headers: Headers, *, has_body: bool
) -> tuple[bytes, bool]:
    """A request's head as it is sent, and whether its body must be chunked.

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
    count = len(lines) + 1
    text = "\r\n".join([*lines, "", ""])
    if text.count("\n") != count or text.count("\r") != count:
        raise ValueError("a part of a request's head holds a line break")
    return text.encode(), is_chunked


async def _send_body(protocol: Any, body: AsyncIterable[bytes], *, is_chunked: bool) -> None:
    """Stream a body; one that cannot be sent to its end breaks the connection off."""
    try:
        async for chunk in body:
            await _write(protocol, b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk)
        if is_chunked:
            await _write(protocol, b"0\r\n\r\n")
    except (BodyLost, BodyFaulty) as error:
        _log.debug("a body is not sent to its end: %r", error)
        if protocol.transport is not None:
            protocol.transport.abort()
    except (aiohttp.ClientError, OSError) as error:
        # The upstream does not want the rest; it may have answered nevertheless.
        _log.debug("a body was not taken to its end: %r", error)


async def _write(protocol: Any, data: bytes) -> None:
    if protocol.transport is None:
        raise ConnectionResetError("the upstream is gone")
    protocol.transport.write(data)
    await aiohttp_private.drain(protocol)


async def _end(connection: Any, upload: asyncio.Task[None] | None, *, is_whole: bool) -> None:
    if is_whole:
        connection.release()
        return
    connection.close()
    if upload is not None:
        upload.cancel()
        await asyncio.gather(upload, return_exceptions=True)

"""Why a response could not be read, for people: nothing of what the upstream sent is repeated."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import ClientPayloadError, StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from stoa_proxy.engines.complete.aiohttp_private import find_response_body, is_paused
from stoa_proxy.errors import UpstreamFailed
from stoa_proxy.foundation.upstream_tls import REFUSED, is_certificate_refused

_START: Final = b"HTTP/1."
# Of asyncio's 256 KiB several parts would wait for each client that reads slowly: 1.2 MiB each.
READ_BYTES: Final = 64 * 1024
# Bytes around the chunks of a body: so many, and for each byte of the body so many. A chunk of one
# byte has five around it, and zeros before its size.
_MAX_PADDING: Final = 256 * 1024
_MAX_OVERHEAD: Final = 32

BROKEN_OFF: Final = "The upstream closed the connection within the head of its answer."
TOO_LARGE: Final = "The headers of the upstream's answer are too large or too many."
NO_HTTP: Final = "What the upstream sent is no HTTP/1.1."
LONGER: Final = "The upstream's answer goes on after its end."
NO_STATUS: Final = "The status of the upstream's answer is none that ends a request."
PADDED: Final = "The chunks of the upstream's answer are padded without end."
MALFORMED: Final = "The upstream's answer is malformed."
NO_WEBSOCKET: Final = "The upstream's answer to the WebSocket handshake is wrong."


class OpenConnections:
    """How many connections to upstreams are open, at work or kept."""

    def __init__(self) -> None:
        self.count = 0


class UpstreamProtocol(ResponseHandler):
    """Keeps in `first` how the response began, which tells what is wrong with it.

    In `lost_by` is the error by which the connection ended.

    It also passes an error of the parser on to whoever reads a body; aiohttp tells only who waits
    for a head. It is counted in `opened` while it is connected.
    """

    first = b""
    lost_by: BaseException | None = None
    _framed = 0

    def __init__(self, opened: OpenConnections, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._opened = opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read in parts of a size that may wait for a client which reads slowly."""
        super().connection_made(transport)
        self._opened.count += 1
        if hasattr(transport, "max_size"):  # of asyncio's own loop, though undocumented
            transport.max_size = READ_BYTES

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it no more, and break a body off that has not ended where the connection failed.

        aiohttp takes a body without a length for whole then, as if it had ended in order (RFC 9112,
        8).
        """
        self._opened.count -= 1
        self.lost_by = exc
        body = find_response_body(self)
        if exc is not None and body is not None and not body.is_eof():
            body.set_exception(ClientPayloadError(BROKEN_OFF))
        super().connection_lost(exc)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read on after a pause. aiohttp asks after each read, which costs 1 % of a request."""
        if is_paused(self):
            super().resume_reading(resume_parser)

    def begin_response(self) -> None:
        """Forget the last response: what came of its body counts for no other."""
        self.first = b""
        self._framed = 0

    def data_received(self, data: bytes) -> None:
        """Receive what an upstream sent."""
        if len(self.first) < len(_START):
            self.first += data[: len(_START)]
        body = find_response_body(self)
        super().data_received(data)
        if body is not None and not body.is_eof():
            self._framed += len(data)
            if self._framed > _MAX_PADDING + _MAX_OVERHEAD * body.total_bytes:
                self._refuse_padding(body)

    def _refuse_padding(self, body: StreamReader) -> None:
        """End a body whose chunks bring next to nothing: extensions, leading zeros, trailers.

        The parser skips them without end and in silence, and no time limit counts while bytes come.
        """
        body.set_exception(ClientPayloadError(PADDED))
        if self.transport is not None:
            self.transport.abort()

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Tell whoever waits for a head and, when the parser failed, for more of a body."""
        super().set_exception(exc, exc_cause or exc)
        body = find_response_body(self)
        if isinstance(exc, HttpProcessingError) and body is not None and not body.is_eof():
            body.set_exception(ClientPayloadError(MALFORMED), exc)


def classify_failure(
    error: BaseException, first: bytes, lost_by: BaseException | None
) -> UpstreamFailed:
    """Return why an open connection gave no response.

    `first` are the first bytes that came, and the connection ended by the error `lost_by`, if any.
    """
    if isinstance(error, HttpProcessingError):
        return UpstreamFailed("bad-answer", _describe(error, first))
    if isinstance(error, ClientPayloadError):
        return UpstreamFailed("bad-answer", MALFORMED)
    return UpstreamFailed("bad-answer", BROKEN_OFF) if first else unanswered(lost_by)


def unanswered(lost_by: BaseException | None) -> UpstreamFailed:
    """Return why an open connection ended by an error, or None, before any byte of a response.

    By TLS 1.3 a client may send before the server has looked at its certificate.
    """
    if is_certificate_refused(lost_by):
        return UpstreamFailed("tls-failed", REFUSED)
    return UpstreamFailed("no-answer")


def _describe(error: HttpProcessingError, first: bytes) -> str:
    if not first.startswith(_START):
        return NO_HTTP
    # aiohttp's client raises its parser's error as the cause of a plain one.
    message = error.message
    if isinstance(error.__cause__, LineTooLong) or "Too many headers" in message:
        return TOO_LARGE
    if "Expected HTTP/" in message or "Data after" in message:
        return LONGER
    return MALFORMED

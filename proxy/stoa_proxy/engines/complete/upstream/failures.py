"""Why a response could not be read, for people: nothing of what the upstream sent is repeated."""

from __future__ import annotations

from typing import Final

from aiohttp import ClientPayloadError
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from stoa_proxy.engines.complete.aiohttp_private import find_response_body
from stoa_proxy.errors import UpstreamFailed

_START: Final = b"HTTP/1."

BROKEN_OFF: Final = "The upstream closed the connection within the head of its answer."
TOO_LARGE: Final = "The headers of the upstream's answer are too large or too many."
NO_HTTP: Final = "What the upstream sent is no HTTP/1.1."
LONGER: Final = "The upstream's answer goes on after its end."
MALFORMED: Final = "The upstream's answer is malformed."
NO_WEBSOCKET: Final = "The upstream's answer to the WebSocket handshake is wrong."


class UpstreamProtocol(ResponseHandler):
    """Keeps in `first` how the response began, which tells what is wrong with it.

    It also passes an error of the parser on to whoever reads a body; aiohttp tells only who waits
    for a head.
    """

    first = b""

    def data_received(self, data: bytes) -> None:
        """Receive what an upstream sent."""
        if len(self.first) < len(_START):
            self.first += data[: len(_START)]
        super().data_received(data)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Tell whoever waits for a head and, when the parser failed, for more of a body."""
        super().set_exception(exc, exc_cause or exc)
        body = find_response_body(self)
        if isinstance(exc, HttpProcessingError) and body is not None and not body.is_eof():
            body.set_exception(ClientPayloadError(MALFORMED), exc)


def classify_failure(error: BaseException, first: bytes) -> UpstreamFailed:
    """Return why an open connection gave no response; `first` are the first bytes that came."""
    if isinstance(error, HttpProcessingError):
        return UpstreamFailed("bad-answer", _describe(error, first))
    if isinstance(error, ClientPayloadError):
        return UpstreamFailed("bad-answer", MALFORMED)
    return UpstreamFailed("bad-answer", BROKEN_OFF) if first else UpstreamFailed("no-answer")


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

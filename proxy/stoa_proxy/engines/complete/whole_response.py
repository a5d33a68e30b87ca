"""Answers of upstreams that are here to their ends: head and body go out in one write.

The server library's own response works out anew what such an answer says already: its length, its type, its date.
"""

from __future__ import annotations

from email.utils import formatdate

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11
from multidict import CIMultiDict

_WITHOUT_BODY = frozenset({204, 304})


class BufferedResponse(web.StreamResponse):
    """An answer with a body, for a caller of whom `may_be_whole` is true."""

    def __init__(self, status: int, reason: str, headers: CIMultiDict[str], body: bytes) -> None:
        super().__init__(status=status, reason=reason, headers=headers)
        self._whole = body
        self._is_last = False

    @property
    def keep_alive(self) -> bool:
        """Whether the connection carries another request after this answer."""
        return not self._is_last

    def force_close(self) -> None:
        """Let this answer be the connection's last."""
        self._is_last = True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Send it. Raises ConnectionResetError when the caller is gone."""
        headers = self.headers
        if "Content-Length" not in headers:
            headers["Content-Length"] = str(len(self._whole))
        if "Date" not in headers:
            headers["Date"] = formatdate(usegmt=True)
        if self._is_last:
            headers["Connection"] = "close"
        writer = request.writer
        await writer.write_headers(f"HTTP/1.1 {self.status} {self.reason}", headers)
        await writer.write_eof(self._whole)
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: all is sent."""


def may_be_whole(request: web.BaseRequest, status: int) -> bool:
    """Whether an answer with a body needs nothing but to be sent."""
    return (
        status not in _WITHOUT_BODY
        and request.method != "HEAD"
        and request.version == HttpVersion11
        and request.keep_alive
    )

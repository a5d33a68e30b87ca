"""An upstream's response on its way to a client: head, body and end."""

from __future__ import annotations

import asyncio

from stoa_proxy.core.policy import Recorder
from stoa_proxy.engines.fast.response_head import WITHOUT_BODY, DateHeader, encode_head
from stoa_proxy.engines.fast.response_reader import ResponseHead
from stoa_proxy.engines.fast.upload import LAST_CHUNK, encode_chunk, write_content
from stoa_proxy.http.heads import Header


class Relay:
    """Writes one response to `transport`; `recorder` is given the body, too.

    `begin` it, then `add` what comes of the body. `status` is that of the response, `is_last`
    whether the connection ends with it, `sent` how many bytes of the body the client got.
    """

    __slots__ = ("_is_chunked", "_is_sent", "_recorder", "_transport", "is_last", "sent", "status")

    def __init__(
        self, transport: asyncio.WriteTransport, recorder: Recorder | None, *, is_last: bool
    ) -> None:
        self._transport = transport
        self._recorder = recorder
        self._is_chunked = False
        self._is_sent = True
        self.is_last = is_last
        self.status = 0
        self.sent = 0

    def begin(
        self,
        method: str,
        head: ResponseHead,
        headers: list[Header],
        content: bytes,
        date: DateHeader,
        *,
        is_whole: bool,
    ) -> None:
        """Send the head, and the body with it where it is whole: one system call less."""
        framing = "Connection: close\r\n" if self.is_last else ""
        self.status = head.status
        self._is_sent = method != "HEAD" and head.status not in WITHOUT_BODY
        if head.status in WITHOUT_BODY:
            headers = [pair for pair in headers if pair[0].lower() != "content-length"]
        elif self._is_sent and not any(name.lower() == "content-length" for name, _ in headers):
            self._is_chunked = not is_whole
            framing += (
                "Transfer-Encoding: chunked\r\n"
                if self._is_chunked
                else f"Content-Length: {len(content)}\r\n"
            )
        sent = encode_head(head.status, head.reason, headers, date, framing)
        if self._is_sent and content:
            sent += encode_chunk(content) if self._is_chunked else content
            self.sent = len(content)
        self._transport.write(sent)
        self._record(content, is_whole=is_whole)

    def add(self, content: bytes, *, is_whole: bool) -> None:
        """Send more of the body; `is_whole` with its last part."""
        if content and self._is_sent:
            self.sent += len(content)
            write_content(self._transport, content, is_chunked=self._is_chunked)
        if is_whole and self._is_chunked:
            self._transport.write(LAST_CHUNK)
        self._record(content, is_whole=is_whole)

    def _record(self, content: bytes, *, is_whole: bool) -> None:
        if self._recorder is None:
            return
        if content:
            self._recorder.write(content)
        if is_whole:
            self._recorder.close()

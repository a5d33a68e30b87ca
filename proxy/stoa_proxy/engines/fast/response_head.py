"""Heads of responses as the fast engine sends them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus

from stoa_proxy.core.problems import Respond
from stoa_proxy.http.heads import Header, without

# These have no body whatever their headers say (RFC 9110, 6.4.1).
WITHOUT_BODY = frozenset({204, 304})
_LENGTH = frozenset({"content-length"})
_REASONS = {int(status): status.phrase for status in HTTPStatus}


class DateHeader:
    """The `Date` of responses that have none, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""
        self._encoded = b""

    def value(self) -> str:
        """Return the date of now (RFC 9110, 6.6.1)."""
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True)
            self._encoded = self._text.encode()
        return self._text

    def encoded(self) -> bytes:
        """Return the date of now in ASCII."""
        self.value()
        return self._encoded


def encode_head(
    status: int, reason: str, headers: Iterable[Header], date: DateHeader, framing: str
) -> bytes:
    """Return a head; `framing` are whole lines that are added to it.

    `Server` and `Date` are added where they are missing. Raises ValueError for a line break in a
    part, which must have been refused long before.
    """
    lines = [f"HTTP/1.1 {status} {reason}"]
    names = set()
    for name, value in headers:
        lines.append(f"{name}: {value}")
        names.add(name.lower())
    if "server" not in names:
        lines.append("Server: stoa-gateway")
    if "date" not in names:
        lines.append(f"Date: {date.value()}")
    text = "\r\n".join(lines)
    # The last defence against response splitting: one line break per line.
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        raise ValueError("a part of a response's head holds a line break")
    return f"{text}\r\n{framing}\r\n".encode("utf-8", "surrogateescape")


def encode_own(response: Respond, method: str, date: DateHeader, *, is_last: bool) -> bytes:
    """Return a response of the gateway itself, head and body."""
    status = response.status
    framing = "Connection: close\r\n" if is_last else ""
    if status in WITHOUT_BODY:
        return encode_head(status, _REASONS.get(status, ""), response.headers, date, framing)
    headers = response.headers
    has_length = any(name.lower() == "content-length" for name, _ in headers)
    if has_length and response.body:
        headers = tuple(without(headers, _LENGTH))
    if response.body or not has_length:  # a response to HEAD may say the length of another
        framing += f"Content-Length: {len(response.body)}\r\n"
    head = encode_head(status, _REASONS.get(status, ""), headers, date, framing)
    return head if method == "HEAD" else head + response.body

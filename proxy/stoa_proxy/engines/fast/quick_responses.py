"""Usual responses of upstreams on the shortest way: what is made of a head is worked out once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from stoa_proxy.core.limit_headers import RATE_HEADERS
from stoa_proxy.engines.fast.quick_heads import LONGEST_KNOWN, Recent
from stoa_proxy.engines.fast.response_head import WITHOUT_BODY, DateHeader, encode_head
from stoa_proxy.engines.fast.response_reader import parse_response_head
from stoa_proxy.errors import UpstreamFailed
from stoa_proxy.http.heads import filter_response_headers


@dataclass(slots=True)
class KnownResponse:
    """What is made of the head of an upstream's response.

    `raw` is that, `head` that for the client, `sent` the same without its empty line, `has_limits`
    whether it says something of limits, `start` where the body begins, `size` the length of both.
    """

    raw: bytes
    head: bytes
    sent: bytes
    status: int
    size: int
    start: int
    has_limits: bool


class Sender(Protocol):
    """Whose responses begin alike; `response` is the last one."""

    response: KnownResponse | None


class KnownResponses:
    """What all connections of an engine know of heads of responses."""

    def __init__(self, date: DateHeader) -> None:
        self._date = date
        self._known: Recent[bytes, KnownResponse] = Recent()

    def find(self, data: bytes, sender: Sender) -> KnownResponse | None:
        """Return what is made of a response; None for one that is not usual, or not whole."""
        known = sender.response
        if known is not None and known.size == len(data) and data.startswith(known.raw):
            return known
        start = data.find(b"\r\n\r\n") + 4
        if start < 4:
            return None
        head = data[:start]
        known = self._known.new.get(head) or self._known.get(head)
        if known is None:
            known = self._read(head)
            if known is not None and start <= LONGEST_KNOWN:
                self._known.keep(head, known)
        if known is None or known.size != len(data):
            return None
        if start <= LONGEST_KNOWN:
            sender.response = known
        return known

    def _read(self, raw: bytes) -> KnownResponse | None:
        try:
            head = parse_response_head(raw)
        except UpstreamFailed:
            return None
        # Of what is 500 or above more is noted.
        if not 200 <= head.status < 500 or head.status in WITHOUT_BODY:
            return None
        if head.length is None or head.is_last:
            return None
        headers = filter_response_headers(head.headers)
        if not any(name.lower() == "date" for name, _ in headers):
            return None  # it gets the date of its second
        sent = encode_head(head.status, head.reason, headers, self._date, "")
        has_limits = any(name.lower() in RATE_HEADERS for name, _ in headers)
        size = len(raw) + head.length
        return KnownResponse(raw, sent, sent[:-2], head.status, size, len(raw), has_limits)

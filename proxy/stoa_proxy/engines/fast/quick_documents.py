"""The short way for checks of a sidecar that are JSON documents: whole, and nothing to wait for.

The pipeline decides as of any other request. What is left out is what a body needs that comes in
parts: whatever is not usual goes to aiohttp, with nothing done.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

from stoa_proxy.core.exchange import Prepare, ReadBody
from stoa_proxy.core.problems import Respond
from stoa_proxy.engines.complete.server import read_client
from stoa_proxy.engines.fast.quick_heads import LONGEST_KNOWN, Recent
from stoa_proxy.engines.fast.request_head import parse_head
from stoa_proxy.engines.fast.response_head import encode_own
from stoa_proxy.errors import FramingRefused
from stoa_proxy.http.framing import Framing
from stoa_proxy.http.heads import RequestHead
from stoa_proxy.pipeline.checks import PATH

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.connection import FastConnection
    from stoa_proxy.engines.fast.engine import FastEngine

LINE: Final = b"POST /authz HTTP/1.1\r\n"


class _Known(NamedTuple):
    """What the bytes of a head say: the request, and how long its document is."""

    head: RequestHead
    length: int


class DocumentLane:
    """What all connections of an engine know of heads before documents."""

    def __init__(self, engine: FastEngine) -> None:
        self._engine = engine
        self._heads: Recent[tuple[bytes, str], _Known] = Recent()

    def answer(self, data: bytes, link: FastConnection) -> bool:
        """Answer the check that `data` is; return False, with nothing done, if it is not usual."""
        started = perf_counter()
        engine, start = self._engine, data.find(b"\r\n\r\n") + 4
        pipeline = engine.pipeline
        # With tracing headers differ each time, and the trace is read from them.
        if start < len(LINE) or pipeline.tracing is not None:
            return False
        known = self._find(data[:start], link.client_address)
        if known is None or known.length != len(data) - start:
            return False
        decision = pipeline.decide(known.head, engine.store.table)
        if isinstance(decision, ReadBody):
            is_short = known.length <= decision.maximum
            decision = decision.complete(data[start:] if is_short else None)
        if isinstance(decision, Prepare):
            return False
        assert isinstance(decision, Respond), "a sidecar passes nothing on"
        engine.shares.touch(link)
        link.transport.write(encode_own(decision, "POST", engine.date, is_last=False))
        pipeline.log_refusal(known.head, decision, perf_counter() - started)
        link.note_served()
        return True

    def _find(self, head: bytes, peer: str) -> _Known | None:
        key = (head, peer)
        known = self._heads.new.get(key) or self._heads.get(key)
        if known is None:
            known = self._read(head, peer)
            if known is not None and len(head) <= LONGEST_KNOWN:
                self._heads.keep(key, known)
        return known

    def _read(self, data: bytes, peer: str) -> _Known | None:
        reader = Framing()
        try:
            read, rest = reader.read_head(data)
        except FramingRefused:
            return None
        parsed = parse_head(read) if read and not rest else None
        if parsed is None or parsed.target != PATH or not reader.is_inside_body:
            return None
        fields = parsed.fields
        if fields.is_chunked or fields.expects or fields.is_last or reader.is_last:
            return None
        engine = self._engine
        client, scheme = read_client(
            peer, engine.scheme, fields.headers, fields.keys, engine.proxies
        )
        head = RequestHead(
            "POST", PATH, fields.headers, fields.keys, client, scheme, has_body=True, peer=peer
        )
        return _Known(head, reader.content_ahead)

"""The short way for checks of a sidecar that are JSON documents: whole, and nothing to wait for.

The pipeline decides as of any other request. What is left out is what a body needs that comes in
parts: whatever is not usual goes to aiohttp, with nothing done.
"""

from __future__ import annotations

import re
from time import perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

from stoa_proxy.admin.json_body import read_json
from stoa_proxy.core.exchange import Prepare, ReadBody
from stoa_proxy.core.problems import Respond
from stoa_proxy.engines.complete.server import read_client
from stoa_proxy.engines.fast.check_forms import CheckForm, KnownCheck
from stoa_proxy.engines.fast.check_shapes import TARGET
from stoa_proxy.engines.fast.quick_heads import LONGEST_KNOWN, SPECIAL, Recent
from stoa_proxy.engines.fast.request_head import parse_head
from stoa_proxy.engines.fast.response_head import encode_own
from stoa_proxy.errors import BodyRefused, FramingRefused, RequestRefused
from stoa_proxy.http.framing import Framing
from stoa_proxy.http.heads import Headers, RequestHead, read_host, sanitize
from stoa_proxy.pipeline.checks import PATH, read_document
from stoa_proxy.pipeline.verdicts import as_document

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.check_lane import CheckLane
    from stoa_proxy.engines.fast.engine import FastEngine

LINE: Final = b"POST /authz HTTP/1.1\r\n"


_TARGET: Final = re.compile(TARGET.decode())
# What others may share and what is remembered; longer ones are decided as any other request.
_LONGEST: Final = 4 * LONGEST_KNOWN
# Whose requests are more than their headers say (`pipeline.decide`).
_UNUSUAL: Final = frozenset({"upgrade", "via"})


class _Known(NamedTuple):
    """What the bytes of a head say: the request, and how long its document is."""

    head: RequestHead
    length: int


class _Described:
    """The headers that a document has, as the lines of a head."""

    __slots__ = ("_about",)

    def __init__(self, about: RequestHead) -> None:
        self._about = about

    def headers(self, names: frozenset[str]) -> tuple[Headers, tuple[str, ...]]:
        """Return the headers of these names, and the names, both in their order."""
        about = self._about
        kept = [number for number, key in enumerate(about.keys) if key in names]
        return (
            tuple([about.headers[number] for number in kept]),
            tuple([about.keys[number] for number in kept]),
        )

    def raw_lines(self, names: frozenset[str]) -> tuple[bytes, ...]:
        """Return the headers of these names."""
        pairs = self.headers(names)[0]
        return tuple([": ".join(pair).encode("utf-8", "surrogateescape") for pair in pairs])


class DocumentLane:
    """What all connections of an engine know of checks that are documents."""

    def __init__(self, engine: FastEngine, lane: CheckLane) -> None:
        self._engine = engine
        self._lane = lane
        self._heads: Recent[tuple[bytes, str], _Known] = Recent()
        self._forms: Recent[tuple[object, ...], CheckForm] = Recent()

    def find(self, data: bytes, peer: str) -> KnownCheck | None:
        """Return what a document asks under the table of now; None for an unusual one."""
        start = data.find(b"\r\n\r\n") + 4
        known = self._find(data[:start], peer) if start > len(LINE) else None
        if known is None or known.length != len(data) - start or known.length > _LONGEST:
            return None
        head = known.head
        try:
            check = read_document(head, read_json(head.value("content-type") or "", data[start:]))
        except BodyRefused:
            return None
        about = check.head
        target = _TARGET.fullmatch(about.target)
        # Without a host it may be in doubt which route is meant.
        form = self._find_form(about) if target is not None and check.has_host else None
        if target is None or form is None:
            return None
        path, query = target.groups()
        line = (b"POST", path.encode(), None if query is None else query.encode())
        described = _Described(about)
        asked = KnownCheck(form, line, described, None, data, about.client_address)
        plan = self._lane.lead(asked, self._lane.follow_table())
        if plan is None:
            return None
        if plan.names is not None:
            asked.key = (form, plan, described.raw_lines(plan.names))
        return asked

    def _find_form(self, about: RequestHead) -> CheckForm | None:
        special = [
            pair[1] for key, pair in zip(about.keys, about.headers, strict=True) if key in SPECIAL
        ]
        shape = (about.method, about.scheme, about.keys, *special)
        form = self._forms.new.get(shape) or self._forms.get(shape)
        if form is None:
            form = _read_form(about)
            if form is not None:
                self._forms.keep(shape, form)
        return form

    def decide(self, data: bytes, peer: str) -> bytes | None:
        """Return the response to the check that `data` is; None, with nothing done, if unusual."""
        started = perf_counter()
        engine, start = self._engine, data.find(b"\r\n\r\n") + 4
        pipeline = engine.pipeline
        known = self._find(data[:start], peer) if start > len(LINE) else None
        if known is None or known.length != len(data) - start:
            return None
        decision = pipeline.decide(known.head, engine.store.table)
        if isinstance(decision, ReadBody):
            is_short = known.length <= decision.maximum
            decision = decision.complete(data[start:] if is_short else None)
        if isinstance(decision, Prepare):
            return None
        assert isinstance(decision, Respond), "a sidecar passes nothing on"
        pipeline.log_refusal(known.head, decision, perf_counter() - started)
        return encode_own(decision, "POST", engine.date, is_last=False)

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


def _read_form(about: RequestHead) -> CheckForm | None:
    if about.method == "OPTIONS" or not _UNUSUAL.isdisjoint(about.keys):
        return None
    try:
        host = read_host(sanitize(about), None)
    except RequestRefused:
        return None
    return CheckForm(about, host, about.scheme, (), as_document, is_named=True)

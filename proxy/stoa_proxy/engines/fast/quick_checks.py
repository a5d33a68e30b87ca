"""The shortest way for the usual check of a sidecar: no body, and nothing to wait for.

What follows from the headers of a check alone is worked out once for equal blocks of bytes, by the
functions that serve all other checks, so that it cannot differ: who is asked about, where the
request goes, what a key in a header says, and the response but for its limits. Whatever is not
usual is left to an `Exchange`, with nothing done.
"""

from __future__ import annotations

import re
from time import perf_counter
from typing import TYPE_CHECKING, Final

from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.limit_headers import limit_lines
from stoa_proxy.core.model import Consumer, Route
from stoa_proxy.core.policy import AsyncPolicy
from stoa_proxy.core.problems import Respond
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.engines.fast.request_head import parse_fields
from stoa_proxy.engines.fast.response_head import encode_head, encode_own
from stoa_proxy.errors import CheckRefused, FramingRefused, RequestRefused
from stoa_proxy.http import framing
from stoa_proxy.http.forwarded import forwarded_scheme
from stoa_proxy.http.framing import Framing
from stoa_proxy.http.heads import Headers, RequestHead, read_host, sanitize
from stoa_proxy.http.targets import PLAIN_PATH, RequestPath
from stoa_proxy.http.trace_context import split_parent
from stoa_proxy.pipeline.checks import PATH, read_envoy, read_original
from stoa_proxy.pipeline.sidecar import Sidecar
from stoa_proxy.pipeline.verdicts import Encode, for_envoy, for_nginx, identity_names, with_removed

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.connection import FastConnection
    from stoa_proxy.engines.fast.engine import FastEngine

# A path that all readers see alike (`http.targets`), and maybe a query.
_TARGET: Final = rb"(?=/)(%b)(?:\?([\x21\x22\x24-\x7e]*+))?" % PLAIN_PATH.encode()
# Not OPTIONS, which may be a preflight.
_ENVOY: Final = re.compile(rb"(DELETE|GET|HEAD|PATCH|POST|PUT) /authz%b HTTP/1\.1\r\n" % _TARGET)
_NGINX: Final = b"GET /authz HTTP/1.1\r\n"
_URI: Final = re.compile(rb"\r\nX-Original-URI: %b(?=\r\n)" % _TARGET, re.IGNORECASE)
_DATE: Final = re.compile(rb"Date: [^\r]*\r\n")
# As of requests (`quick`): all are forgotten when there are so many.
_MOST_KNOWN: Final = 512
_LONGEST_KNOWN: Final = 2048


_ResponseKey = tuple[int, frozenset[str], tuple[str, ...], Encode]


class KnownBlock:
    """What the headers of a check say, cleaned as `pipeline` cleans them.

    `method` is set where they name it. What a route's `is_by_headers` policies found is `consumer`
    and `hidden`, for `route` of `table`; `sent` is the response without limits and date.
    """

    __slots__ = (
        "claimed", "client", "consumer", "encode", "headers", "hidden", "host", "keys", "method",
        "peer", "route", "scheme", "secret", "sent", "table",
    )  # fmt: skip

    consumer: Consumer | None
    hidden: frozenset[str]
    secret: frozenset[str]

    def __init__(
        self,
        head: RequestHead,
        scheme: str,
        host: str,
        method: str,
        claimed: tuple[str, ...],
        encode: Encode,
    ) -> None:
        self.headers: Headers = head.headers
        self.keys, self.client, self.scheme = head.keys, head.client_address, scheme
        self.peer, self.host, self.method = head.peer, host, method
        self.claimed, self.encode = claimed, encode
        self.table: RoutingTable | None = None
        self.route: Route | None = None
        self.sent: bytes | None = None


class CheckLane:
    """What all connections of an engine know of usual checks."""

    def __init__(self, engine: FastEngine, sidecar: Sidecar) -> None:
        self._engine = engine
        self.sidecar = sidecar
        self._blocks: dict[tuple[str, bytes, bytes], KnownBlock | None] = {}
        self._responses: dict[_ResponseKey, tuple[Consumer | None, bytes]] = {}

    def find_response(self, block: KnownBlock, context: RequestContext) -> bytes:
        """Return the head of a response that lets a request pass, but for limits and date."""
        consumer = context.consumer
        # By identity, which is compared faster; with the consumer, so that no other has its id.
        key = (id(consumer), context.hidden_headers, block.claimed, block.encode)
        known = self._responses.get(key)
        if known is None:
            outcome = with_removed(self.sidecar.verdict(context, with_notes=False), block.claimed)
            headers = block.encode(outcome).headers
            head = encode_head(200, "OK", headers, self._engine.date, "Content-Length: 0\r\n")
            known = consumer, _DATE.sub(b"", head, count=1)[:-2]
            if len(self._responses) >= _MOST_KNOWN:
                self._responses.clear()
            self._responses[key] = known
        return known[1]

    def find(self, peer: str, line: bytes, block: bytes, data: bytes) -> KnownBlock | None:
        """Return what is known of a block of headers; None where it is not usual.

        `line` tells the forms apart, `block` is without what differs between checks of one client,
        `data` is the whole head.
        """
        key = (peer, line, block)
        try:
            return self._blocks[key]
        except KeyError:
            pass
        found = self._read(peer, line, data)
        if len(block) <= _LONGEST_KNOWN:
            if len(self._blocks) >= _MOST_KNOWN:
                self._blocks.clear()
            self._blocks[key] = found
        return found

    def _read(self, peer: str, line: bytes, data: bytes) -> KnownBlock | None:
        reader = Framing()
        try:
            whole, rest = reader.read_head(data)
        except FramingRefused:
            return None
        if not whole or rest or reader.is_inside_body or reader.is_last:
            return None
        fields = parse_fields(whole[whole.index(b"\r\n") + 2 :])
        if fields is None or fields.expects or fields.is_last or "via" in fields.keys:
            return None
        if self.sidecar.tracing is not None and "traceparent" in fields.keys:
            return None  # the usual one is not among these bytes (`split_parent`)
        if not self.sidecar.is_caller(peer):
            return None
        target = PATH if line else f"{PATH}/"
        head = RequestHead("GET", target, fields.headers, fields.keys, "", peer=peer)
        # All callers are proxies to the engine (`modes`), whose word on the scheme is taken.
        scheme = forwarded_scheme(head.values("x-forwarded-proto"), self._engine.scheme)
        read = read_original if line else read_envoy
        try:
            about = read(head, self.sidecar.proxies).head
            cleaned = sanitize(about)
            host = read_host(cleaned, None)
        except (CheckRefused, RequestRefused):
            return None
        method = about.method if line else ""
        if method == "OPTIONS":
            return None
        encode = for_nginx if line else for_envoy
        return KnownBlock(cleaned, scheme, host, method, identity_names(about.keys), encode)


class QuickCheck:
    """Serves usual checks of a connection. To the connection it is what `QuickExchange` is."""

    __slots__ = ("_context", "_engine", "_lane", "_link")

    def __init__(self, link: FastConnection, lane: CheckLane) -> None:
        self._link = link
        self._engine = link.engine
        self._lane = lane
        self._context: RequestContext | None = None

    def begin(self, data: bytes) -> bool:
        """Answer the check that `data` is; return False, with nothing done, if it is not usual."""
        started = perf_counter()
        link = self._link
        if len(data) > framing.MAX_HEAD:
            return False
        tracing, parent = self._lane.sidecar.tracing, None
        if tracing is not None:
            data, parent = split_parent(data, 0)
        line = _ENVOY.match(data)
        if line is not None:
            method, raw, query = line.groups()
            block = self._lane.find(link.client_address, b"", data[line.end() :], data)
        else:
            found = _URI.search(data) if data.startswith(_NGINX) else None
            if found is None:
                return False
            raw, query = found.groups()
            method = b"GET"
            rest = data[: found.start()] + data[found.end() :]
            block = self._lane.find(link.client_address, _NGINX, rest, data)
        if block is None:
            return False
        trace = None if tracing is None else tracing.resume(parent, "")
        response = self._decide(block, method.decode(), raw.decode(), query)
        if response is None:
            if tracing is not None and trace is not None:
                tracing.give_back(trace)
            return False
        engine = self._engine
        engine.shares.touch(link)
        link.transport.write(response)
        status = int(response[9:12])
        engine.pipeline.metrics.count_refusal(method.decode(), status, perf_counter() - started)
        if trace is not None:
            path = PATH if line is None else f"{PATH}{raw.decode()}"
            head = RequestHead(method.decode(), path, (), (), link.client_address, trace=trace)
            engine.pipeline.end_trace(head, self._context, status)
        link.note_served()
        return True

    def _decide(
        self, block: KnownBlock, method: str, raw: str, query: bytes | None
    ) -> bytes | None:
        """Return the response to a check by `method`, None where it is not usual."""
        sidecar, table = self._lane.sidecar, self._engine.store.table
        text = None if query is None else query.decode()
        path = RequestPath(raw, tuple(raw[1:].split("/")), text, is_plain=True)
        target = raw if text is None else f"{raw}?{text}"
        head = RequestHead(
            block.method or method, target, block.headers, block.keys, block.client, block.scheme,
            peer=block.peer,
        )  # fmt: skip
        match = table.find(block.host, path.segments, head)
        if match is None:
            return None
        context = sidecar.make_context(head, path, block.host, match, table)
        if isinstance(context, Respond):
            return None
        self._context = context
        api = context.api
        is_known = block.table is table and block.route is context.route
        if is_known:
            context.consumer = block.consumer
            context.hidden_headers, context.secret_headers = block.hidden, block.secret
        for policy in api.request_filters:
            if policy.is_by_headers and is_known:
                continue
            if isinstance(policy, AsyncPolicy) and not policy.is_prepared(context):
                return None
            refusal = policy.request_filter(context)
            if refusal is not None:
                return self._encode(block, method, sidecar.finish(context, refusal))
        if api.upstream_request_filters or context.hidden_query or api.needs_services:
            return self._encode(block, method, sidecar.allow(context))
        if not is_known or block.sent is None or block.consumer is not context.consumer:
            block.sent = self._lane.find_response(block, context)
            block.table, block.route = table, context.route
            block.consumer = context.consumer
            block.hidden, block.secret = context.hidden_headers, context.secret_headers
        sidecar.count_allowed(context)
        result = context.limit_result
        limits = b"" if result is None else limit_lines(result)
        return b"%b%bDate: %b\r\n\r\n" % (block.sent, limits, self._engine.date.value().encode())

    def _encode(self, block: KnownBlock, method: str, outcome: Respond) -> bytes:
        response = block.encode(with_removed(outcome, block.claimed))
        return encode_own(response, method, self._engine.date, is_last=False)

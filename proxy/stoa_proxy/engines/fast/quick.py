"""The shortest way for the usual request: no body, one kept connection, a short response.

What does not change between two requests is worked out once, by the very functions that serve all
other requests: the headers of a client (equal blocks of bytes), a route with its API, the headers
that an upstream gets, and the headers of its responses. As soon as anything is not usual, an
`Exchange` takes the request over as it is then.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING, Final, NamedTuple

from stoa_proxy.core.backend import Backend
from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.limit_headers import RATE_HEADERS
from stoa_proxy.core.match import select_route
from stoa_proxy.core.model import Route
from stoa_proxy.core.table import Match, RoutingTable
from stoa_proxy.engines.complete.upstream.http1 import encode_head as encode_request
from stoa_proxy.engines.fast.request_head import parse_fields
from stoa_proxy.engines.fast.response_head import WITHOUT_BODY, encode_head
from stoa_proxy.engines.fast.response_reader import parse_response_head
from stoa_proxy.errors import FramingRefused, RequestRefused, UpstreamFailed
from stoa_proxy.http import framing
from stoa_proxy.http.framing import Framing
from stoa_proxy.http.heads import (
    Headers,
    RequestHead,
    filter_response_headers,
    read_host,
    sanitize,
    without,
)
from stoa_proxy.http.targets import PLAIN_PATH, RequestPath
from stoa_proxy.http.trace_context import NAMES as TRACE_NAMES
from stoa_proxy.http.trace_context import parse_state

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.engine import FastEngine

# A path that all readers see alike (`http.targets`), and not one of the gateway's own.
_LINE = re.compile(
    rb"(GET|DELETE) (?!/(?:admin|health|ready|metrics))(?=/)(%b)(?:\?([\x21\x22\x24-\x7e]*+))?"
    rb" HTTP/1\.1\r\n" % PLAIN_PATH.encode()
)
# Of blocks of headers, and of heads of responses: all are forgotten when there are so many. One
# takes 2 KiB or less, for longer ones are not remembered.
_MOST_KNOWN: Final = 512
_LONGEST_KNOWN: Final = 1024


class Block:
    """The headers of a client, cleaned as `pipeline` cleans them; `state` is its `tracestate`.

    `is_kept` is whether equal bytes lead to this very object again.
    """

    __slots__ = ("headers", "host", "is_kept", "keys", "state")

    def __init__(self, headers: Headers, keys: tuple[str, ...], host: str) -> None:
        self.headers = headers
        self.keys = keys
        self.host = host
        self.is_kept = False
        self.state = parse_state(self.head.values("tracestate"))

    @property
    def head(self) -> RequestHead:
        """The head of some request with these headers, for what asks about headers alone."""
        return RequestHead("GET", "/", self.headers, self.keys, "")


class RoutePlan:
    """A route that can be served the shortest way, and its API.

    `base` is the path of the backend, `base_alone` the same where nothing follows, `skipped` how
    many characters of a request's path the route replaces, `upstream_key` what calls are counted
    by. `counting` are the filters behind those that depend on the headers alone, `is_remembered`
    whether there are such.
    """

    __slots__ = (
        "base", "base_alone", "counting", "filters", "is_remembered",
        "needs_context", "origin", "route", "skipped", "tenant", "timeout", "upstream_key",
    )  # fmt: skip

    def __init__(self, route: Route, backend: Backend, table: RoutingTable) -> None:
        api = table.api(route.api_id)
        self.route = route
        self.tenant = route.tenant_id
        self.filters = api.request_filters
        stable = list(takewhile(lambda policy: policy.is_by_headers, api.request_filters))
        self.counting = api.request_filters[len(stable) :]
        self.is_remembered = bool(stable)
        self.needs_context = bool(api.request_filters or api.loggers)
        self.timeout = route.timeout
        self.origin = backend.origin
        self.upstream_key = (route.tenant_id, backend.host, backend.port)
        self.base = backend.base_path.rstrip("/").encode()
        self.base_alone = backend.base_path.encode() or b"/"
        self.skipped = sum(len(one) + 1 for one in route.prefix) if route.strip_path else 0


class Way(NamedTuple):
    """Where a path leads: its parts, the matched routes and the plan of the one."""

    path: RequestPath
    match: Match
    plan: RoutePlan


_WayKey = tuple["str | Block", bytes, str]
# Stands for a path whose way depends on the headers of the request.
_BY_HEADERS: Final = Way(RequestPath("", (), None), Match(0, ()), None)  # type: ignore[arg-type]


class KnownResponse(NamedTuple):
    """What is made of the head of an upstream's response.

    `sent` is the head for the client without its empty line, `has_limits` whether it says
    something of limits, `size` the length of head and body together.
    """

    sent: bytes
    status: int
    size: int
    start: int
    has_limits: bool


class QuickLane:
    """What all connections of an engine know of the usual requests."""

    def __init__(self, engine: FastEngine) -> None:
        self._engine = engine
        self._pipeline = engine.pipeline
        self._table: RoutingTable | None = None
        self._blocks: dict[bytes, Block | None] = {}
        self._plans: dict[int, tuple[Route, RoutePlan | None]] = {}
        self._ways: dict[_WayKey, Way | None] = {}
        self._responses: dict[bytes, KnownResponse | None] = {}

    def read_line(self, data: bytes) -> re.Match[bytes] | None:
        """Return the request line that bytes begin with, None for one that is not usual."""
        # The headers may be known, and no bound has been checked for both together.
        return None if len(data) > framing.MAX_HEAD else _LINE.match(data)

    def find_block(self, block: bytes, data: bytes) -> Block | None:
        """Return what is known of the bytes behind a request line; None where they are unusual.

        `data` is the whole head. Only bytes that are one whole head, checked in full, are known.
        """
        try:
            return self._blocks[block]
        except KeyError:
            pass
        found = self._read_block(block, data)
        if len(block) <= _LONGEST_KNOWN:
            if len(self._blocks) >= _MOST_KNOWN:
                self._blocks.clear()
            self._blocks[block] = found
            if found is not None:
                found.is_kept = True
        return found

    def find_way(self, block: Block, raw_path: bytes, method: str) -> Way | None:
        """Return where a path leads; None where it is not to be served here."""
        host = block.host
        table = self._engine.store.table
        if table is not self._table:
            self._table = table
            self._plans.clear()
            self._ways.clear()
        key = (host, raw_path, method)
        try:
            found = self._ways[key]
        except KeyError:
            found = self._find_way(table, block, raw_path.decode(), method)
            self._remember(key, raw_path, found)
        if found is not _BY_HEADERS:
            return found
        by_block = (block, raw_path, method)
        try:
            return self._ways[by_block]
        except KeyError:
            found = self._find_way(table, block, raw_path.decode(), method, head=block.head)
            if block.is_kept:
                self._remember(by_block, raw_path, found)
            return found

    def _remember(self, key: _WayKey, raw_path: bytes, way: Way | None) -> None:
        if len(raw_path) <= _LONGEST_KNOWN:
            if len(self._ways) >= _MOST_KNOWN:
                self._ways.clear()
            self._ways[key] = way

    def _find_way(
        self,
        table: RoutingTable,
        block: Block,
        path: str,
        method: str,
        head: RequestHead | None = None,
    ) -> Way | None:
        parsed = RequestPath(path, tuple(path[1:].split("/")), None, is_plain=True)
        if head is None and table.asks_headers(parsed.segments):
            return _BY_HEADERS
        match = table.find(block.host, parsed.segments, head)
        if match is None:
            return None
        routes = match.routes
        route = routes[0]
        if len(routes) > 1 or (route.methods and method not in route.methods):
            found = select_route(match, method)
            if found is None:
                return None
            route = found
        known = self._plans.get(id(route))
        if known is None:
            # With the route, so that no other one gets its id.
            known = self._plans[id(route)] = (route, _plan(route, table))
        plan = known[1]
        return None if plan is None else Way(parsed, match, plan)

    def find_response(self, head: bytes) -> KnownResponse | None:
        """Return what is made of the head of a response, None where it is not usual."""
        try:
            return self._responses[head]
        except KeyError:
            pass
        found = self._read_response(head)
        if len(head) <= _LONGEST_KNOWN:
            if len(self._responses) >= _MOST_KNOWN:
                self._responses.clear()
            self._responses[head] = found
        return found

    def make_context(
        self, head: RequestHead, path: RequestPath, block: Block, match: Match
    ) -> RequestContext:
        """Return the context of a request as the pipeline makes it."""
        table = self._table
        assert table is not None
        context = self._pipeline.make_context(head, path, block.host, match, table)
        assert isinstance(context, RequestContext), "only routes that admit it have a plan"
        return context

    def _read_block(self, block: bytes, data: bytes) -> Block | None:
        reader = Framing()
        try:
            head, rest = reader.read_head(data)
        except FramingRefused:
            return None
        if not head or rest or reader.is_inside_body or reader.is_last:
            return None
        fields = parse_fields(block)
        if fields is None or fields.expects or fields.is_last or "via" in fields.keys:
            return None
        if self._pipeline.tracing is not None and "traceparent" in fields.keys:
            return None  # the usual one is not among these bytes (`split_parent`)
        cleaned = sanitize(RequestHead("GET", "/", fields.headers, fields.keys, ""))
        try:
            host = read_host(cleaned, None)
        except RequestRefused:
            return None
        return Block(cleaned.headers, cleaned.keys, host)

    def _read_response(self, raw: bytes) -> KnownResponse | None:
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
        sent = encode_head(head.status, head.reason, headers, self._engine.date, "")
        has_limits = any(name.lower() in RATE_HEADERS for name, _ in headers)
        size = len(raw) + head.length
        return KnownResponse(sent[:-2], head.status, size, len(raw), has_limits)


def encode_tail(engine: FastEngine, context: RequestContext, plan: RoutePlan) -> bytes:
    """Return the head that the upstream gets, without its request line.

    Of a request with a trace without that, and without the empty line behind it.
    """
    backend = plan.route.backend
    assert isinstance(backend, Backend)
    forward = engine.pipeline.upstream_request_filter(context, backend)
    headers = forward.headers
    is_traced = context.head.trace is not None
    if is_traced:
        headers = tuple(without(headers, TRACE_NAMES))
    head, _ = encode_request(context.head.method, forward.target, headers, has_body=False)
    tail = head.partition(b"\r\n")[2]
    return tail[:-2] if is_traced else tail


def _plan(route: Route, table: RoutingTable) -> RoutePlan | None:
    """Return the plan of a route; None where something has to be asked with every request."""
    api, backend = table.api(route.api_id), route.backend
    is_usual = (
        route.activated
        and isinstance(backend, Backend)
        and not backend.base_query
        and route.fallback is None
        and route.backend_auth is None
        and route.balancing is None
        and not route.retries
        and api.retry is None
        and not api.needs_services
        and not api.upstream_request_filters
        and not api.response_filters
        and not api.upstream_peers
        and not api.upstream_observers
        and not api.upstream_response_filters
        and not api.failure_filters
    )
    if not is_usual:
        return None
    assert isinstance(backend, Backend)
    return RoutePlan(route, backend, table)

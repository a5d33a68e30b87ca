"""The shortest way for the usual request: no body, one kept connection, a short response.

What does not change between two requests is worked out once, by the very functions that serve all
other requests: the headers of a client (equal blocks of bytes), a route with its API, the headers
that an upstream gets, and the headers of its responses. As soon as anything is not usual, an
`Exchange` takes the request over as it is then.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from stoa_proxy.core.backend import Backend
from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.limit_headers import RATE_HEADERS
from stoa_proxy.core.match import select_route
from stoa_proxy.core.model import Route
from stoa_proxy.core.table import Match, RoutingTable
from stoa_proxy.engines.fast.quick_heads import (
    LONGEST_KNOWN,
    SPECIAL,
    Head,
    Heads,
    read_usual,
    remember,
)
from stoa_proxy.engines.fast.quick_routes import Pass, Place, RoutePlan, find_pass
from stoa_proxy.engines.fast.response_head import WITHOUT_BODY, encode_head
from stoa_proxy.engines.fast.response_reader import parse_response_head
from stoa_proxy.errors import RequestRefused, UpstreamFailed
from stoa_proxy.http import framing
from stoa_proxy.http.heads import (
    RequestHead,
    RequestTrace,
    filter_response_headers,
    read_host,
    sanitize,
)
from stoa_proxy.http.targets import PLAIN_PATH, RequestPath

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.engine import FastEngine

# A path that all readers see alike (`http.targets`), and not one of the gateway's own.
_LINE = re.compile(
    rb"(GET|DELETE) (?!/(?:admin|health|ready|metrics))(?=/)(%b)(?:\?([\x21\x22\x24-\x7e]*+))?"
    rb" HTTP/1\.1\r\n" % PLAIN_PATH.encode()
)


class Form:
    """What heads of one shape have in common: the host, and the `names` that `pipeline` keeps.

    `is_last` is whether they ask for the end of the connection.
    """

    __slots__ = ("host", "is_last", "names")

    def __init__(self, host: str, names: frozenset[str], *, is_last: bool) -> None:
        self.host = host
        self.names = names
        self.is_last = is_last


class Way(NamedTuple):
    """Where a path leads: its parts, the matched routes and the plan of the one.

    `skipped` is how many characters of the path the route replaces.
    """

    path: RequestPath
    match: Match
    plan: RoutePlan
    skipped: int


# Stands for a path whose way depends on the headers of the request.
_BY_HEADERS: Final = Way(RequestPath("", (), None), Match(0, ()), None, 0)  # type: ignore[arg-type]


class KnownRequest:
    """What is known of the bytes of a whole request; `target` is what it asks for.

    `line` is the request line for the only backend of the route, where it has one.
    """

    __slots__ = ("head", "line", "method", "path", "plan", "query", "target", "way")

    def __init__(
        self, method: str, path: bytes, query: bytes | None, head: Head[Form], way: Way
    ) -> None:
        self.method = method
        self.head = head
        self.way = way
        self.plan = plan = way.plan
        self.query = None if query is None else query.decode()
        self.path = path
        self.target = way.path.raw if query is None else f"{way.path.raw}?{self.query}"
        self.line = b"" if plan.place is None else self.line_for(plan.place)

    def line_for(self, place: Place) -> bytes:
        """Return the request line for a backend."""
        rest = self.path[self.way.skipped :]
        target = place.base + rest if rest else place.base_alone
        if self.query:
            target = b"%b?%b" % (target, self.query.encode())
        return b"%b %b HTTP/1.1\r\n" % (self.method.encode(), target)


class KnownResponse(NamedTuple):
    """What is made of the head of an upstream's response.

    `head` is that for the client, `sent` the same without its empty line, `has_limits` whether it
    says something of limits, `size` the length of head and body together.
    """

    head: bytes
    sent: bytes
    status: int
    size: int
    start: int
    has_limits: bool


PassKey = tuple[Form, RoutePlan, str, tuple[bytes, ...]]


class QuickLane:
    """What all connections of an engine know of the usual requests."""

    def __init__(self, engine: FastEngine) -> None:
        self._engine = engine
        self._pipeline = engine.pipeline
        self._table: RoutingTable | None = None
        self._heads = Heads(SPECIAL, self._read_form)
        self._requests: dict[bytes, KnownRequest] = {}
        self._plans: dict[int, tuple[Route, RoutePlan | None]] = {}
        self._ways: dict[tuple[str, bytes, str], Way | None] = {}
        self._passes: dict[PassKey, Pass] = {}
        self._responses: dict[bytes, KnownResponse | None] = {}

    def find(self, data: bytes, size: int) -> KnownRequest | None:
        """Return what is known of a request under the table of now; None for an unusual one.

        `size` is that of the whole head, of which `data` may lack a `traceparent`.

        A hash with a secret of the process finds it, and only bytes of equal hashes are compared:
        how long that takes tells nothing of the keys in what is known.
        """
        table = self._engine.store.table
        if table is not self._table:
            self._table = table
            self._requests.clear()
            self._plans.clear()
            self._ways.clear()
            self._passes.clear()
        return self._requests.get(data) or self._read(data, size, table)

    def find_pass(self, key: PassKey) -> Pass | None:
        """Return what let the last such request pass, while it holds."""
        return find_pass(self._passes, key, self._pipeline.states.clock)

    def keep_pass(self, key: PassKey, made: Pass) -> None:
        """Keep what let a request pass for others like it."""
        remember(self._passes, key, made)

    def _read(self, data: bytes, size: int, table: RoutingTable) -> KnownRequest | None:
        # The lines may be known, and no bound has been checked for all of them together.
        line = None if size > framing.MAX_HEAD else _LINE.match(data)
        if line is None:
            return None
        head = self._heads.find(data[line.end() :], data)
        if head is None:
            return None
        raw_method, raw_path, query = line.groups()
        method = raw_method.decode()
        key = (head.form.host, raw_path, method)
        comes_again = key in self._ways
        way = self._ways[key] if comes_again else self._find_way(table, *key)
        if not comes_again and len(raw_path) <= LONGEST_KNOWN:
            remember(self._ways, key, way)
        if way is _BY_HEADERS:
            asked = RequestHead("GET", "/", *head.headers(head.form.names), "")
            way = self._find_way(table, *key, asked)
        if way is None:
            return None
        known = KnownRequest(method, raw_path, query, head, way)
        # What differs with each request is not worth a place.
        if comes_again and len(data) <= LONGEST_KNOWN:
            remember(self._requests, data, known)
        return known

    def _read_form(self, data: bytes) -> Form | None:
        fields = read_usual(data, is_traced=self._pipeline.tracing is not None)
        if fields is None:
            return None
        cleaned = sanitize(RequestHead("GET", "/", fields.headers, fields.keys, ""))
        try:
            host = read_host(cleaned, None)
        except RequestRefused:
            return None
        return Form(host, frozenset(cleaned.keys), is_last=fields.is_last)

    def _find_way(
        self,
        table: RoutingTable,
        host: str,
        raw_path: bytes,
        method: str,
        head: RequestHead | None = None,
    ) -> Way | None:
        """Return where a path leads; None where it is not to be served here."""
        path = raw_path.decode()
        parsed = RequestPath(path, tuple(path[1:].split("/")), None, is_plain=True)
        if head is None and table.asks_headers(parsed.segments):
            return _BY_HEADERS
        match = table.find(host, parsed.segments, head)
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
        if plan is None:
            return None
        skipped = sum(len(one) + 1 for one in parsed.segments[: match.depth])
        return Way(parsed, match, plan, skipped if route.strip_path else 0)

    def find_response(self, head: bytes) -> KnownResponse | None:
        """Return what is made of the head of a response, None where it is not usual."""
        try:
            return self._responses[head]
        except KeyError:
            pass
        found = self._read_response(head)
        if len(head) <= LONGEST_KNOWN:
            remember(self._responses, head, found)
        return found

    def make_context(
        self, known: KnownRequest, client: str, table: RoutingTable, trace: RequestTrace | None
    ) -> RequestContext:
        """Return the context of a request as the pipeline makes it."""
        form, (path, match, *_) = known.head.form, known.way
        headers, keys = known.head.headers(form.names)
        scheme = self._engine.scheme
        head = RequestHead(known.method, known.target, headers, keys, client, scheme, trace=trace)
        if known.query is not None:
            path = path._replace(query=known.query)
        context = self._pipeline.make_context(head, path, form.host, match, table)
        assert isinstance(context, RequestContext), "only routes that admit it have a plan"
        return context

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
        return KnownResponse(sent, sent[:-2], head.status, size, len(raw), has_limits)


def _plan(route: Route, table: RoutingTable) -> RoutePlan | None:
    """Return the plan of a route; None where something has to be asked with every request."""
    api, backend = table.api(route.api_id), route.backend
    auth = route.backend_auth
    targets = () if route.balancing is None else route.balancing.targets
    is_usual = (
        route.activated
        and all(
            isinstance(one, Backend) and not one.base_query
            for one in (backend, *(target.backend for target in targets))
        )
        and route.fallback is None
        and (auth is None or auth.location == "header")
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

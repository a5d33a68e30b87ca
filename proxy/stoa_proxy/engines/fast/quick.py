"""The shortest way for the usual request: no body, one kept connection, a short response.

What does not change between two requests is worked out once, by the very functions that serve all
other requests: the headers of a client (equal blocks of bytes), a route with its API, the headers
that an upstream gets, and the headers of its responses. As soon as anything is not usual, an
`Exchange` takes the request over as it is then.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from stoa_proxy.core.backend import Backend
from stoa_proxy.core.exchange import RequestContext
from stoa_proxy.core.match import select_route
from stoa_proxy.core.model import Route
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.core.trie import Match
from stoa_proxy.engines.fast.quick_heads import (
    LONGEST_KNOWN,
    SPECIAL,
    AskedHead,
    Head,
    Heads,
    Recent,
    read_usual,
    split_path,
)
from stoa_proxy.engines.fast.quick_responses import KnownResponses
from stoa_proxy.engines.fast.quick_routes import Course, Pass, Place, RoutePlan, find_pass
from stoa_proxy.errors import RequestRefused
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.http import framing
from stoa_proxy.http.heads import (
    RequestHead,
    RequestTrace,
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
# Clients that send the same bytes.
_MOST_COURSES: Final = 8


class Form:
    """What heads of one shape have in common: the host, and the `names` that `pipeline` keeps.

    `is_last` is whether they ask for the end of the connection.
    """

    __slots__ = ("host", "is_last", "names")

    def __init__(self, host: str, names: frozenset[str], *, is_last: bool) -> None:
        self.host = host
        self.names = names
        self.is_last = is_last


class KnownRequest:
    """What is known of the bytes of a whole request.

    `line` is the request line for the only backend of the route, where it has one; `skipped` is how
    many characters of the path the route replaces, `is_new` whether it came once only.
    """

    __slots__ = (
        "_courses", "head", "is_new", "line", "match", "method", "path", "plan",
        "query", "raw_method", "skipped",
    )  # fmt: skip

    def __init__(
        self,
        line: tuple[bytes, bytes, bytes | None],
        head: Head[Form],
        match: Match,
        plan: RoutePlan,
        skipped: int,
    ) -> None:
        self.raw_method, self.path, self.query = line
        self.method = self.raw_method.decode()
        self.head = head
        self.match = match
        self.plan = plan
        self.skipped = skipped
        self.is_new = True
        self._courses: Recent[str, Course] | None = None
        self.line = b"" if plan.place is None else self.line_for(plan.place)

    @property
    def target(self) -> str:
        """What it asks for."""
        query = self.query
        return (self.path if query is None else b"%b?%b" % (self.path, query)).decode()

    def find_course(self, client: str, clock: Clock) -> Course | None:
        """Return what such requests of a client have in common, while it holds."""
        if self._courses is None:
            return None
        found = self._courses.new.get(client) or self._courses.get(client)
        if found is None or found.passed.until is None or found.passed.holds(clock):
            return found
        return None

    def keep_course(self, client: str, passed: Pass) -> Course:
        """Keep, and return, what such requests of a client have in common."""
        if self._courses is None:
            self._courses = Recent(_MOST_COURSES)
        made = Course(passed, self.method, self.target)
        self._courses.keep(client, made)
        return made

    def line_for(self, place: Place) -> bytes:
        """Return the request line for a backend."""
        rest = self.path[self.skipped :]
        target = place.base + rest if rest else place.base_alone
        if self.query:
            target = b"%b?%b" % (target, self.query)
        return b"%b %b HTTP/1.1\r\n" % (self.raw_method, target)


PassKey = tuple[Form, RoutePlan, str, tuple[bytes, ...]]


class QuickLane:
    """What all connections of an engine know of the usual requests."""

    def __init__(self, engine: FastEngine) -> None:
        self._engine = engine
        self._pipeline = engine.pipeline
        self.clock = engine.pipeline.states.clock
        self._table: RoutingTable | None = None
        self._heads = Heads(SPECIAL, self._read_form)
        self._requests: Recent[bytes, KnownRequest] = Recent()
        self._plans: dict[int, tuple[Route, RoutePlan | None]] = {}
        self._passes: Recent[PassKey, Pass] = Recent()
        self.responses = KnownResponses(engine.date)

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
            self._passes.clear()
        return self._requests.new.get(data) or self._read(data, size, table)

    def find_pass(self, key: PassKey) -> Pass | None:
        """Return what let the last such request pass, while it holds."""
        return find_pass(self._passes, key, self.clock)

    def keep_pass(self, key: PassKey, made: Pass) -> None:
        """Keep what let a request pass for others like it."""
        self._passes.keep(key, made)

    def _read(self, data: bytes, size: int, table: RoutingTable) -> KnownRequest | None:
        known = self._requests.get(data)
        if known is not None:
            return known
        # The lines may be known, and no bound has been checked for all of them together.
        line = None if size > framing.MAX_HEAD else _LINE.match(data)
        if line is None:
            return None
        head = self._heads.find(data[line.end() :], data)
        if head is None:
            return None
        found = self._find_plan(table, head, line[2], line[1])
        if found is None:
            return None
        known = KnownRequest((line[1], line[2], line[3]), head, *found)
        if head.is_known and len(data) <= LONGEST_KNOWN:
            self._requests.keep(data, known)
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

    def _find_plan(
        self, table: RoutingTable, head: Head[Form], path: bytes, raw_method: bytes
    ) -> tuple[Match, RoutePlan, int] | None:
        """Return where a path leads, and how many characters of it the route replaces.

        None where it is not to be served here.
        """
        segments = split_path(path.decode())
        match = table.find(head.form.host, segments, AskedHead(head))
        if match is None:
            return None
        method, route = raw_method.decode(), match.routes[0]
        if len(match.routes) > 1 or (route.methods and method not in route.methods):
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
        depth = match.depth if route.strip_path else 0
        skipped = depth + sum(map(len, segments[:depth]))
        return match, plan, skipped

    def make_context(
        self, known: KnownRequest, client: str, table: RoutingTable, trace: RequestTrace | None
    ) -> RequestContext:
        """Return the context of a request as the pipeline makes it."""
        form, raw, query = known.head.form, known.path.decode(), known.query
        headers, keys = known.head.headers(form.names)
        scheme = self._engine.scheme
        head = RequestHead(known.method, known.target, headers, keys, client, scheme, trace=trace)
        text = None if query is None else query.decode()
        path = RequestPath(raw, split_path(raw), text, is_plain=True)
        context = self._pipeline.make_context(head, path, form.host, known.match, table)
        assert isinstance(context, RequestContext), "only routes that admit it have a plan"
        return context


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

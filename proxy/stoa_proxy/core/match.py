"""Selects the route of a request, and builds the target that is called.

A target takes scheme, host and port from the route's parsed backend and nowhere else; the request
contributes only what follows the matched prefix, and its query.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

from stoa_proxy.core.backend import Backend, Origin, Upstream
from stoa_proxy.core.model import Route
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.core.trie import Match, NodeBudget, NodesSpent
from stoa_proxy.errors import RequestRefused
from stoa_proxy.foundation.upstream_tls import UpstreamTls
from stoa_proxy.http.heads import RequestHead
from stoa_proxy.http.targets import RequestPath

# Never forwarded: TRACE returns the credentials that we add to whoever asked for it
# (RFC 9110, 9.3.8), CONNECT asks for a tunnel.
_FORBIDDEN_METHODS = frozenset({"TRACE", "CONNECT"})
_DOUBT = "The path can be read as one of another route: send it without escapes."
MAX_DOUBTFUL_NODES = 2_000
"""That all readings of one path may meet: twice as many as the worst one of any table can."""

_KNOWN_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


class Target(NamedTuple):
    """The parts of the URL that is called, all raw (already encoded); `query` without `?`.

    `tls` is who the gateway is there.
    """

    scheme: str
    host: str
    port: int
    tls: UpstreamTls | None
    path: str
    query: str

    @property
    def origin(self) -> Origin:
        """What a connection is made to."""
        return self[:4]

    @property
    def shown(self) -> str:
        """The URL for messages, without the query, which may hold a credential."""
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"

    def __repr__(self) -> str:
        """Without the query, too: a log line may have it."""
        return f"Target({self.shown})"


def select_route(match: Match, method: str) -> Route | None:
    """Return the route for a method among those of one prefix and host; None means 405."""
    if method in _FORBIDDEN_METHODS:
        return None
    for route in match.routes:
        if not route.methods or method in route.methods:
            return route
    return None


def allowed_methods(match: Match) -> list[str]:
    """Return the methods that the matched routes accept, sorted, for `Allow`."""
    methods: set[str] = set()
    for route in match.routes:
        methods |= route.methods or frozenset(_KNOWN_METHODS)
    return sorted(methods - _FORBIDDEN_METHODS)


def methods_of(api_id: str, match: Match) -> list[str]:
    """Return the methods that the routes of one API accept among the matched ones, sorted."""
    selected = ((method, select_route(match, method)) for method in allowed_methods(match))
    return [method for method, route in selected if route is not None and route.api_id == api_id]


def build_target(
    upstream: Upstream,
    path: RequestPath,
    depth: int,
    *,
    strip: bool = True,
    drop: Iterable[str] = (),
    add: tuple[str, str] | None = None,
) -> Target:
    """Return the target for an upstream and a request matched to `depth` segments.

    `drop` names query parameters that are not forwarded, `add` is one that is appended.
    """
    remainder = path.remainder(depth) if strip else path.raw
    query = path.query or ""
    if add is not None or (drop and query):
        query = edit_query(query, drop, add)
    if not isinstance(upstream, Backend):
        return Target("builtin", "echo", 0, None, remainder or "/", query)
    base = upstream.base_path.rstrip("/") if remainder else upstream.base_path
    joined = query
    if upstream.base_query:
        joined = f"{upstream.base_query}&{query}" if query else upstream.base_query
    return Target(*upstream.origin, (base + remainder) or "/", joined)


def edit_query(raw: str, drop: Iterable[str], add: tuple[str, str] | None) -> str:
    """Return a raw query without the parameters named in `drop`, with `add` at its end.

    Untouched byte for byte when there is nothing to do.
    """
    names = set(drop)
    if add is not None:
        names.add(add[0])
    if names and raw:
        raw = "&".join(part for part in raw.split("&") if parameter_name(part) not in names)
    if add is None:
        return raw
    pair = f"{quote(add[0], safe='')}={quote(add[1], safe='')}"
    return f"{raw}&{pair}" if raw else pair


def parameter_name(part: str) -> str:
    """Return the decoded name of one `name=value` of a query."""
    return unquote_plus(part.partition("=")[0], errors="surrogateescape")


def refuse_doubt(
    path: RequestPath, host: str, match: Match, table: RoutingTable, head: RequestHead
) -> None:
    """Refuse a path that an upstream, or a proxy on the way, could take for one of another route.

    A key that `/a/admin` asks for would else be avoided by `/a//admin` where `/a` asks for none.
    A path is also refused where its readings meet more than MAX_DOUBTFUL_NODES of the table, which
    takes many routes with many parameters each: up to 16 readings would hold all others up.
    """
    prefix = match.routes[0].prefix
    # What a parameter took may be read as anything; a literal segment is what it is.
    certain = prefix.index(None) if None in prefix else match.depth
    budget = NodeBudget(MAX_DOUBTFUL_NODES)
    try:
        for segments in path.lenient_segments(certain):
            lenient = table.find(host, segments, head, budget)
            if lenient is not None and lenient.routes[0].prefix != prefix:
                raise RequestRefused(400, "Bad request", _DOUBT)
    except NodesSpent:
        raise RequestRefused(400, "Bad request", _DOUBT) from None

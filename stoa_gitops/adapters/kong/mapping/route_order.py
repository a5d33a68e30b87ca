"""How Kong chooses among routes: patterns of its routes, and their order. Pure.

The router of Kong 3 (`traditional_compatible`) orders routes beforehand, whatever the request
(route_numbers.py): plain hosts first, expressions before prefixes, then by the number of kinds of
attributes, by headers and `regex_priority`, and by the length of a prefix; a route with four kinds
comes before all of them. The first that matches gets the request, so a route can win over one with
a longer path. Where an order cannot be told, a route of others comes last: what could take its
requests is then refused rather than written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo, Options
from stoa_gitops.adapters.kong.mapping.route_numbers import path_order, route_number
from stoa_gitops.adapters.kong.mapping.routes import canonical_path, normal_path
from stoa_gitops.adapters.kong.policies import MAPPINGS
from stoa_gitops.model.path_parameters import without_names
from stoa_gitops.model.routing import Rank, RoutePattern, Router, methods_meet, read_headers

TRADITIONAL: Final = "traditional_compatible"

_HTTP: Final = frozenset({"http", "https", "grpc", "grpcs"})
# Everything but these may mean something in an expression.
_LETTERS: Final = re.compile(r"(?:[A-Za-z0-9/_~!&',;=:@%-]|\\[^A-Za-z0-9])*")
# A group without another one in it: what is beside the alternatives in it is certain.
_GROUP: Final = re.compile(r"(?<!\\)\([^()\[\]\\]*\)")
# After a letter these make it optional, so it is not certain.
_OPTIONAL: Final = frozenset("*?{")
_UNKNOWN: Final[Rank] = ()
_KINDS: Final = ("methods", "hosts", "headers", "paths", "snis", "sources", "destinations")
_POLICY_METHODS: Final = {
    name: mapping.route_methods for name, mapping in MAPPINGS.items() if mapping.route_methods
}
_STATEMENT: Final = re.compile(r'\s*http\.(path|host)\s*(\^=|==)\s*(?:r#"([^"]*)"#|"([^"\\]*)")\s*')


def router_of(node: NodeInfo | None) -> Router:
    """Return how a node chooses among routes; None before anybody asked."""
    return _ROUTERS["segments" if node is None else node.options.paths]


def _reader(options: Options) -> Router:
    node, by_letters = NodeInfo((0, 0, 0), frozenset(), options=options), options.paths == "prefix"

    def read(route: Mapping[str, Any]) -> RoutePattern:
        written = normal_path(str(route["path"]))
        path = without_names(written)
        hosts = tuple(str(host).lower() for host in route.get("hosts") or ())
        methods = tuple(route.get("methods") or ())
        headers = read_headers(route)
        is_regex = not by_letters and path != "/"
        rank = _rank(
            weight=1 + bool(hosts) + bool(methods) + bool(headers),
            hosts=hosts,
            headers=len(headers),
            is_regex=is_regex,
            priority=path_order(path, node, len(headers)) if is_regex else 0,
            length=0 if is_regex else len(path),
        )
        return RoutePattern(
            path,
            hosts,
            frozenset(methods),
            by_letters=by_letters,
            low=rank,
            high=rank,
            headers=headers,
            written=written if path != written else "",
        )

    # Of a header that comes several times any value counts, so that no two routes exclude another.
    return Router(
        read, _wins, by_letters=by_letters, reaches_below=True, policy_methods=_POLICY_METHODS
    )


def _rank(
    *, weight: int, hosts: tuple[str, ...], headers: int, is_regex: bool, priority: int, length: int
) -> Rank:
    number = route_number(
        weight=weight,
        plain_hosts=bool(hosts) and not any("*" in host for host in hosts),
        headers=min(headers, 255),
        expression=is_regex,
        order=priority,
        length=length,
    )
    return (number,)


def _wins(first: RoutePattern, second: RoutePattern, _host: str) -> bool:
    # Of two of one rank the node takes either: which one is not ours to say.
    return first.high >= second.low and methods_meet(first, second)


_ROUTERS: Final = {
    paths: _reader(Options(paths=paths)) for paths in ("segments", "parameters", "prefix")
}


def foreign_patterns(tree: JsonTree, node: NodeInfo) -> Iterator[RoutePattern]:
    """Yield a pattern for each path of a foreign route; none for a route of streams."""
    if _HTTP.isdisjoint(tree.get("protocols") or ("http",)):
        return
    if tree.get("expression"):
        yield _pattern_of_expression(str(tree["expression"]))
        return
    hosts = tuple(_without_port(str(host).lower()) for host in tree.get("hosts") or ())
    methods = frozenset(map(str, tree.get("methods") or ()))
    paths = [str(path) for path in tree.get("paths") or ()]
    for path in paths or [""]:
        low = _lowest(tree, path, hosts, node)
        segments = canonical_path(path) if path.startswith("~") else None
        # Of the form that we write ourselves, as another catalog's are.
        if segments is not None:
            place = without_names(segments)
            written = segments if place != segments else ""
            yield RoutePattern(place, hosts, methods, low=low, high=low, written=written)
            continue
        letters = _certain_letters(path[1:]) if path.startswith("~") else normal_path(path)
        yield RoutePattern(letters or "/", hosts, methods, by_letters=True, low=low, high=low)


def _lowest(tree: JsonTree, path: str, hosts: tuple[str, ...], node: NodeInfo) -> Rank:
    """Return the lowest place that a route may have for one of its paths."""
    # The order of other routers is another one, and not known well enough.
    if node.router_flavor != TRADITIONAL:
        return _UNKNOWN
    weight = sum(bool(tree.get(name)) for name in _KINDS)
    is_regex = path.startswith("~")
    return _rank(
        weight=weight,
        hosts=tuple(str(host) for host in tree.get("hosts") or ()),
        headers=len(tree.get("headers") or ()),
        is_regex=is_regex,
        priority=int(tree.get("regex_priority") or 0) if is_regex else 0,
        length=0 if is_regex else len(path),
    )


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _certain_letters(expression: str) -> str:
    """Return the letters with which every path begins that an expression matches."""
    if "|" in _GROUP.sub("", expression):
        return ""
    found = _LETTERS.match(expression.removeprefix("^"))
    assert found is not None, "the expression matches nothing, too"
    text, rest = found[0], expression.removeprefix("^")[found.end() :]
    if rest[:1] in _OPTIONAL:
        text = text[:-2] if text[-2:-1] == "\\" else text[:-1]
    letters = re.sub(r"\\(.)", r"\1", text)
    return letters if letters.startswith("/") else ""


def _pattern_of_expression(expression: str) -> RoutePattern:
    """Return what an expression of the router may match: all that is not excluded for certain."""
    path = "/"
    hosts: tuple[str, ...] = ()
    for part in expression.split("&&") if not set("|!()") & set(expression) else ():
        found = _STATEMENT.fullmatch(part)
        if found is None:
            continue
        value = found[3] if found[3] is not None else found[4]
        if found[1] == "path":
            path = value if value.startswith("/") and len(value) > len(path) else path
        elif found[2] == "==":
            hosts = (value.lower(),)
    return RoutePattern(path, hosts, by_letters=True, low=_UNKNOWN, high=_UNKNOWN)

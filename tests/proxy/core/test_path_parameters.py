"""Paths with parameters: found as by a look at each route, within a bound that nobody gets past."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.admin.routes import parse_prefix
from stoa_proxy.core import trie
from stoa_proxy.core.match import MAX_DOUBTFUL_NODES, build_target, refuse_doubt
from stoa_proxy.core.model import Route
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.core.trie import MAX_DEPTH, MAX_PARAMETERS
from stoa_proxy.errors import RequestRefused
from stoa_proxy.http.heads import RequestHead
from stoa_proxy.http.targets import read_target

from tests.proxy.core.test_match import backend, matched, route, table

HEAD = RequestHead("GET", "/", (), (), "192.0.2.1")


def at(path: str, route_id: str | None = None, **fields: Any) -> Route:
    """A route at a path as the admin API gets it, with the path as its id."""
    errors: list[str] = []
    prefix, parameters = parse_prefix(path, errors)
    assert not errors
    return Route(
        route_id or path, "n", "acme", "api", prefix, backend(), parameters=parameters, **fields
    )


def problems(path: str) -> list[str]:
    errors: list[str] = []
    parse_prefix(path, errors)
    return errors


def test_a_parameter_takes_one_segment_that_is_not_empty() -> None:
    routes = table(at("/orders/{orderId}/items"))
    found = "/orders/{orderId}/items"
    for path in ("/orders/5/items", "/orders/5/items/", "/orders/a%2Fb/items/9", "/orders/~/items"):
        assert matched(routes, path) == found, path
    for path in ("/orders/items", "/orders//items", "/orders/5", "/orders/5/6/items", "/orders/"):
        assert matched(routes, path) is None, path


def test_the_longest_path_wins_and_then_the_first_literal_segment() -> None:
    paths = ["/a", "/{x}", "/a/{x}", "/{x}/b", "/a/b", "/{x}/b/c", "/a/{x}/{y}/d"]
    for order in (paths, paths[::-1]):
        routes = table(*map(at, order))
        assert matched(routes, "/z") == "/{x}"
        assert matched(routes, "/a") == "/a"
        assert matched(routes, "/a/z") == "/a/{x}"
        assert matched(routes, "/z/b") == "/{x}/b"
        assert matched(routes, "/a/b") == "/a/b"
        assert matched(routes, "/a/b/z") == "/a/b"
        assert matched(routes, "/a/b/c") == "/{x}/b/c"
        assert matched(routes, "/a/b/c/d") == "/a/{x}/{y}/d"
        assert matched(routes, "/a/b/c/z") == "/{x}/b/c"


def test_a_host_counts_only_where_it_fits() -> None:
    routes = table(at("/a/b", hosts=("h.test",)), at("/a/{x}"))
    assert matched(routes, "/a/b", "h.test") == "/a/b"
    assert matched(routes, "/a/b", "other.test") == "/a/{x}"
    assert routes.has_hosts(("a", "b"))
    assert not routes.has_hosts(("a", "c"))


segments = st.sampled_from(("a", "b", "{}", "{}"))
prefixes = st.lists(segments, max_size=4).map(tuple)
requests = st.lists(st.sampled_from(("a", "b", "c", "")), max_size=6).map(tuple)


def _route(parts: tuple[str, ...], number: int) -> Route:
    named = [f"{{p{n}}}" if one == "{}" else one for n, one in enumerate(parts)]
    return at("/" + "/".join(named), f"r{number:02}")


def _naive(routes: list[Route], request: tuple[str, ...]) -> str | None:
    """The id that a look at each route finds."""
    found = [
        ((len(one.prefix), *(part is not None for part in one.prefix)), one.id)
        for one in routes
        if len(one.prefix) <= len(request)
        and all(s != "" if p is None else p == s for p, s in zip(one.prefix, request, strict=False))
    ]
    best = max((rank for rank, _ in found), default=None)
    return min((name for rank, name in found if rank == best), default=None)


@given(st.lists(prefixes, max_size=8), st.lists(requests, min_size=1, max_size=4))
def test_what_is_found_is_what_a_look_at_each_route_finds(
    found: list[tuple[str, ...]], asked: list[tuple[str, ...]]
) -> None:
    routes = [_route(parts, number) for number, parts in enumerate(found) if len(parts) <= 4]
    edited = table(*routes)
    at_once = RoutingTable.from_routes(reversed(routes))
    for request in asked:
        expected = _naive(routes, request)
        for made in (edited, at_once):
            hit = made.find("", request)
            assert (None if hit is None else hit.routes[0].id) == expected
    for one in routes:
        edited = edited.without_route(one.id)
    assert edited.root.is_empty


class Meeting:
    """Counts the nodes of tables that requests meet."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nodes = 0
        self._levels = trie.levels
        monkeypatch.setattr(trie, "levels", self._count)

    def _count(
        self, node: trie.Node, segments: Iterable[str], budget: trie.NodeBudget | None = None
    ) -> Iterator[list[trie.Node]]:
        for level in self._levels(node, segments, budget):
            self.nodes += len(level)
            yield level


def crowded(depth: int = MAX_DEPTH) -> RoutingTable:
    """All combinations of places for parameters in one path: as bad as a table can be."""
    return RoutingTable.from_routes(
        at("/" + "/".join(f"{{p{i}}}" if i in some else "a" for i in range(depth)))
        for count in range(MAX_PARAMETERS + 1)
        for some in itertools.combinations(range(depth), count)
    )


def test_no_request_meets_more_nodes_than_the_bounds_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    met = Meeting(monkeypatch)
    hit = crowded().find("", ("a",) * 60)
    assert hit is not None
    assert hit.routes[0].prefix == ("a",) * MAX_DEPTH
    levels = range(1, MAX_DEPTH + 1)
    bound = sum(math.comb(d, k) for d in levels for k in range(MAX_PARAMETERS + 1))
    assert 0 < met.nodes <= bound < 1024


def test_the_readings_of_a_doubtful_path_meet_no_more_than_a_few_thousand_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the bound, each of up to 16 readings meets as many as the worst path can."""
    met = Meeting(monkeypatch)
    doubtful = "/a" * MAX_DEPTH + "/" + "%25252f%5c;x" * 2_800
    assert len(doubtful) > 32 * 1024
    assert _is_doubtful(crowded(), doubtful)
    assert met.nodes <= MAX_DOUBTFUL_NODES + 2 * 1023, "the match of the path itself, and one level"
    met.nodes = 0
    assert not _is_doubtful(crowded(5), doubtful), "few nodes, and no other route"
    assert 0 < met.nodes < MAX_DOUBTFUL_NODES


def test_a_match_does_not_slow_down_with_the_number_of_routes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`benchmarks.proxy_swap` has the time that it takes."""
    met = Meeting(monkeypatch)

    def nodes(count: int) -> int:
        met.nodes = 0
        paths = (at(f"/t{n % 100}/a{n}/{{x}}/items") for n in range(count))
        found = RoutingTable.from_routes(paths)
        for n in range(10):
            assert found.find("", (f"t{n}", f"a{n}", "5", "items")) is not None
        return met.nodes

    assert 0 < nodes(10_000) == nodes(10)


def test_names_decide_nothing() -> None:
    one, other = at("/a/{x}", "r1"), at("/a/{y}", "r2")
    assert one.prefix == other.prefix
    assert [found.id for found in table(one).routes_beside(other)] == ["r1"]
    assert one.path == "/a/{x}"
    assert route("/a/%7Bx%7D").path == "/a/{x}"
    assert route("/a/%7Bx%7D").prefix != one.prefix


def test_what_is_stripped_is_what_was_matched() -> None:
    asked = read_target("/orders/a%2Fb/items/9?q=1")
    hit = table(at("/orders/{id}/items")).find("", asked.segments)
    assert hit is not None
    assert build_target(backend("http://b.test/base"), asked, hit.depth).path == "/base/9"
    kept = build_target(backend("http://b.test/base"), asked, hit.depth, strip=False)
    assert kept.path == "/base/orders/a%2Fb/items/9"


def test_an_escape_that_may_lead_to_another_route_is_refused() -> None:
    routes = table(at("/a"), at("/a/{x}"), at("/a/{x}/c"), at("/a/admin"))
    for path in ("/a/admin;v=1", "/a/x%2Fc", "/a/%2561dmin", "/a//admin", "/a/admin%2Fx"):
        assert _is_doubtful(routes, path), path
    for path in ("/a/x%20y", "/a/x/c/d%2Fe", "/a/b%2Fd"):
        assert not _is_doubtful(routes, path), path
    # Nothing is in doubt where no other route is met.
    assert not _is_doubtful(table(at("/projects/{id}/issues")), "/projects/group%2Fname/issues")


def _is_doubtful(routes: RoutingTable, target: str) -> bool:
    path = read_target(target)
    match = routes.find("", path.segments, HEAD)
    assert match is not None
    try:
        refuse_doubt(path, "", match, routes, HEAD)
    except RequestRefused as refused:
        return refused.status == 400
    return False


def test_the_admin_api_says_what_is_wrong_with_a_parameter() -> None:
    assert problems("/a/{x}/b") == []
    for path in ("/a/x{y}", "/a/{}", "/a/{1x}", "/a/{x", "/a/}", "/a/{x}{y}", "/a/{x-y}"):
        assert any("whole segment" in one for one in problems(path)), path
    assert problems("/{x}/{x}") == ["path_prefix must not hold a parameter twice"]
    assert any("at most 4" in one for one in problems("/{a}/{b}/{c}/{d}/{e}"))
    assert any("10 segments" in one for one in problems("/{a}" + "/x" * MAX_DEPTH))
    assert problems("/x" * 60) == []

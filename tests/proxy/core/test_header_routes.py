"""Routes that ask for headers: found as by a look at each, in a time that does not grow."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.header_routes import can_hold_together
from stoa_proxy.core.match import select_route
from stoa_proxy.core.model import HeaderValues, Route
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.http.heads import Headers, RequestHead, lower_names
from stoa_proxy.http.targets import read_target

from tests.proxy.core.test_match import route, table


def head(*headers: tuple[str, str], method: str = "GET") -> RequestHead:
    return RequestHead(method, "/a", headers, lower_names(headers), "192.0.2.1")


def chosen(found: RoutingTable, *headers: tuple[str, str], path: str = "/a") -> str | None:
    hit = found.find("", read_target(path).segments, head(*headers))
    selected = None if hit is None else select_route(hit, "GET")
    return None if selected is None else selected.id


def asking(route_id: str, prefix: str = "/a", **headers: str) -> Route:
    asked = sorted((name.replace("_", "-"), tuple(v.split("|"))) for name, v in headers.items())
    return route(prefix, route_id, headers=tuple(asked))


ROUTES = table(
    route("/a", "plain"), asking("blue", x_env="blue|azure"), asking("both", x_env="blue", x_v="2")
)


def test_what_asks_for_more_headers_comes_first_and_what_asks_for_none_last() -> None:
    assert chosen(ROUTES) == "plain"
    assert chosen(ROUTES, ("X-Env", "blue")) == chosen(ROUTES, ("X-Env", "azure")) == "blue"
    assert chosen(ROUTES, ("X-Env", "blue"), ("X-V", "2")) == "both"
    assert chosen(ROUTES, ("X-Env", "azure"), ("X-V", "2")) == "blue"
    assert chosen(ROUTES, ("X-V", "2")) == "plain"


def test_letters_of_names_and_values_have_no_case() -> None:
    assert chosen(ROUTES, ("x-eNV", "BLUE")) == "blue"


def test_only_one_whole_value_counts() -> None:
    for headers in (
        (("X-Env", "blue"), ("X-Env", "blue")),
        (("X-Env", "blue"), ("X-Env", "green")),
        (("X-Env", "blue"), ("X_Env", "blue")),
        (("X-Env", "blue, green"),),
        (("X-Env", "blue,"),),
        (("X-Env", ""),),
        (("X-Env", "b lue"),),
        (("X-Env", "blu\u212a"),),
        (("X-Environment", "blue"),),
    ):
        assert chosen(ROUTES, *headers) == "plain", headers
    # The sign for kelvin is a `k` in lower case.
    assert chosen(table(asking("k", x_env="k")), ("X-Env", "\u212a")) is None


def test_a_name_with_underscores_is_the_same_name() -> None:
    assert chosen(ROUTES, ("X_Env", "blue")) == "blue"


def test_a_longer_path_counts_only_for_requests_with_its_headers() -> None:
    routes = table(route("/a", "short"), asking("long", "/a/b", x_env="blue"))
    assert chosen(routes, ("X-Env", "blue"), path="/a/b/c") == "long"
    assert chosen(routes, path="/a/b/c") == "short"
    assert chosen(table(asking("alone", x_env="blue"))) is None


def test_a_more_exact_host_counts_only_for_requests_with_its_headers() -> None:
    routes = table(
        route("/a", "any"), route("/a", "exact", hosts=("h.test",), headers=(("x-v", ("1",)),))
    )
    for sent, expected in ((head(), "any"), (head(("X-V", "1")), "exact")):
        hit = routes.find("h.test", ("a",), sent)
        assert hit is not None
        assert hit.routes[0].id == expected


def test_without_a_head_nothing_asks_for_headers() -> None:
    hit = ROUTES.find("", ("a",))
    assert hit is not None
    assert [one.id for one in hit.routes] == ["plain"]


def test_a_method_is_looked_for_behind_the_headers() -> None:
    routes = table(
        route("/a", "all"),
        route("/a", "get", methods=frozenset({"GET"}), headers=(("x-v", ("1",)),)),
    )
    hit = routes.find("", ("a",), head(("X-V", "1")))
    assert hit is not None
    assert [getattr(select_route(hit, m), "id", "") for m in ("GET", "POST")] == ["get", "all"]


# The law: what the tables find is what a look at every route finds.

_NAMES = ("x-a", "x-b", "x-c")
_ASKED = st.dictionaries(
    st.sampled_from(_NAMES),
    st.sets(st.sampled_from(["1", "2", "3"]), min_size=1).map(lambda found: tuple(sorted(found))),
    max_size=3,
).map(lambda found: tuple(sorted(found.items())))
_ROUTES = st.lists(
    st.tuples(
        _ASKED,
        st.sampled_from(["/", "/a", "/a/b"]),
        st.sampled_from([(), ("h.test",), ("*.test",)]),
        st.sampled_from([(), ("GET",), ("POST",)]),
    ),
    max_size=12,
).map(
    lambda items: [
        route(prefix, f"r{n:02}", hosts=hosts, methods=frozenset(methods), headers=headers)
        for n, (headers, prefix, hosts, methods) in enumerate(items)
    ]
)
_SENT = st.lists(
    st.tuples(
        st.sampled_from(["X-A", "x-a", "X_A", "x-b", "X-C", "x-d"]),
        st.sampled_from(["1", "2", "3", "4", "", "1, 2"]),
    ),
    max_size=5,
).map(tuple)


def holds(asked: HeaderValues, sent: Headers) -> bool:
    def values(name: str) -> list[str]:
        return [value.lower() for key, value in sent if key.lower().replace("_", "-") == name]

    return all(len(values(name)) == 1 and values(name)[0] in allowed for name, allowed in asked)


def naively(routes: list[Route], host: str, path: tuple[str, ...], sent: Headers) -> list[str]:
    def rank(one: Route) -> tuple[int, int]:
        exact = -1
        for name in one.hosts or ("",):
            if name == host or not name or (name[0] == "*" and host.endswith(name[1:])):
                exact = max(exact, len(name) if name[:1] == "*" else 1_000 * bool(name))
        return len(one.prefix), exact

    fit = [
        one
        for one in routes
        if path[: len(one.prefix)] == one.prefix and rank(one)[1] >= 0 and holds(one.headers, sent)
    ]
    best = max(map(rank, fit), default=None)
    # A route of the same host that is named by a less exact name is not among them.
    kept = [one for one in fit if rank(one) == best]
    kept.sort(key=lambda one: (-len(one.headers), one.id))
    return [one.id for one in kept]


@given(_ROUTES, _SENT, st.sampled_from(["h.test", "x.test", "x.org", ""]), st.booleans())
def test_the_routes_are_those_that_a_look_at_each_finds(
    routes: list[Route], sent: Headers, host: str, at_once: bool
) -> None:
    made = RoutingTable.from_routes(routes) if at_once else table(*routes)
    path = ("a", "b", "c")
    hit = made.find(host, path, head(*sent))
    found = [] if hit is None else [one.id for one in hit.routes]
    assert found == naively(routes, host, path, sent)


@given(_ASKED, _ASKED, _SENT)
def test_routes_that_hold_for_one_request_can_hold_together(
    one: HeaderValues, other: HeaderValues, sent: Headers
) -> None:
    if holds(one, sent) and holds(other, sent):
        assert can_hold_together(route("/a", headers=one), route("/a", headers=other))


def test_a_lookup_among_many_routes_of_one_path_takes_as_long_as_among_few() -> None:
    def spent(count: int) -> float:
        routes = RoutingTable.from_routes(
            asking(f"r{n}", x_canary="1", x_tenant=f"t{n}") for n in range(count)
        )
        sent = head(("X-Canary", "1"), ("X-Tenant", "t7"))
        rounds = []
        for _ in range(30):
            began = time.perf_counter()
            for _ in range(200):
                routes.find("", ("a",), sent)
            rounds.append(time.perf_counter() - began)
        return min(rounds)

    # By a look at each it is a thousand times as long.
    assert spent(10_000) < 20 * spent(10)


def test_many_routes_of_one_path_change_one_by_one_as_at_once() -> None:
    many = [asking(f"r{n}", x_tenant=f"t{n}|u{n}") for n in range(50)]
    made = table(*many)
    assert made == RoutingTable.from_routes(many)
    assert chosen(made, ("X-Tenant", "u49")) == "r49"
    for one in many[3:]:
        made = made.without_route(one.id)
    assert made == RoutingTable.from_routes(many[:3])
    assert chosen(made, ("X-Tenant", "u49")) is None

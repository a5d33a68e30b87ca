"""The laws of matching and of targets."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stoa_proxy.core.backend import Backend, parse_upstream
from stoa_proxy.core.match import allowed_methods, build_target, edit_query, select_route
from stoa_proxy.core.model import Route
from stoa_proxy.core.table import Node, RoutingTable
from stoa_proxy.engines.complete.upstream.http1 import encode_head
from stoa_proxy.errors import RequestRefused
from stoa_proxy.foundation.address_guard import AddressGuard
from stoa_proxy.http.targets import read_segments, read_target

BACKEND = "http://backend.test:8001/base/v1?k=1"


def backend(url: str = BACKEND) -> Backend:
    backend = parse_upstream(url, AddressGuard())
    assert isinstance(backend, Backend)
    return backend


def route(prefix: str, route_id: str = "r", **fields: object) -> Route:
    segments = () if prefix == "/" else read_segments(prefix)
    return Route(route_id, "n", "acme", "api", segments, backend(), **fields)  # type: ignore[arg-type]


def table(*routes: Route) -> RoutingTable:
    found = RoutingTable()
    for one in routes:
        found = found.with_route(one)
    return found


def matched(found: RoutingTable, path: str, host: str = "", method: str = "GET") -> str | None:
    hit = found.find(host, read_target(path).segments)
    chosen = None if hit is None else select_route(hit, method)
    return None if chosen is None else chosen.id


def test_a_prefix_ends_at_a_segment_boundary() -> None:
    routes = table(route("/apis/a"))
    assert matched(routes, "/apis/a/x") == "r"
    assert matched(routes, "/apis/a") == "r"
    assert matched(routes, "/apis/ab") is None
    assert matched(routes, "/apis") is None


def test_segments_are_compared_decoded_and_an_encoded_slash_makes_no_boundary() -> None:
    routes = table(route("/apis/a"))
    assert matched(routes, "/%61pis/a/x") == "r"
    assert matched(routes, "/apis%2Fa/x") is None
    assert matched(routes, "/apis/a%2Fb") is None
    assert matched(routes, "/APIS/a") is None


def test_the_longest_prefix_wins_also_over_the_root() -> None:
    routes = table(route("/", "root"), route("/a", "a"), route("/a/b/c", "abc"))
    assert matched(routes, "/a/b") == "a"
    assert matched(routes, "/a/b/c/d") == "abc"
    assert matched(routes, "/zzz") == "root"
    assert matched(routes, "//evil/x") == "root"


def test_exact_hosts_come_before_wildcards_and_wildcards_before_any() -> None:
    routes = table(
        route("/a", "any"),
        route("/a", "wild", hosts=("*.example.com",)),
        route("/a", "wilder", hosts=("*.eu.example.com",)),
        route("/a", "exact", hosts=("api.example.com",)),
    )
    hosts = ["api.example.com", "x.example.com", "x.eu.example.com", "example.com", ""]
    assert [matched(routes, "/a", host) for host in hosts] == [
        "exact", "wild", "wilder", "any", "any",
    ]  # fmt: skip


def test_methods_choose_among_routes_of_one_prefix_and_name_what_is_allowed() -> None:
    routes = table(
        route("/a", "get", methods=frozenset({"GET"})),
        route("/a", "post", methods=frozenset({"POST"})),
    )
    assert matched(routes, "/a", method="POST") == "post"
    assert matched(routes, "/a", method="PUT") is None
    found = routes.find("", ("a",))
    assert found is not None
    assert allowed_methods(found) == ["GET", "POST"]
    assert select_route(table(route("/a")).find("", ("a",)), "TRACE") is None  # type: ignore[arg-type]


def test_routes_that_collide_are_decided_by_id_whatever_the_order() -> None:
    one, two = route("/a", "1"), route("/a", "2")
    assert matched(table(one, two), "/a") == matched(table(two, one), "/a") == "1"


def test_a_removed_route_leaves_nothing_behind_and_the_old_table_is_untouched() -> None:
    full = table(route("/a/b", "1"), route("/a/b/c", "2", hosts=("h.test",)))
    empty = full.without_route("2").without_route("1")
    assert empty.root == Node()
    assert matched(full, "/a/b") == "1"


@pytest.mark.parametrize("part", ["a\r\nX: 1", "a\nX: 1", "a\rX: 1"])
def test_a_line_break_in_a_part_is_never_written(part: str) -> None:
    target = build_target(backend(), read_target("/a"), 1)
    for name, value in ((part, "x"), ("X-A", part)):
        with pytest.raises(ValueError, match="line break"):
            encode_head("GET", target, ((name, value),), has_body=False)


_PREFIXES = st.sampled_from(["/", "/a", "/a/b", "/a/b/c", "/b", "/b/a", "/a/c"])
_ROUTES = st.builds(
    lambda number, prefix, hosts, methods, headers: route(
        prefix, f"r{number}", hosts=hosts, methods=frozenset(methods), headers=headers
    ),
    st.integers(0, 8),
    _PREFIXES,
    st.sampled_from([(), ("h.test",), ("*.test",), ("h.test", "*.test")]),
    st.sampled_from([(), ("GET",), ("POST",)]),
    st.sampled_from([(), (("x-a", ("1", "2")),), (("x-a", ("1",)), ("x-b", ("1",)))]),
)


@given(st.lists(st.one_of(_ROUTES, st.integers(0, 8)), max_size=30))
def test_a_table_made_step_by_step_equals_one_made_at_once(edits: list[Route | int]) -> None:
    stepwise, kept = RoutingTable(), {}
    for edit in edits:
        if isinstance(edit, Route):
            stepwise = stepwise.with_route(edit)
            kept[edit.id] = edit
        elif f"r{edit}" in kept:
            stepwise = stepwise.without_route(f"r{edit}")
            del kept[f"r{edit}"]
    assert stepwise == RoutingTable.from_routes(kept.values())


def test_changing_one_route_of_ten_thousand_is_far_below_five_milliseconds() -> None:
    big = RoutingTable.from_routes(
        route(f"/apis/t{index % 100}/a{index}", f"r{index}") for index in range(10_000)
    )
    spent = []
    for _ in range(20):
        began = time.perf_counter()
        big = big.with_route(route("/apis/t7/other", "r7"))
        spent.append(time.perf_counter() - began)
    assert sorted(spent)[10] < 0.005
    assert matched(big, "/apis/t7/other/x") == "r7"
    assert matched(big, "/apis/t7/a7") is None


# Text that attacks: every byte, dots, slashes, at signs, colons and escapes more often.
pieces = st.sampled_from(
    ["/", "//", "..", ".", "%2e", "%2F", "%5c", "\\", "@", ":", "%40", "?", ";", "%00", "%zz", "x"]
)
paths = st.lists(st.one_of(pieces, st.text(max_size=4))).map("".join)


def test_one_folder_may_have_any_number_of_routes() -> None:
    routes = [route(f"/apis/r{number}", f"r{number}") for number in range(1500)]
    found = RoutingTable.from_routes(routes)
    assert found == table(*routes)
    assert [matched(found, f"/apis/r{number}/x") for number in (0, 777, 1499)] == [
        "r0", "r777", "r1499",
    ]  # fmt: skip
    moved = found.with_route(route("/apis/elsewhere", "r777"))
    assert matched(moved, "/apis/r777/x") is None
    assert matched(moved, "/apis/elsewhere") == "r777"
    assert matched(found, "/apis/r777/x") == "r777", "the old table is untouched"
    for number in range(1, 1500):
        moved = moved.without_route(f"r{number}")
    assert moved == table(routes[0])


@given(paths, st.booleans())
@example("@127.0.0.1:18191/x", False)
@example(":18191/x", False)
@example("//evil/x", True)
@example("/..%2f..%2fadmin", False)
def test_no_path_changes_the_host_or_leaves_the_base(rest: str, is_root: bool) -> None:
    prefix = "" if is_root else "/nb"
    chosen = route(prefix or "/")
    try:
        path = read_target(prefix + rest)
    except RequestRefused:
        return
    if path.segments[: len(chosen.prefix)] != chosen.prefix:
        return
    target = build_target(backend(), path, len(chosen.prefix))
    sent, _ = encode_head("GET", target, (), has_body=False)
    line, host, *rest = sent.decode().split("\r\n")
    assert (host, rest) == ("Host: backend.test:8001", ["", ""])
    assert line == f"GET {target.path}?{target.query} HTTP/1.1"
    assert target.path == "/base/v1" or target.path.startswith("/base/v1/")
    assert target.query.startswith("k=1")
    for segment in target.path.replace("%2f", "/").replace("%2F", "/").split("/"):
        assert segment.lower().replace("%2e", ".").partition(";")[0] not in (".", "..")


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4))
def test_what_is_not_refused_is_forwarded_as_it_was_sent(segments: list[str]) -> None:
    raw = "/" + "/".join(quote(one, safe="", errors="replace") for one in segments)
    try:
        path = read_target("/p" + raw)
    except RequestRefused:
        return
    assert build_target(backend("http://b.test"), path, 1).path == raw
    assert path.remainder(1) == raw


@pytest.mark.parametrize(
    "target",
    ["/a/../b", "/a/%2E%2e/b", "/a/..%2fb", "/a/x%2f..", "/a/..%5cb", "/a/..;v=1/b", "/a/%00",
     "/a/%0d%0aX:1", "/a/%c0%ae%c0%ae/b", "/a/.", "/a#b", "/a b", "/a\u00e9", "a", "*"],
)  # fmt: skip
def test_ambiguous_targets_are_refused(target: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        read_target(target)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "target", ["/.well-known/x", "/a...b", "/..a", "/a/...", "/%C3%A9", "/a;b"]
)
def test_names_with_dots_are_no_dot_segments(target: str) -> None:
    assert read_target(target).raw == target


def test_the_absolute_form_names_the_host() -> None:
    path = read_target("http://h.test:80/a?x")
    assert (path.raw, path.query, path.authority) == ("/a", "x", "h.test:80")


def test_a_query_is_edited_by_decoded_name_and_else_left_alone() -> None:
    assert edit_query("a=%20&b&&c", (), None) == "a=%20&b&&c"
    assert edit_query("a=1&%61=2&A=3", {"a"}, None) == "A=3"
    assert edit_query("", (), ("k", "a b&")) == "k=a%20b%26"

"""The order of matching of each make, beside a small router of that make.

The law: where a new route would receive a request that another one receives without it, `takes`
says so. For makes whose order is known exactly the reverse holds as well.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stoa_proxy.core.match import select_route
from stoa_proxy.core.table import RoutingTable
from stoa_proxy.http.heads import Headers, RequestHead, lower_names
from stoa_proxy.http.targets import read_target

from stoa_gitops.adapters.kong.entities.entity import NodeInfo, Options
from stoa_gitops.adapters.kong.mapping.route_numbers import (
    path_order,
)
from stoa_gitops.adapters.kong.mapping.route_order import foreign_patterns, router_of
from stoa_gitops.adapters.kong.mapping.routes import kong_path
from stoa_gitops.adapters.stoa.routing import LETTERS
from stoa_gitops.model.path_parameters import without_names
from stoa_gitops.model.routing import SEGMENTS, RoutePattern, Router, read_headers
from tests.adapters.kong.double.proxy import route_number
from tests.laws import examples
from tests.proxy.core.test_path_parameters import at

PATHS = ("/", "/a", "/a/b", "/a/b/c", "/ab", "/b")
HOSTS = ("h.test", "x.h.test", "y.test", "other")
METHODS = ("GET", "POST")
REQUESTS = tuple(
    itertools.product(("/", "/a", "/a/b", "/a/b/c", "/a/bc", "/ab", "/ab/c", "/b", "/c"),
                      HOSTS, METHODS)
)  # fmt: skip

Form = Mapping[str, Any]

routes = st.fixed_dictionaries(
    {
        "path": st.sampled_from(PATHS),
        "hosts": st.sampled_from(
            ([], [], ["h.test"], ["*.test"], ["*.h.test"], ["h.test", "*.test"], ["y.test"])
        ),
        "methods": st.sampled_from(([], [], ["GET"], ["POST"], ["GET", "POST"])),
    }
)


# Those of a request, and those that routes ask for; the last but one has two values of `x-a`.
SENT = (
    (), (("X-A", "1"),), (("X-A", "2"),), (("X-B", "1"),), (("X-A", "1"), ("X-B", "1")),
    (("X-A", "2"), ("X-B", "1")), (("X-A", "1"), ("X-A", "2")),
    (("X-A", "1"), ("X-A", "2"), ("X-B", "1")),
)  # fmt: skip
WITH_HEADERS = tuple(itertools.product(("/", "/a", "/a/b"), ("h.test", "other"), METHODS, SENT))
asking_routes = st.fixed_dictionaries(
    {
        "path": st.sampled_from(("/", "/a", "/a/b")),
        "hosts": st.sampled_from(([], ["h.test"])),
        "methods": st.sampled_from(([], ["GET"], ["POST"])),
        "headers": st.sampled_from(
            ({}, {"x-a": "1"}, {"x-a": "2"}, {"x-a": "12"}, {"x-b": "1"},
             {"x-a": "1", "x-b": "1"}, {"x-a": "2", "x-b": "1"})
        ).map(lambda asked: [{"name": n, "values": list(asked[n])} for n in sorted(asked)]),
    }
)  # fmt: skip


WITH_PARAMETERS = tuple(
    itertools.product(
        ("/", "/a/", *(f"/{'/'.join(parts)}" for n in (1, 2, 3) for parts in
                       itertools.product("abz", repeat=n))),
        ("h.test",), METHODS,
    )
)  # fmt: skip
paths_with_parameters = st.lists(
    st.sampled_from(("a", "b", "{x}", "{x}")), min_size=1, max_size=3
).map(lambda parts: "".join(f"/{one.replace('x', f'x{n}')}" for n, one in enumerate(parts)))
parameter_routes = st.fixed_dictionaries(
    {"path": paths_with_parameters, "hosts": st.just([]), "methods": st.sampled_from(([], ["GET"]))}
)


class Request(NamedTuple):
    path: str
    host: str
    method: str
    headers: Headers = ()


def data_plane(table: Sequence[Form], request: Request) -> int | None:
    """The index of the route that our data plane takes; the last of equal ones."""
    made = RoutingTable.from_routes(
        at(
            form["path"], f"r{len(table) - index}", hosts=tuple(form["hosts"]),
            methods=frozenset(form["methods"]), headers=read_headers(form),
        )
        for index, form in enumerate(table)
    )  # fmt: skip
    sent = request.headers
    head = RequestHead(request.method, request.path, sent, lower_names(sent), "192.0.2.1")
    match = made.find(request.host, read_target(request.path).segments, head)
    found = select_route(match, request.method) if match is not None else None
    return None if found is None else len(table) - int(found.id[1:])


def plain_stoa(table: Sequence[Form], request: Request) -> int | None:
    """Longest prefix by letters, then the methods; the last of equal ones."""
    found = [i for i, form in enumerate(table) if request.path.startswith(form["path"])]
    best = max(found, key=lambda i: (len(table[i]["path"]), i), default=None)
    if best is None or (table[best]["methods"] and request.method not in table[best]["methods"]):
        return None
    return best


def kong(table: Sequence[Form], request: Request) -> int | None:
    """The route of Kong's traditional_compatible router; the last of equal ones."""
    found = [i for i, tree in enumerate(table) if _kong_matches(tree, request)]
    return max(found, key=lambda i: (_kong_priority(table[i]), i), default=None)


def _kong_matches(tree: Form, request: Request) -> bool:
    if tree.get("methods") and request.method not in tree["methods"]:
        return False
    hosts = tree.get("hosts") or ()
    forms = [re.escape(host).replace(r"\*", ".+") for host in hosts]
    if hosts and not any(re.fullmatch(form, request.host) for form in forms):
        return False
    for name, values in tree.get("headers", {}).items():
        if not any(key.lower() == name and one in values for key, one in request.headers):
            return False
    return not tree.get("paths") or any(
        # Python writes all named groups with a `P`.
        re.match(path[1:].replace("(?<", "(?P<"), request.path)
        if path[0] == "~"
        else request.path.startswith(path)
        for path in tree["paths"]
    )


def _kong_priority(tree: Form) -> int:
    return route_number({"regex_priority": 0, **tree}, (tree.get("paths") or ("",))[0])


def as_kong(form: Form, node: NodeInfo) -> Form:
    path = kong_path(form["path"], node)
    headers = {one["name"]: one["values"] for one in form.get("headers", ())}
    number = path_order(form["path"], node, len(headers))
    order = {"regex_priority": number} if path.startswith("~") else {}
    named = {"hosts": form["hosts"], "methods": form["methods"], "headers": headers}
    return {"paths": [path], **named, **order}


def moved(
    find: Any, table: Sequence[Form], new: Form, requests: Iterable[Iterable[Any]]
) -> set[int]:
    """The indices of routes that lose some request to a new one."""
    lost = set()
    for request in itertools.starmap(Request, requests):
        before = find(table, request)
        if before is not None and find([*table, new], request) != before:
            lost.add(before)
    return lost


@given(st.lists(routes, max_size=4), routes)
@examples(300)
def test_our_data_plane(table: list[Form], new: Form) -> None:
    taken = {i for i, form in enumerate(table) if _takes(SEGMENTS, new, form)}
    assert moved(data_plane, table, new, REQUESTS) <= taken
    for index in taken:
        assert moved(data_plane, [table[index]], new, REQUESTS) == {0}


@given(st.lists(asking_routes, max_size=3), asking_routes)
@examples(150)
def test_our_data_plane_with_headers(table: list[Form], new: Form) -> None:
    taken = {i for i, form in enumerate(table) if _takes(SEGMENTS, new, form)}
    assert moved(data_plane, table, new, WITH_HEADERS) <= taken
    for index in taken:
        assert moved(data_plane, [table[index]], new, WITH_HEADERS) == {0}


@given(st.lists(parameter_routes, max_size=4), parameter_routes)
@examples(300)
def test_our_data_plane_with_parameters(table: list[Form], new: Form) -> None:
    taken = {i for i, form in enumerate(table) if _takes(SEGMENTS, new, form)}
    assert moved(data_plane, table, new, WITH_PARAMETERS) <= taken
    for index in taken:
        assert moved(data_plane, [table[index]], new, WITH_PARAMETERS) == {0}


@given(st.lists(routes, max_size=4), routes)
@examples(200)
def test_the_real_stoa_gateway(table: list[Form], new: Form) -> None:
    taken = {i for i, form in enumerate(table) if _takes(LETTERS, new, form)}
    assert moved(plain_stoa, table, new, REQUESTS) <= taken


def _takes(router: Router, new: Form, held: Form) -> bool:
    return router.takes(router.read(new), router.read(held))


ROOMY = NodeInfo((3, 9, 1), frozenset(), options=Options(paths="parameters"))
NODES = (
    NodeInfo((3, 9, 1), frozenset()),
    NodeInfo((3, 4, 2), frozenset(), options=Options(paths="prefix")),
)


@given(st.sampled_from(NODES), st.lists(routes, max_size=4), routes)
@examples(300)
def test_kong_among_our_own_routes(node: NodeInfo, table: list[Form], new: Form) -> None:
    router = router_of(node)
    entities = [as_kong(form, node) for form in table]
    taken = {i for i, form in enumerate(table) if _takes(router, new, form)}
    assert moved(kong, entities, as_kong(new, node), REQUESTS) <= taken
    for index in taken:
        assert moved(kong, [entities[index]], as_kong(new, node), REQUESTS) == {0}


@given(st.sampled_from(NODES), st.lists(asking_routes, max_size=3), asking_routes)
@examples(150)
def test_kong_among_our_own_routes_with_headers(
    node: NodeInfo, table: list[Form], new: Form
) -> None:
    router = router_of(node)
    entities = [as_kong(form, node) for form in table]
    taken = {i for i, form in enumerate(table) if _takes(router, new, form)}
    assert moved(kong, entities, as_kong(new, node), WITH_HEADERS) <= taken
    for index in taken:
        assert moved(kong, [entities[index]], as_kong(new, node), WITH_HEADERS) == {0}


@given(st.lists(parameter_routes, max_size=4), parameter_routes)
@examples(300)
def test_kong_among_our_own_routes_with_parameters(table: list[Form], new: Form) -> None:
    router = router_of(ROOMY)
    entities = [as_kong(form, ROOMY) for form in table]
    taken = {i for i, form in enumerate(table) if _takes(router, new, form)}
    assert moved(kong, entities, as_kong(new, ROOMY), WITH_PARAMETERS) <= taken
    for index in taken:
        assert moved(kong, [entities[index]], as_kong(new, ROOMY), WITH_PARAMETERS) == {0}


@given(st.lists(parameter_routes.filter(lambda form: not form["methods"]), max_size=5))
@examples(300)
def test_kong_and_our_data_plane_choose_the_same_route(table: list[Form]) -> None:
    entities = [as_kong(form, ROOMY) for form in table]
    for parts in WITH_PARAMETERS:
        request = Request(*parts)
        ours, theirs = data_plane(table, request), kong(entities, request)
        # Of two that differ in names alone either is right: no catalog has both.
        assert _place(table, ours) == _place(table, theirs)


def _place(table: Sequence[Form], index: int | None) -> str | None:
    return None if index is None else without_names(table[index]["path"])


foreign = st.fixed_dictionaries(
    {},
    optional={
        "paths": st.lists(
            st.sampled_from(
                ("/", "/a", "/a/", "/a/b", "/ab", "~/a", "~/a$", "~/(a|b)", "~/a/?b", "~/[ab]/b",
                 "~/ab?", r"~/a\.b|/b", "~/a/b/c",
                 "~/a(?:/|$)", "~/a/b(?:/|$)", "~/b(/x|/y)?$", "~/(a|b)(c|d)", r"~/a\|b",
                 "~/(?P<x>[^/]+)(?:/|$)", "~/a/(?<x>[^/]+)/c(?:/|$)", "~/a/[^/]+$")
            ),
            min_size=1, max_size=1,
        ),
        "hosts": st.sampled_from((["h.test"], ["*.test"], ["h.*"], ["H.test"], ["h.*", "y.test"])),
        "methods": st.sampled_from((["GET"], ["POST"])),
        "regex_priority": st.sampled_from((0, -5, 3)),
    },
)  # fmt: skip


@given(st.sampled_from(NODES), st.lists(foreign, max_size=4), routes)
@example(NODES[0], [{"paths": ["/a/b/c"]}], {"path": "/a", "hosts": [], "methods": []})
@examples(300)
def test_kong_beside_routes_of_others(node: NodeInfo, table: list[Form], new: Form) -> None:
    router = router_of(node)
    low = [{**tree, "hosts": [h.lower() for h in tree.get("hosts", ())]} for tree in table]
    pattern = router.read(new)
    taken = {
        index
        for index, tree in enumerate(table)
        if any(router.takes(pattern, its) for its in foreign_patterns(dict(tree), node))
    }
    assert moved(kong, low, as_kong(new, node), REQUESTS) <= taken


@given(st.lists(foreign, max_size=4), parameter_routes)
@examples(200)
def test_kong_with_parameters_beside_routes_of_others(table: list[Form], new: Form) -> None:
    pattern = router_of(ROOMY).read(new)
    low = [{**tree, "hosts": [h.lower() for h in tree.get("hosts", ())]} for tree in table]
    taken = {
        index
        for index, tree in enumerate(table)
        if any(router_of(ROOMY).takes(pattern, its) for its in foreign_patterns(dict(tree), ROOMY))
    }
    assert moved(kong, low, as_kong(new, ROOMY), WITH_PARAMETERS) <= taken


@pytest.mark.parametrize(
    ("tree", "is_taken"),
    [
        ({"expression": 'http.path ^= "/a/b"'}, True),
        ({"expression": 'http.path ^= "/b"'}, False),
        ({"expression": 'http.host == "x.test" && http.path ^= "/b"'}, False),
        ({"expression": 'http.path ^= "/b" || http.method == "GET"'}, True),
        ({"expression": '!(http.path ^= "/b")'}, True),
        ({"expression": r'http.path ~ r#"^/b"#'}, True),
        ({"protocols": ["tcp"], "destinations": [{"port": 5}]}, False),
        ({"protocols": ["http"], "headers": {"x-a": ["1"]}}, True),
        ({"hosts": ["h.test"]}, False),
    ],
)
def test_what_cannot_be_told_of_a_foreign_route_is_refused(
    tree: dict[str, Any], *, is_taken: bool
) -> None:
    new = router_of(NODES[0]).read({"path": "/a", "hosts": [], "methods": []})
    patterns = list(foreign_patterns(tree, NODES[0]))
    assert any(router_of(NODES[0]).takes(new, one) for one in patterns) is is_taken


def test_another_flavour_of_kongs_router_is_not_trusted_to_be_like_ours() -> None:
    new = router_of(NODES[0]).read({"path": "/a", "hosts": [], "methods": []})
    tree = {"paths": ["/a/b"], "hosts": ["h.test"]}

    def takes(flavor: str) -> bool:
        node = NodeInfo((3, 9, 1), frozenset(), router_flavor=flavor)
        return any(router_of(node).takes(new, one) for one in foreign_patterns(tree, node))

    assert not takes("traditional_compatible")
    assert takes("traditional")
    assert takes("expressions")


@given(
    st.lists(st.sampled_from(("h.test", "*.test", "*.h.test", "h.*", "y.*")), max_size=3),
    st.lists(st.sampled_from(("h.test", "*.test", "*.h.test", "h.*", "y.*")), max_size=3),
)
@examples(200)
def test_lists_of_hosts_meet_where_some_host_is_in_both(one: list[str], two: list[str]) -> None:
    everything = Router(lambda _: RoutePattern("/"), lambda *_: True)
    meets = everything.takes(RoutePattern("/", tuple(one)), RoutePattern("/", tuple(two)))

    def has(names: list[str], host: str) -> bool:
        forms = [re.escape(name).replace(r"\*", ".+") for name in names]
        return not names or any(re.fullmatch(form, host) for form in forms)

    hosts = (
        "h.test",
        "x.test",
        "x.h.test",
        "h.x",
        "y.test",
        "y.h.test",
        "y.x",
        "other",
        "h.h.test",
    )
    assert meets is any(has(one, host) and has(two, host) for host in hosts)

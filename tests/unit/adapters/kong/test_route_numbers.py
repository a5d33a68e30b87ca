"""The numbers by which Kong orders routes: as a running one does, and with room for ours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from stoa_gitops.adapters.kong.entities.entity import NodeInfo, Options
from stoa_gitops.adapters.kong.mapping.route_numbers import order_problem, path_order
from stoa_gitops.adapters.kong.mapping.route_order import foreign_patterns
from stoa_gitops.adapters.kong.mapping.rules import losses
from stoa_gitops.model.keys import API
from stoa_gitops.model.path_parameters import MOST_PARAMETERS
from stoa_gitops.model.routing import RoutePattern, paths_meet
from tests.adapters.kong.double.proxy import route_number
from tests.unit.adapters.kong.specs import NEW, PLUGINS
from tests.unit.adapters.kong.test_apis import ROUTE, api_of

ROOMY = NodeInfo((3, 9, 1), PLUGINS, options=Options(paths="parameters"))
TOP = 1023


def expression(order: int, *headers: str, **more: Any) -> dict[str, Any]:
    asked = {"headers": {name: ["1"] for name in headers}} if headers else {}
    return {"paths": ["~/a(?:/|$)"], "regex_priority": order, **asked, **more}


def prefix(*headers: str, **more: Any) -> dict[str, Any]:
    asked = {"headers": {name: ["1"] for name in headers}} if headers else {}
    return {"paths": ["/a/b"], **asked, **more}


GET = {"methods": ["GET"]}
PLAIN, WILD = {"hosts": ["h.test"]}, {"hosts": ["*.test"]}
# Of two routes that fit a request, the one that a running 3.9.1 took comes first.
SEEN = [
    (expression(1), prefix("x-a", **GET)),
    (expression(1), prefix(**GET, **WILD)),
    (expression(1), {"headers": {"x-a": ["1"]}}),
    (expression(1), {"headers": {"x-a": ["1"]}, **GET}),
    (prefix("x-a", **GET, **PLAIN), expression(1)),
    (prefix("x-a", **GET, **WILD), expression(1023)),
    (prefix(**PLAIN), expression(1, "x-a", **GET)),
    (PLAIN, expression(1)),
    (expression(1, "x-a", **GET, **WILD), expression(1023, **PLAIN)),
    (expression(1, "x-a"), expression(2, "x-a")),
    (expression(64, "x-a"), expression(32, "x-a", "x-b")),
    (expression(64, "x-a", "x-b"), expression(64, "x-a")),
    (expression(1023), expression(1)),
    (expression(1023), expression(1024)),
    (expression(2048), expression(1)),
    (expression(2048), expression(1, **GET)),
    (expression(4096), expression(1023)),
    (expression(1), expression(8192)),
    (expression(-1), expression(5)),
]


@pytest.mark.parametrize(("first", "second"), SEEN)
def test_routes_are_ordered_as_a_running_kong_orders_them(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    (mine,) = foreign_patterns(first, NEW)
    (other,) = foreign_patterns(second, NEW)
    assert mine.low > other.low
    numbers = [
        route_number({"regex_priority": 0, **tree}, (tree.get("paths") or ("",))[0])
        for tree in (first, second)
    ]
    assert (mine.low, other.low) == tuple((number,) for number in numbers)


def places(deepest: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Each place with what it is to be ordered by."""
    for depth in range(1, deepest + 1):
        for literals in itertools.product((0, 1), repeat=depth):
            if literals.count(0) <= MOST_PARAMETERS:
                path = "".join(f"/{'a' if one else f'{{p{n}}}'}" for n, one in enumerate(literals))
                yield path, (depth, *literals)


def test_all_places_of_ten_segments_have_a_number_of_their_own() -> None:
    found = [(rank, path_order(path, ROOMY)) for path, rank in places(10)]
    assert [number for _, number in sorted(found)] == list(range(1, TOP))


def test_the_longer_path_comes_first_and_then_the_route_with_more_headers() -> None:
    for node, deepest, most in ((ROOMY, 6, 3), (NEW, 31, 15)):
        ranks = places(deepest) if node is ROOMY else (("/a" * n, (n,)) for n in range(1, 32))
        found = []
        for path, rank in ranks:
            for asked in range(1, most + 1):
                assert order_problem(path, node, asked) is None
                names = [f"x-{n}" for n in range(asked)]
                tree = expression(path_order(path, node, asked), *names)
                found.append(((*rank, *[2] * (deepest - len(rank)), asked), tree))
        numbers = [
            route_number(tree, "~")
            for (depth, *rest), tree in sorted(found, key=lambda one: one[0])
        ]
        assert numbers == sorted(set(numbers))
        assert all(tree["regex_priority"] <= TOP for _, tree in found)


DEEP = "/a" * 10


@pytest.mark.parametrize(
    ("node", "path", "headers", "said"),
    [
        (ROOMY, DEEP, 0, None),
        (ROOMY, f"{DEEP}/a", 0, "room for 10 segments with options.paths: parameters"),
        (ROOMY, "/a" * 7, 1, "room for 6 segments and 3 headers"),
        (ROOMY, "/a", 4, "room for 6 segments and 3 headers"),
        (ROOMY, "/", 4, None),
        (NEW, "/a" * 40, 0, None),
        (NEW, "/a" * 31, 15, None),
        (NEW, "/a" * 32, 1, "room for 31 segments and 15 headers with options.paths: segments"),
        (NEW, "/a", 16, "room for 31 segments and 15 headers"),
        (NodeInfo((3, 9, 1), PLUGINS, options=Options(paths="prefix")), "/a" * 40, 20, None),
    ],
)
def test_what_kongs_numbers_have_no_room_for_is_a_loss(
    node: NodeInfo, path: str, headers: int, said: str | None
) -> None:
    asked = [{"name": f"x-{n}", "values": ["1"]} for n in range(headers)]
    route = {**ROUTE, "path": path, **({"headers": asked} if asked else {})}
    found = [loss.message for loss in losses(API, api_of(routes=[route]), node)]
    assert (said is None and not found) or (len(found) == 1 and str(said) in found[0])
    assert path_order(path, node, headers) <= TOP


@pytest.mark.parametrize(
    ("path", "letters", "meets"),
    [
        ("/{}/b/c", "/legacy/long", False),
        ("/{}/b/c", "/legacy/b", True),
        ("/{}/b/c", "/legacy/bc", False),
        ("/{}/b", "/legacy/b/deeper", True),
        ("/orders/{}/items", "/orders/5/notes", False),
        ("/orders/{}/items", "/orders/5/it", True),
        ("/orders/{}", "/orders-old", False),
        ("/orders/{}", "/ord", True),
        ("/orders/{}", "/orders/", True),
        ("/orders/{}", "/other/", False),
        ("/{}", "/", True),
        ("/a/{}", "/a/{x}", True),
    ],
)
def test_letters_meet_a_path_with_parameters_where_some_request_has_both(
    path: str, letters: str, *, meets: bool
) -> None:
    one, other = RoutePattern(path), RoutePattern(letters, by_letters=True)
    assert paths_meet(one, other) is meets
    assert paths_meet(other, one) is meets

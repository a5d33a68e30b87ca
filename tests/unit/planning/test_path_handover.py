"""Paths that move between APIs of a gateway that has one API at a path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import Key
from stoa_gitops.model.routing import UNNESTED
from tests.unit.planning.world import TARGET, observed, plan, record, resource

UNIQUE = replace(TARGET, router=UNNESTED)
ONE, TWO, THREE = (Key("api", "acme", name) for name in ("one", "two", "three"))


def routed(*paths: str, host: str = "") -> Any:
    hosts = [host] if host else []
    return {"routes": [{"path": path, "methods": [], "hosts": hosts} for path in paths]}


def waits(
    wanted: dict[Key, Any], there: dict[Key, Any], gateway: Any = UNIQUE
) -> dict[Key, tuple[Key, ...]]:
    made = plan(
        [resource(key, value) for key, value in wanted.items()],
        [observed(key, value) for key, value in there.items()],
        [record(key, value) for key, value in there.items()],
        gateway=gateway,
    )
    return {change.key: change.depends_on for change in made.changes}


@pytest.mark.parametrize("path", ["/a", "/a/below", "/"])
def test_who_takes_a_path_waits_for_who_gives_it_up(path: str) -> None:
    found = waits({ONE: routed(path), TWO: routed("/c")}, {ONE: routed("/b"), TWO: routed("/a")})
    assert found == {ONE: (TWO,), TWO: ()}


@pytest.mark.parametrize(
    ("wanted", "held"),
    [
        (routed("/ab"), routed("/a")),
        (routed("/a", host="x.example"), routed("/a", host="y.example")),
    ],
)
def test_who_takes_another_path_waits_for_nobody(wanted: Any, held: Any) -> None:
    found = waits({ONE: wanted, TWO: routed("/c")}, {ONE: routed("/b"), TWO: held})
    assert found == {ONE: (), TWO: ()}


def test_who_keeps_a_path_is_waited_for_by_nobody() -> None:
    there = {ONE: routed("/b"), TWO: routed("/a", "/old")}
    assert waits({ONE: routed("/a/x"), TWO: routed("/a")}, there) == {ONE: (), TWO: ()}


def test_two_that_exchange_their_paths_wait_for_each_other() -> None:
    there = {ONE: routed("/a"), TWO: routed("/b")}
    assert waits({ONE: routed("/b"), TWO: routed("/a")}, there) == {ONE: (TWO,), TWO: (ONE,)}


def test_a_deletion_that_frees_a_path_comes_before_what_takes_it() -> None:
    limit = TWO.policy("rate_limit")
    made = plan(
        [resource(ONE, routed("/a")), resource(THREE, routed("/c"))],
        [observed(TWO, routed("/a")), observed(limit, {"api": "two", "type": "rate_limit"})],
        [record(TWO, routed("/a"))],
        gateway=UNIQUE,
    )
    assert [(change.action, change.key) for change in made.changes] == [
        (Action.DELETE, TWO), (Action.DELETE, limit), (Action.CREATE, ONE), (Action.CREATE, THREE),
    ]  # fmt: skip
    assert made.changes[2].depends_on == (TWO,)


def test_a_renamed_api_serves_until_the_new_one_does() -> None:
    made = plan(
        [resource(ONE, routed("/a"), moved_from=TWO)],
        [observed(TWO, routed("/a"))],
        [record(TWO, routed("/a"))],
        gateway=UNIQUE,
    )
    assert [(change.action, change.key) for change in made.changes] == [
        (Action.CREATE, ONE), (Action.DELETE, TWO),
    ]  # fmt: skip
    assert [change.depends_on for change in made.changes] == [(TWO,), (ONE,)]


def test_gateways_that_share_paths_have_no_such_order() -> None:
    there = {ONE: routed("/a"), TWO: routed("/b")}
    found = waits({ONE: routed("/b"), TWO: routed("/a")}, there, TARGET)
    assert found == {ONE: (), TWO: ()}


def test_a_thousand_apis_that_move_one_on_are_ordered() -> None:
    keys = [Key("api", "acme", f"api-{number:04}") for number in range(1_000)]
    there = {key: routed(f"/x/{number}") for number, key in enumerate(keys)}
    wanted = {key: routed(f"/x/{number + 1}") for number, key in enumerate(keys)}
    found = waits(wanted, there)
    assert list(found) == list(reversed(keys))

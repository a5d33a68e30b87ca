"""Long work lets others run, and so does freeing what it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from stoa_proxy.core.model import Route
from stoa_proxy.core.persistent_map import PersistentMap
from stoa_proxy.core.table import Node, RoutingTable
from stoa_proxy.foundation import breather

from tests.proxy.core.test_match import route


class Link:
    """An object that holds another, and says when it goes."""

    def __init__(self, name: int, below: Link | None, freed: list[int]) -> None:
        self.name, self.below, self._freed = name, below, freed

    def __del__(self) -> None:
        self._freed.append(self.name)


async def test_objects_that_hold_each_other_are_freed_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breather, "_SLICE_SECONDS", 0.0)  # each object is a turn of the loop
    freed: list[int] = []
    seen: list[int] = []

    def chain() -> Iterator[Link]:
        link: Link | None = None
        for name in reversed(range(50)):
            link = Link(name, link, freed)
        while link is not None:
            yield link
            link = link.below

    async def watch() -> None:
        while len(freed) < 50:
            seen.append(len(freed))
            await asyncio.sleep(0)

    await asyncio.gather(breather.let_go(chain()), watch())
    assert freed == list(range(50))
    assert set(seen) == set(range(50)), "another had its turn behind each"


def test_the_parts_of_a_table_are_all_that_it_holds_each_before_what_is_below_it() -> None:
    routes = [route(f"/a/b{number % 7}/c{number}", f"r{number}") for number in range(40)]
    routes.append(replace(route("/", "parameter"), prefix=("a", None, "c")))
    table = RoutingTable.from_routes(routes)
    parts = list(table.parts())
    nodes = [part for part in parts if isinstance(part, Node)]
    assert len(nodes) == 1 + 1 + 7 + 40 + 2
    places = {id(node): place for place, node in enumerate(nodes)}
    for node in nodes:
        assert all(places[id(node)] < places[id(child)] for child in node.below())
    assert [part for part in parts if isinstance(part, Route)] == list(table.routes.values())


def test_nothing_of_a_large_mapping_is_freed_in_one_go_with_what_holds_it() -> None:
    items = PersistentMap.from_items({f"k{number}": number for number in range(30_000)})
    holders = list(items.holders())
    assert holders[0] is items
    assert sum(len(one) for one in holders if isinstance(one, dict)) == len(items)
    places = {id(one): place for place, one in enumerate(holders)}
    for one in holders:
        if isinstance(one, PersistentMap):
            assert all(places[id(one)] < places[id(part)] for part in one.parts)
    assert max(len(one) for one in holders if isinstance(one, dict)) <= 256

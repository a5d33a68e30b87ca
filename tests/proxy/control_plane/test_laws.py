"""Whatever is published: the table is then what the document says, or what it was before."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.admin.api import AdminApi
from stoa_proxy.admin.store import Store
from stoa_proxy.config import ProxyConfig
from stoa_proxy.control_plane.table_builder import TableBuilder
from stoa_proxy.control_plane.table_document import DocumentReader
from stoa_proxy.core.withheld import WITHHELD
from stoa_proxy.errors import ControlPlaneFailed

from tests.proxy.conftest import FakeClock, policy_body, route_body
from tests.proxy.control_plane.double import document

Objects = list[tuple[str, dict[str, Any]]]

IDS = st.sampled_from(["a", "b", "c", "d"])
TENANTS = st.sampled_from(["acme", "rival"])
KEYS = st.sampled_from(["aa", "bb", "cc", "nonsense"])


@st.composite
def routes(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    backend = draw(
        st.sampled_from(["builtin:echo", "https://b.test", "http://10.0.0.1", "ftp://x"])
    )
    tenant = draw(TENANTS)
    body = route_body(
        backend, draw(st.sampled_from(["/a", "/b", "/b/c", "no-slash"])), id=draw(IDS),
        tenant_id=tenant, plans=draw(st.sampled_from([[], [{"name": "gold", "per_day": 1}]])),
        hosts=draw(st.sampled_from([[], ["h.test"]])),
    )  # fmt: skip
    return "apis", body


@st.composite
def policies(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    kind, config = draw(
        st.sampled_from(
            [("mock", {"status": 299}), ("api_key", {}), ("api_key", {"in": "moon"}), ("nope", {})]
        )
    )
    return "policies", policy_body(draw(IDS), draw(IDS), kind, config, draw(st.integers(0, 2)))


@st.composite
def consumers(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    keys = [{"type": "api_key", "key_sha256": draw(KEYS) * 32}]
    body = {"id": draw(IDS), "name": "n", "tenant_id": draw(TENANTS), "credentials": keys}
    return "consumers", body


@st.composite
def odd(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    kind = draw(st.sampled_from(["apis", "policies", "consumers", "tools"]))
    body = draw(
        st.one_of(
            st.fixed_dictionaries({"id": IDS, "keep": st.just(True)}, optional={"api_id": IDS}),
            st.dictionaries(st.sampled_from(["id", "name", "x"]), st.one_of(st.none(), IDS)),
        )
    )
    return kind, body


OBJECTS = st.lists(st.one_of(routes(), policies(), consumers(), odd()), max_size=12)


class Taker:
    """A store, and documents that it is given one after the other."""

    def __init__(self, tenant: str | None = None) -> None:
        self.store = Store()
        config = ProxyConfig(tenant_id=tenant)
        self.parsers = AdminApi(config, self.store, FakeClock()).parsers
        self.known: Any = {}

    def take(self, content: bytes, parts: int = 7) -> TableBuilder:
        async def run() -> TableBuilder:
            builder, reader = TableBuilder(self.store, self.parsers, self.known), DocumentReader()
            for start in range(0, len(content), max(1, len(content) // parts)):
                for line in reader.feed(content[start : start + max(1, len(content) // parts)]):
                    builder.add_line(line)
            reader.finish()
            await builder.build('"1"', 1)
            return builder

        builder = asyncio.run(run())
        self.known = builder.taken
        return builder

    def views(self) -> dict[tuple[str, str], Any]:
        lists = {
            "apis": self.store.routes, "policies": self.store.policies,
            "consumers": self.store.consumers,
        }  # fmt: skip
        return {
            (kind, view["id"]): view
            for kind, items in lists.items()
            for view in map(json.loads, items.snapshot())
        }


def compiled(store: Store) -> Any:
    """A table as requests meet it, without the order in which it came about."""
    table = store.table
    return dict(table.routes), dict(table.consumers), dict(table.keys), dict(table.apis), table.root


@given(OBJECTS, OBJECTS, st.sampled_from([None, "acme"]))
def test_a_table_is_what_the_document_says_but_for_what_is_refused(
    first: Objects, second: Objects, tenant: str | None
) -> None:
    taker = Taker(tenant)
    for generation, objects in enumerate((first, second)):
        before, table = taker.views(), taker.store.table
        try:
            builder = taker.take(document(objects, generation))
        except ControlPlaneFailed:
            assert taker.views() == before
            assert taker.store.table is table
            continue
        after = taker.views()
        refused = {(one.kind, one.id) for one in builder.refusals}
        named = {(kind, body.get("id") or "") for kind, body in objects}
        # Nothing is there that the document does not name, and nothing that it names is missing.
        assert set(after) <= named
        assert named - refused <= set(after)
        for (kind, item_id), view in after.items():
            is_as_before = before.get((kind, item_id)) == view
            if (kind, item_id) in refused:
                twice = [b for k, b in objects if (k, b.get("id")) == (kind, item_id)]
                is_one = any(_says(body, view) for body in twice)
                assert is_as_before or view.get("config") == WITHHELD or is_one
            else:
                (body,) = [b for k, b in objects if (k, b.get("id")) == (kind, item_id)]
                assert is_as_before if body.get("keep") else _says(body, view)
        if tenant is not None:
            assert {view.get("tenant_id", tenant) for view in after.values()} == {
                tenant
            } or not after


def _says(body: dict[str, Any], view: dict[str, Any]) -> bool:
    """Whether a view has what a body asks for; credentials do not show in a view."""
    return all(view.get(name) == value for name, value in body.items() if name != "credentials")


@given(OBJECTS, OBJECTS)
def test_how_a_table_came_about_makes_no_difference(first: Objects, second: Objects) -> None:
    """A change of a table is the same as a fresh start with the document, refusals apart."""
    stepwise, fresh = Taker(), Taker()
    try:
        stepwise.take(document(first))
    except ControlPlaneFailed:
        return
    try:
        one, other = stepwise.take(document(second)), fresh.take(document(second))
    except ControlPlaneFailed:
        return
    if one.refusals or other.refusals:
        return
    assert compiled(stepwise.store) == compiled(fresh.store)
    assert stepwise.views() == fresh.views()


@given(OBJECTS, st.integers(0, 10_000), st.integers(1, 255))
def test_a_document_that_is_not_whole_changes_nothing(
    objects: Objects, position: int, bits: int
) -> None:
    taker = Taker()
    content = document(objects)
    position %= len(content)
    for broken in (
        content[:position],
        content[:position] + bytes([content[position] ^ bits]) + content[position + 1 :],
    ):
        with pytest.raises(ControlPlaneFailed):
            taker.take(broken)
        assert taker.views() == {}


@given(OBJECTS, st.integers(1, 500))
def test_it_makes_no_difference_in_which_parts_a_document_comes(
    objects: Objects, parts: int
) -> None:
    one, other = Taker(), Taker()
    try:
        one.take(document(objects), parts=1)
    except ControlPlaneFailed:
        with pytest.raises(ControlPlaneFailed):
            other.take(document(objects), parts=parts)
        return
    other.take(document(objects), parts=parts)
    assert compiled(one.store) == compiled(other.store)


def test_a_bug_in_one_object_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    taker = Taker()
    parse = taker.parsers["apis"]

    def stumble(body: Any) -> Any:
        if body.values["id"] == "bad":
            raise TypeError("a bug")
        return parse(body)

    taker.parsers = {**taker.parsers, "apis": stumble}
    builder = taker.take(
        document([("apis", route_body("builtin:echo", f"/{n}", id=n)) for n in ("bad", "good")])
    )
    assert [(one.id, one.reason) for one in builder.refusals] == [("bad", "unexpected error")]
    assert list(taker.store.table.routes) == ["good"]
    assert "unexpected error in an object" in caplog.text


async def test_a_change_beside_a_build_is_not_lost() -> None:
    taker = Taker()
    taker.store.put_route(*taker.parsers["apis"](_body(route_body("builtin:echo", id="r1"))))
    builder = TableBuilder(taker.store, taker.parsers, {})
    for number in range(200):
        body = route_body("builtin:echo", f"/{number}", id=f"r{number}")
        builder.add_line(json.dumps({"apis": body}).encode())
    copy, copies = taker.store.copy, 0

    def copy_and_change() -> Store:
        nonlocal copies
        draft, copies = copy(), copies + 1
        if copies == 1:
            # Written after the copy was made: what was built from it must not be taken.
            taker.store.delete_route("r1")
        return draft

    taker.store.copy = copy_and_change  # type: ignore[method-assign]
    await builder.build('"1"', 1)
    assert copies == 2
    # What was written beside it came before: the document has the last word.
    assert sorted(taker.store.table.routes) == sorted(f"r{number}" for number in range(200))


def test_what_changes_and_keeps_its_place_is_replaced_and_not_removed() -> None:
    taker = Taker()
    key = {"type": "api_key", "key_sha256": "aa" * 32}
    consumer = {"id": "c", "name": "n", "tenant_id": "acme", "credentials": [key]}

    def publish(name: str, path: str) -> None:
        routes = [("stays", "/stays"), ("moves", path)]
        bodies = [route_body("builtin:echo", at, id=one, name=name) for one, at in routes]
        consumers = [("consumers", {**consumer, "name": name})]
        taker.take(document([*(("apis", body) for body in bodies), *consumers]))

    publish("old", "/from")
    taker.store.changes = []
    publish("new", "/to")
    changes = taker.store.changes
    assert [one for change in changes for one in change.without_routes] == ["moves"]
    assert [one for change in changes for one in change.without_consumers] == []
    assert {route.name for route in taker.store.table.routes.values()} == {"new"}
    assert taker.store.table.consumers["c"].name == "new"


def test_of_objects_that_contradict_each_other_the_first_counts_whatever_was_there() -> None:
    first = ("apis", route_body("builtin:echo", "/a", id="first", tenant_id="rival"))
    other = ("apis", route_body("builtin:echo", "/a", id="there", tenant_id="acme", name="new"))
    fresh, taker = Taker(), Taker()
    taker.take(document([("apis", {**other[1], "name": "old"})]))
    builders = [one.take(document([first, other])) for one in (fresh, taker)]
    assert [[one.id for one in builder.refusals] for builder in builders] == [["there"], ["there"]]
    assert compiled(taker.store) == compiled(fresh.store)
    assert list(taker.store.table.routes) == ["first"]


async def test_what_is_written_right_after_a_build_does_not_count_as_known() -> None:
    taker = Taker()
    builder = TableBuilder(taker.store, taker.parsers, {})
    for number in range(200):
        body = route_body("builtin:echo", f"/{number}", id=f"r{number}")
        builder.add_line(json.dumps({"apis": body}).encode())
    adopt = taker.store.adopt

    def adopt_and_change(draft: Store, source: Any) -> None:
        adopt(draft, source)
        asyncio.get_running_loop().call_soon(taker.store.delete_route, "r7")

    taker.store.adopt = adopt_and_change  # type: ignore[method-assign]
    await builder.build('"1"', 1)
    await asyncio.sleep(0)
    assert builder.version != taker.store.version
    assert taker.store.source is None


async def test_a_table_that_others_keep_changing_is_left_for_the_next_time() -> None:
    taker = Taker()
    builder = TableBuilder(taker.store, taker.parsers, {})
    builder.add_line(json.dumps({"apis": route_body("builtin:echo", "/new", id="new")}).encode())
    copy = taker.store.copy

    def copy_and_change() -> Store:
        draft = copy()
        route, view = taker.parsers["apis"](_body(route_body("builtin:echo")))
        taker.store.put_route(route, view)
        return draft

    taker.store.copy = copy_and_change  # type: ignore[method-assign]
    with pytest.raises(ControlPlaneFailed, match="at the same time"):
        await builder.build(None, 1)
    assert list(taker.store.table.routes) == ["r1"]


def _body(values: dict[str, Any]) -> Any:
    from stoa_proxy.admin.json_body import Body

    return Body(values)

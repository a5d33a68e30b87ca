"""What somebody renames or moves on a node is still ours: shown as drift, and taken back."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.kong.test_adopt import MODES, Database
from tests.adapters.kong.testbed import MARK, Specs, Testbed, apis, kong, policy, statuses
from tests.contract.rig import api

MOBILE = Key("application", "acme", "mobile")
BREAKER = policy("billing", "circuit_breaker", {"failures": 3, "window": "1m", "reset": "2s"})
FILTER = policy("billing", "ip_filter", {"allow": [], "deny": ["10.9.0.0/16"]})
SPEC = {
    "displayName": "Mobile", "identifiers": {},
    "credentials": [{"type": "api_key", "key": {"$secret": "env:MOBILE_KEY"}}],
    "subscriptions": [{"api": "billing", "plan": "gold"}],
}  # fmt: skip


def _specs() -> Specs:
    billing = apis("billing", plans=[{"name": "gold", "perMinute": 60}])
    return {**billing, **apis("crm"), **dict([BREAKER, FILTER]), MOBILE: SPEC}


async def _change(
    testbed: Testbed, entity_type: str, ident: str, path: str = "", **fields: Any
) -> None:
    """Change an entity as a person does, by its id."""
    tree = {**testbed.double.entities[entity_type][ident], **fields}
    tree = {name: item for name, item in tree.items() if name != "updated_at"}
    async with aiohttp.ClientSession(testbed.base_url) as session:
        answer = await session.put(f"/{path or entity_type}/{ident}", json=tree)
        assert answer.status == 200, await answer.text()


async def _add_foreign(testbed: Testbed, entity_type: str, **fields: Any) -> str:
    async with aiohttp.ClientSession(testbed.base_url) as session:
        answer = await session.post(f"/{entity_type}", json=fields)
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["id"])


def _content(testbed: Testbed) -> dict[str, Any]:
    return {
        name: {
            ident: {n: v for n, v in tree.items() if n not in ("updated_at", "created_at")}
            for ident, tree in held.items()
        }
        for name, held in testbed.double.entities.items()
        if held
    }


@pytest.mark.parametrize("fresh", [False, True], ids=["running", "started-anew"])
@pytest.mark.parametrize(
    ("field", "changed"),
    [("name", "acme.renamed"), ("name", "Billing_New"), ("host", "elsewhere.example")],
)
async def test_a_service_that_was_renamed_or_led_elsewhere_is_put_right(
    field: str, changed: str, fresh: bool
) -> None:
    """Its upstream stays ours, and no call of the repair deletes anything of the API."""
    async with kong(database="postgres") as testbed:
        await testbed.converge(_specs())
        before = _content(testbed)
        service = testbed.ours()["acme.billing"]["id"]
        await _change(testbed, "services", service, **{field: changed})
        if fresh:
            await testbed.start_anew()
        plan = await testbed.plan(_specs())
        assert [c.key for c in plan.changes if c.action is Action.DELETE] == []
        assert any(c.key == Key("api", "acme", "billing") for c in plan.changes)
        start = len(testbed.double.requests)
        outcomes = await testbed.execute(plan)
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert [r for r in testbed.requests_since(start) if r.startswith("DELETE")] == []
        assert _content(testbed) == before
        assert (await testbed.plan(_specs())).is_empty


@pytest.mark.parametrize("fresh", [False, True], ids=["running", "started-anew"])
async def test_a_consumer_that_was_renamed_has_its_name_and_all_below_it_again(fresh: bool) -> None:
    async with kong(database="postgres") as testbed:
        await testbed.converge(_specs())
        before = _content(testbed)
        consumer = testbed.ours("consumers")["acme.mobile"]["id"]
        await _change(testbed, "consumers", consumer, username="acme.renamed")
        if fresh:
            await testbed.start_anew()
        outcomes = await testbed.converge(_specs())
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert _content(testbed) == before
        assert (await testbed.plan(_specs())).is_empty


@pytest.mark.parametrize("is_in_store", [True, False], ids=["stored", "store-lost"])
@pytest.mark.parametrize("database", MODES)
async def test_a_consumer_whose_new_name_has_no_tenant_is_known_by_its_id(
    database: Database, is_in_store: bool
) -> None:
    """Taken for another one, it was written a second time, and its deletion blew the fuse."""
    async with kong("3.9.1", database) as testbed:
        await testbed.converge(_specs())
        before = _content(testbed)
        testbed.ours("consumers")["acme.mobile"]["username"] = "renamed"
        if database == "off":
            document = {k: list(trees.values()) for k, trees in testbed.double.entities.items()}
            testbed.double.load({"_format_version": "3.0", "_transform": False, **document})
        await testbed.start_anew()
        if not is_in_store:
            testbed.records.clear()
        plan = await testbed.plan(_specs())
        assert [c.key for c in plan.changes if c.action is Action.DELETE] == []
        assert MOBILE in {c.key for c in plan.changes}
        assert {c.key.tenant for c in plan.changes} == {"acme"}
        outcomes = await testbed.execute(plan)
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert _content(testbed) == before
        assert (await testbed.plan(_specs())).is_empty


@pytest.mark.parametrize("database", MODES)
async def test_a_target_that_was_switched_off_by_hand_is_switched_on(database: Database) -> None:
    """With a database PUT of a target keeps what its body leaves out (3.9.1)."""
    async with kong("3.9.1", database) as testbed:
        await testbed.converge(_specs())
        before = _content(testbed)
        (target,) = testbed.ours("targets").values()
        target["weight"] = 0
        if database == "off":
            document = {k: list(trees.values()) for k, trees in testbed.double.entities.items()}
            testbed.double.load({"_format_version": "3.0", "_transform": False, **document})
        outcomes = await testbed.converge(_specs())
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert outcomes
        assert _content(testbed) == before
        assert (await testbed.plan(_specs())).is_empty


@pytest.mark.parametrize("where", ["foreign", "ours", "nowhere"])
@pytest.mark.parametrize("entity_type", ["routes", "plugins"])
async def test_what_was_moved_to_another_service_comes_back(entity_type: str, where: str) -> None:
    """A route with our id on a service of others is no foreign entity that keeps ours away."""
    async with kong(database="postgres") as testbed:
        await testbed.converge(_specs())
        theirs = await _add_foreign(testbed, "services", name="theirs", host="theirs.example")
        before = _content(testbed)
        billing, crm = (testbed.ours()[f"acme.{name}"]["id"] for name in ("billing", "crm"))
        moved = next(
            ident
            for ident, tree in testbed.double.entities[entity_type].items()
            if (tree.get("service") or {}).get("id") == billing
            and (entity_type == "routes" or tree["name"] == "ip-restriction")
        )
        place = {"foreign": {"id": theirs}, "ours": {"id": crm}, "nowhere": None}[where]
        await _change(testbed, entity_type, moved, service=place)
        outcomes = await testbed.converge(_specs())
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert _content(testbed) == before
        assert (await testbed.plan(_specs())).is_empty


@pytest.mark.parametrize("database", MODES)
async def test_a_route_that_was_renamed_keeps_no_other_api_from_its_name(
    database: Database,
) -> None:
    async with kong("3.9.1", database) as testbed:
        await testbed.converge(_specs())
        held = testbed.double.entities
        (route,) = (one for one in held["routes"].values() if one["name"] == "acme.crm.0")
        route["name"] = "acme.orders.0"
        if database == "off":
            document = {kind: list(trees.values()) for kind, trees in held.items()}
            testbed.double.load({"_format_version": "3.0", "_transform": False, **document})
        await testbed.start_anew()
        specs = {**_specs(), **apis("orders")}
        plan = await testbed.plan(specs)
        assert {c.key.name for c in plan.changes} == {"crm", "orders"}
        for _ in range(2):  # with a database the new one may come before the name is given up
            await testbed.converge(specs)
        assert (await testbed.plan(specs)).is_empty
        assert {"acme.crm.0", "acme.orders.0"} <= testbed.ours("routes").keys()


@pytest.mark.parametrize("names", [("acme.crm.2", "acme.crm.1"), ("acme.crm.1", "acme.crm.0")])
async def test_an_api_grows_where_its_routes_have_names_of_one_another(
    names: tuple[str, str],
) -> None:
    """A 409 for the name of a route to come kept the API from being written (3.9.1)."""

    def crm(*paths: str) -> Specs:
        rest: dict[str, Any] = {"methods": [], "hosts": [], "stripPath": True}
        return apis("crm", routes=[{"path": f"/crm/{path}", **rest} for path in paths])

    async with kong("3.9.1", "postgres") as testbed:
        await testbed.converge(crm("a", "b"))
        routes = testbed.ours("routes")
        for old, new in zip(("acme.crm.0", "acme.crm.1"), names, strict=True):
            routes[old]["name"] = new
        await testbed.start_anew()
        outcomes = await testbed.converge(crm("a", "b", "c"))
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        after = testbed.ours("routes")
        assert {name: one["paths"] for name, one in after.items()} == {
            f"acme.crm.{index}": [f"~/crm/{path}(?:/|$)"] for index, path in enumerate("abc")
        }
        assert (await testbed.plan(crm("a", "b", "c"))).is_empty


async def test_an_upstream_that_was_renamed_is_the_backend_again() -> None:
    async with kong(database="postgres") as testbed:
        await testbed.converge(_specs())
        before = _content(testbed)
        upstream = testbed.ours("upstreams")["acme.billing.upstream"]["id"]
        await _change(testbed, "upstreams", upstream, name="other.upstream")
        outcomes = await testbed.converge(_specs())
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert _content(testbed) == before
        assert (await testbed.plan(_specs())).is_empty


@pytest.mark.parametrize(
    ("entity_type", "name", "changed"),
    [
        ("services", "acme.billing", {"host": "elsewhere.example"}),
        ("services", "acme.billing", {"name": "Other"}),
        ("consumers", "acme.mobile", {"username": "acme.other"}),
    ],
)
async def test_what_was_renamed_or_led_elsewhere_is_repaired_in_a_document(
    entity_type: str, name: str, changed: dict[str, str]
) -> None:
    async with kong("3.9.1", "off") as testbed:
        await testbed.converge(_specs())
        before = _content(testbed)
        held = {kind: list(trees.values()) for kind, trees in testbed.double.entities.items()}
        for tree in held[entity_type]:
            if name in (tree.get("name"), tree.get("username")):
                tree.update(changed)
        testbed.double.load({"_format_version": "3.0", "_transform": False, **held})
        await testbed.start_anew()
        outcomes = await testbed.converge(_specs())
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert _content(testbed) == before
        assert (await testbed.plan(_specs())).is_empty


@pytest.mark.parametrize("entity_type", ["routes", "upstreams", "targets", "acls"])
async def test_what_lost_its_mark_below_a_service_of_ours_gets_it_again(entity_type: str) -> None:
    """Whoever edits tags on a route must not keep its API from being written for good."""
    async with kong(database="postgres") as testbed:
        await testbed.converge(_specs())
        before = _content(testbed)
        moved = next(iter(testbed.ours(entity_type).values()))
        path = f"upstreams/{moved['upstream']['id']}/targets" if "target" in moved else entity_type
        await _change(testbed, entity_type, moved["id"], path=path, tags=["team:them"])
        outcomes = await testbed.converge(_specs())
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert _content(testbed) == before
        assert (await testbed.plan(_specs())).is_empty


LOCKED = Key("api", "acme", "locked")


def _locked() -> Specs:
    """An API whose routes, groups and limits of callers follow from its policies."""
    routes = [{"path": "/locked", "methods": ["GET"], "hosts": [], "stripPath": True}]
    cors = {
        "origins": ["https://shop.example"], "methods": [], "headers": [], "exposeHeaders": [],
        "credentials": False,
    }  # fmt: skip
    subscriptions = [{"api": "locked"}]
    return {
        **apis("locked", routes=routes),
        **dict([
            policy("locked", "api_key", {"in": "header", "name": "X-API-Key", "hide": True}),
            policy("locked", "rate_limit", {"requests": 5, "window": "1m", "by": "consumer"}),
            policy("locked", "cors", cors),
        ]),
        MOBILE: {**SPEC, "subscriptions": subscriptions},
    }  # fmt: skip


@pytest.mark.parametrize("database", MODES)
@pytest.mark.parametrize("plugin", ["key-auth", "acl", "rate-limiting", "cors"])
async def test_a_policy_whose_plugin_lost_its_mark_is_not_taken_for_somebody_elses(
    plugin: str, database: Database
) -> None:
    """Read without its `api_key`, an API would lose the groups that keep other callers out."""
    async with kong("3.9.1", database) as testbed:
        await testbed.converge(_locked())
        before = _content(testbed)
        held = testbed.double.entities
        for tree in held["plugins"].values():
            if tree["name"] == plugin:
                tree["tags"] = ["team:them"]
        if database == "off":
            document = {kind: list(trees.values()) for kind, trees in held.items()}
            testbed.double.load({"_format_version": "3.0", "_transform": False, **document})
        await testbed.start_anew()
        outcomes = await testbed.converge(_locked())
        assert outcomes
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert _content(testbed) == before
        assert (await testbed.plan(_locked())).is_empty


def _locked_without(*gone: Key) -> Specs:
    return {key: spec for key, spec in _locked().items() if key not in gone}


ENDED: dict[str, Specs] = {
    "api": {**_locked(), **apis("locked", backend={**api("locked")["backend"], "retries": 3})},
    "policy": {**_locked(), **dict([policy("locked", "rate_limit", {
        "requests": 9, "window": "1m", "by": "consumer",
    })])},
    "subscription": {**_locked(), MOBILE: {**SPEC, "subscriptions": []}},
    "application gone": _locked_without(MOBILE),
    "all gone": {},
}  # fmt: skip


@pytest.mark.parametrize("database", MODES)
@pytest.mark.parametrize("case", ENDED)
async def test_a_service_and_a_consumer_that_lost_their_mark_stay_ours(
    case: str, database: Database
) -> None:
    """Otherwise no change of them could be written: a right that ended would last."""
    async with kong("3.9.1", database) as testbed, kong("3.9.1", database) as other:
        await testbed.converge(_locked())
        held = testbed.double.entities
        for tree in (*held["services"].values(), *held["consumers"].values()):
            tree["tags"] = ["team:them"]
        if database == "off":
            document = {kind: list(trees.values()) for kind, trees in held.items()}
            testbed.double.load({"_format_version": "3.0", "_transform": False, **document})
        await testbed.start_anew()
        plan = await testbed.plan(_locked())
        assert {c.key for c in plan.changes} == {LOCKED, MOBILE}
        assert "without stoa-managed-by:default" in str([c.fields for c in plan.changes])
        outcomes = await testbed.converge(ENDED[case])
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert (await testbed.plan(ENDED[case])).is_empty
        await other.converge(_locked())
        await other.converge(ENDED[case])
        assert _content(testbed) == _content(other)


async def test_a_service_with_our_name_and_another_catalogs_mark_is_not_ours() -> None:
    async with kong("3.9.1", "postgres") as testbed:
        await testbed.converge(_locked())
        (service,) = testbed.ours().values()
        testbed.double.entities["services"][service["id"]]["tags"] = ["stoa-managed-by:others"]
        testbed.records.clear()
        await testbed.start_anew()
        assert [c for c in (await testbed.plan({})).changes if c.key == LOCKED] == []


@pytest.mark.parametrize("database", MODES)
async def test_an_adopted_plugin_that_lost_its_mark_does_not_open_its_api(
    database: Database,
) -> None:
    """Its id is its own, so nothing tells that it was ours; the groups beside it do."""
    async with kong("3.9.1", database) as testbed:
        await testbed.converge(_locked())
        plugins = testbed.double.entities["plugins"]
        (ident,) = (one for one, tree in plugins.items() if tree["name"] == "key-auth")
        other = "11111111-0000-4000-8000-0000000000f1"
        plugins[other] = {**plugins.pop(ident), "id": other, "tags": None}
        if database == "off":
            held = {kind: list(trees.values()) for kind, trees in testbed.double.entities.items()}
            testbed.double.load({"_format_version": "3.0", "_transform": False, **held})
        await testbed.start_anew()
        changed = apis("locked", backend={**api("locked")["backend"], "retries": 3})
        for specs in (_locked(), {**_locked(), **changed}):
            (outcome,) = await testbed.converge(specs)
            assert outcome.status is Status.QUARANTINED
            assert "every key on the node would open this API: give it that tag" in outcome.message
            names = {tree["name"] for tree in testbed.double.entities["plugins"].values()}
            assert {"acl", "key-auth"} <= names
        # The catalog itself may take the key away, and with it the groups.
        testbed.double.entities["plugins"][other]["tags"] = [MARK]
        if database == "off":
            held = {kind: list(trees.values()) for kind, trees in testbed.double.entities.items()}
            testbed.double.load({"_format_version": "3.0", "_transform": False, **held})
        await testbed.start_anew()
        open_to_all = _locked_without(Key("policy", "acme", "locked.api_key"), MOBILE)
        assert {o.status for o in await testbed.converge(open_to_all)} == {Status.APPLIED}
        names = {tree["name"] for tree in testbed.double.entities["plugins"].values()}
        assert not names & {"acl", "key-auth"}

"""Taking over what others made.

Ids that stay, what is replaced, what survives, and who gets the requests meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import aiohttp
import pytest

from stoa_gitops.errors import UsageError
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import DesiredState, Resource, SourceRef
from stoa_gitops.planning.adoption import plan_adoption
from stoa_gitops.planning.inputs import PlanContext
from tests.adapters.front import listening
from tests.adapters.kong.double import KongDouble
from tests.adapters.kong.testbed import MARK, Specs, Testbed, kong, policy, statuses
from tests.contract.rig import NOW, api

Database = Literal["off", "postgres"]
MODES: tuple[Database, ...] = ("off", "postgres")
SHOP, SHOP_LIMIT = Key("api", "acme", "shop"), Key("policy", "acme", "shop.rate_limit")
SHOP_KEY, BUYER = Key("policy", "acme", "shop.api_key"), Key("application", "acme", "buyer")
HMACS = {"env:MOBILE_KEY": "hmac-0"}
SERVICE, CONSUMER, LIMIT = (f"22222222-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))

THEIRS: dict[str, Any] = {
    "_format_version": "3.0",
    "_transform": False,
    "services": [
        {"id": SERVICE, "name": "acme.shop", "host": "shop.example", "port": 8080, "path": "/v2",
         "connect_timeout": 30000, "read_timeout": 30000, "write_timeout": 30000, "retries": 0},
        {"id": "22222222-0000-4000-8000-0000000000a1", "name": "other", "host": "other.example"},
    ],
    "routes": [
        {"id": "22222222-0000-4000-8000-000000000004", "name": "shop", "service": {"id": SERVICE},
         "paths": ["~/shop(?:/|$)"], "regex_priority": 1},
        {"id": "22222222-0000-4000-8000-0000000000a2", "name": "other", "paths": ["/other"],
         "service": {"id": "22222222-0000-4000-8000-0000000000a1"}},
    ],
    "plugins": [
        {"id": LIMIT, "name": "rate-limiting", "service": {"id": SERVICE},
         "config": {"minute": 100, "limit_by": "consumer", "policy": "local"}},
        {"id": "22222222-0000-4000-8000-000000000005", "name": "key-auth",
        "service": {"id": SERVICE},
         "config": {"key_names": ["X-API-Key"], "key_in_query": False, "hide_credentials": True}},
        {"id": "22222222-0000-4000-8000-000000000006", "name": "acl", "service": {"id": SERVICE},
         "config": {"allow": ["acme", "acme.shop"], "hide_groups_header": True}},
        {"id": "22222222-0000-4000-8000-000000000007", "name": "bot-detection",
        "service": {"id": SERVICE}},
        {"id": "22222222-0000-4000-8000-0000000000a3", "name": "prometheus"},
    ],
    "consumers": [
        {"id": CONSUMER, "username": "acme.buyer"},
        {"id": "22222222-0000-4000-8000-0000000000a4", "username": "them"},
    ],
    "keyauth_credentials": [
        {"id": "22222222-0000-4000-8000-000000000008", "key": "mobile-key-1",
        "consumer": {"id": CONSUMER}},
    ],
    "acls": [
        {"id": "22222222-0000-4000-8000-000000000009", "group": "acme.shop",
        "consumer": {"id": CONSUMER}},
        {"id": "22222222-0000-4000-8000-0000000000b1", "group": "acme",
        "consumer": {"id": CONSUMER}},
    ],
    "basicauth_credentials": [
        {"id": "22222222-0000-4000-8000-0000000000a5", "username": "buyer",
        "consumer": {"id": CONSUMER},
         "password": "e80f30b4dfffb5bcf41153b6593f1d8831cb8808"},
    ],
}  # fmt: skip


def wanted() -> Specs:
    routes = [{"path": "/shop", "methods": [], "hosts": [], "stripPath": True}]
    backend = {"url": "http://shop.example:8080/v2", "timeout": "30s", "retries": 0}
    return {
        SHOP: api("shop", backend=backend, routes=routes),
        **dict([
            policy("shop", "rate_limit", {"requests": 100, "window": "1m", "by": "consumer"}),
            policy("shop", "api_key", {"in": "header", "name": "X-API-Key", "hide": True}),
        ]),
        BUYER: {
            "displayName": "Buyer", "identifiers": {},
            "credentials": [{"type": "api_key", "key": {"$secret": "env:MOBILE_KEY"}}],
            "subscriptions": [{"api": "shop"}],
        },
    }  # fmt: skip


def load(double: KongDouble, document: Mapping[str, Any]) -> None:
    """Put a document on a node, with or without a database."""
    source = KongDouble(double.version)
    source.load(dict(document))
    double.entities = json.loads(json.dumps(source.entities))
    if double._store.database == "off":
        double.load(dict(document))


async def adoption(testbed: Testbed, specs: Mapping[Key, Any], keys: Iterable[Key]) -> Plan:
    assert (await testbed.driver.health()).success
    resources = {
        key: Resource(key, Spec.of(spec), SourceRef("x.yaml"), testbed.hints(key))
        for key, spec in specs.items()
    }
    desired = DesiredState("kong-prod", "default", "main@1", resources)
    actual = await testbed.driver.observe(testbed.records)
    context = PlanContext(NOW, secrets=dict(HMACS))
    return plan_adoption(
        testbed.driver.plan_input(), desired, actual, testbed.records, context, tuple(keys)
    )


async def adopt(testbed: Testbed, specs: Mapping[Key, Any], *keys: Key) -> list[Outcome]:
    return await testbed.execute(await adoption(testbed, specs, keys or specs))


def left_alone(testbed: Testbed, *ids: str) -> dict[str, Any]:
    """What of the foreign entities stays.

    All but those with these ids, without times that Kong rewrites.
    """
    return {
        ident: {name: value for name, value in entity.items() if name != "updated_at"}
        for held in testbed.double.entities.values()
        for ident, entity in held.items()
        if ident not in ids and MARK not in (entity.get("tags") or ())
    }


ADOPTED = (
    SERVICE, CONSUMER, LIMIT, *(f"22222222-0000-4000-8000-00000000000{n}" for n in (4, 5, 6, 8, 9)),
    "22222222-0000-4000-8000-0000000000b1",
)  # fmt: skip


@pytest.mark.parametrize("database", MODES)
async def test_what_is_adopted_is_ours_and_the_rest_survives_as_it_was(database: Database) -> None:
    async with kong(database=database) as testbed:
        load(testbed.double, THEIRS)
        before = left_alone(testbed, *ADOPTED)
        assert len(before) == 6
        outcomes = await adopt(testbed, wanted())
        assert {o.status for o in outcomes} == {Status.APPLIED}, [
            (o.change.key, o.message) for o in outcomes
        ]
        assert {o.change.action for o in outcomes} == {Action.ADOPT}
        assert left_alone(testbed) == before
        assert (await testbed.plan(wanted())).is_empty


@pytest.mark.parametrize("database", MODES)
async def test_service_consumer_and_plugins_keep_their_ids_and_routes_are_ours(
    database: Database,
) -> None:
    async with kong(database=database) as testbed:
        load(testbed.double, THEIRS)
        await adopt(testbed, wanted())
        assert testbed.ours("services").keys() == {"acme.shop"}
        assert testbed.ours("services")["acme.shop"]["id"] == SERVICE
        assert testbed.ours("consumers")["acme.buyer"]["id"] == CONSUMER
        assert testbed.ours("plugins")["rate-limiting"]["id"] == LIMIT
        assert testbed.ours("routes").keys() == {"acme.shop.0"}
        assert {r["name"] for r in testbed.double.entities["routes"].values()} == {
            "acme.shop.0",
            "other",
        }
        keys = testbed.double.entities["keyauth_credentials"].values()
        assert [one["key"] for one in keys] == ["mobile-key-1"]


@pytest.mark.parametrize("database", MODES)
async def test_requests_are_routed_after_an_adoption_as_before(database: Database) -> None:
    async with kong(database=database) as testbed:
        load(testbed.double, THEIRS)
        runner, url = await listening(testbed.double.proxy_app())
        try:
            before = await _answers(url)
            assert [status for status, _ in before.values()] == [200, 200, 401, 404, 200]
            await adopt(testbed, wanted())
            assert await _answers(url) == before
        finally:
            await runner.cleanup()


async def _answers(url: str) -> dict[str, tuple[int, Any]]:
    found = {}
    requests_since = {
        "/shop": "mobile-key-1", "/shop/a/b": "mobile-key-1", "/shop/x": "wrong",
        "/shops": "mobile-key-1",
        "/other/1": "",
    }  # fmt: skip
    async with aiohttp.ClientSession(url) as session:
        for path, key in requests_since.items():
            async with session.get(path, headers={"X-API-Key": key}) as answer:
                body = await answer.json()
                body.pop("route", None)
                found[path] = answer.status, body
    return found


@pytest.mark.parametrize("database", MODES)
async def test_no_moment_of_an_adoption_is_without_the_plugins_that_guard_the_api(
    database: Database,
) -> None:
    async with kong(database=database) as testbed:
        load(testbed.double, THEIRS)
        start = len(testbed.double.requests)
        await adopt(testbed, wanted())
        lost = [
            line for line in testbed.requests_since(start) if line.startswith("DELETE /plugins")
        ]
        assert lost == []
        assert len(testbed.double.posts) == (1 if database == "off" else 0)


@pytest.mark.parametrize("database", MODES)
async def test_an_api_may_be_adopted_first_and_its_policies_later(database: Database) -> None:
    async with kong(database=database) as testbed:
        load(testbed.double, THEIRS)
        await adopt(testbed, wanted(), SHOP)
        plan = await testbed.plan(wanted())
        assert not plan.changes
        assert {skip.key for skip in plan.skipped} == {SHOP_LIMIT, SHOP_KEY, BUYER}
        outcomes = await adopt(testbed, wanted(), SHOP_LIMIT, SHOP_KEY, BUYER)
        assert {o.status for o in outcomes} == {Status.APPLIED}, [o.message for o in outcomes]
        assert (await testbed.plan(wanted())).is_empty


async def test_a_policy_is_not_adopted_from_an_api_that_stays_foreign() -> None:
    async with kong() as testbed:
        load(testbed.double, THEIRS)
        with pytest.raises(UsageError, match="belongs to api/acme/shop, which is not managed"):
            await adoption(testbed, wanted(), [SHOP_LIMIT])


@pytest.mark.parametrize("database", MODES)
async def test_a_plugin_on_a_route_that_would_be_replaced_stops_the_adoption(
    database: Database,
) -> None:
    document = json.loads(json.dumps(THEIRS))
    document["plugins"].append(
        {
            "id": "22222222-0000-4000-8000-0000000000ff",
            "name": "cors",
            "route": {"id": "22222222-0000-4000-8000-000000000004"},
        }
    )
    async with kong(database=database) as testbed:
        load(testbed.double, document)
        before = left_alone(testbed)
        outcomes = await adopt(testbed, wanted(), SHOP)
        assert statuses(outcomes) == {"api/acme/shop": "quarantined"}
        assert "cors" in outcomes[0].message
        assert "move it to the service" in outcomes[0].message
        assert left_alone(testbed) == before


@pytest.mark.parametrize("database", MODES)
async def test_two_foreign_names_of_one_key_keep_their_numbers_when_one_is_adopted(
    database: Database,
) -> None:
    document = {
        "_format_version": "3.0",
        "services": [
            {"id": f"33333333-0000-4000-8000-00000000000{n}", "name": name, "host": f"{n}.example"}
            for n, name in enumerate(("Shop", "shop"))
        ],
        "routes": [
            {"id": f"33333333-0000-4000-8000-00000000001{n}", "name": f"r{n}",
            "paths": [f"~/{n}(?:/|$)"],
             "service": {"id": f"33333333-0000-4000-8000-00000000000{n}"}, "regex_priority": 1}
            for n in (0, 1)
        ],
    }  # fmt: skip
    async with kong(database=database, adoptTenant="acme") as testbed:
        load(testbed.double, document)
        specs = {
            Key("api", "acme", name): api(
                name,
                backend={"url": f"http://{n}.example", "timeout": "1m", "retries": 5},
                routes=[{"path": f"/{n}", "methods": [], "hosts": [], "stripPath": True}],
            )
            for n, name in enumerate(("shop", "shop-2"))
        }
        for key in specs:
            outcomes = await adopt(testbed, specs, key)
            assert statuses(outcomes) == {str(key): "applied"}
        assert (await testbed.plan(specs)).is_empty
        hosts = {name: service["host"] for name, service in testbed.ours("services").items()}
        assert hosts == {"acme.shop": "0.example", "acme.shop-2": "1.example"}


@pytest.mark.parametrize("match", ["PUT /routes/*", "DELETE /routes/*"])
async def test_what_could_not_be_adopted_is_theirs_as_it_was(match: str) -> None:
    async with kong(database="postgres") as testbed:
        load(testbed.double, THEIRS)
        before = without_times(testbed)
        plan = await adoption(testbed, wanted(), [SHOP])
        testbed.double.answer_500_without_commit(1, match=match)
        outcomes = await testbed.execute(plan)
        assert [o.status.value for o in outcomes] == ["failed"]
        assert without_times(testbed) == before


def without_times(testbed: Testbed) -> dict[str, Any]:
    return {
        ident: {n: v for n, v in entity.items() if n not in ("created_at", "updated_at")}
        for held in testbed.double.entities.values()
        for ident, entity in held.items()
    }

"""A node with a database: entities by id, routes last, and nothing of others touched."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.resources import PlanHints
from tests.adapters.kong.double import KongDouble
from tests.adapters.kong.testbed import apis, kong, limit, policy, statuses
from tests.contract.rig import HMACS, SECRETS

VERSIONS = ("3.4.2", "3.9.1")
MOBILE = Key("application", "acme", "mobile")
SPEC = {
    "displayName": "Mobile", "identifiers": {},
    "credentials": [{"type": "api_key", "key": {"$secret": "env:MOBILE_KEY"}}],
    "subscriptions": [{"api": "billing", "plan": "gold"}],
}  # fmt: skip
PLANS = [{"name": "gold", "perMinute": 60}]


@pytest.mark.parametrize("version", VERSIONS)
async def test_ours_are_read_by_their_tag_and_a_second_plan_is_empty(version: str) -> None:
    async with kong(version, "postgres") as testbed:
        specs = {**apis("billing", plans=PLANS), **dict([limit("billing")]), MOBILE: SPEC}
        outcomes = await testbed.converge(specs)
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        start = len(testbed.double.requests)
        assert (await testbed.plan(specs)).is_empty
        lists = [line for line in testbed.requests_since(start) if line.startswith("GET /plugins")]
        assert lists
        assert all("tags=stoa-managed-by" in line for line in lists)
        assert not [
            line
            for line in testbed.requests_since(start)
            if "/routes?" in line and "services" in line
        ]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_node_without_a_plugin_is_read_without_its_credentials(version: str) -> None:
    """The collections of a plugin that is not enabled are 404 on every Kong."""
    plugins = {"key-auth", "acl", "rate-limiting"}
    double = KongDouble(version, database="postgres", plugins=plugins)
    async with kong(version, "postgres", double) as testbed:
        specs = {**apis("billing", plans=PLANS), MOBILE: SPEC}
        outcomes = await testbed.converge(specs)
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert testbed.count("GET /jwts") > 0
        assert (await testbed.plan(specs)).is_empty


async def test_an_api_is_reachable_only_once_its_policies_are_there() -> None:
    async with kong(database="postgres") as testbed:
        await testbed.converge({**apis("billing"), **dict([limit("billing")])})
        writes = [line.split("/")[1] for line in testbed.double.requests if line.startswith("PUT")]
        assert writes.index("plugins") < writes.index("routes")
        assert writes[0] == "services"


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_goes_goes_children_first_and_takes_nothing_of_others_with_it(
    version: str,
) -> None:
    async with kong(version, "postgres") as testbed:
        await testbed.converge({**apis("billing", "crm"), **dict([limit("billing")])})
        outcomes = await testbed.converge(apis("crm"))
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        gone = [line.split("/")[1] for line in testbed.double.requests if line.startswith("DELETE")]
        assert gone.index("routes") < gone.index("services")
        assert set(testbed.ours()) == {"acme.crm"}
        assert testbed.ours("plugins") == {}


async def test_a_name_that_somebody_else_has_is_a_refusal_of_that_api_alone() -> None:
    async with kong(database="postgres") as testbed:
        plan = await testbed.plan(apis("billing", "crm"))
        # Between the look and the write, so that only the node can tell.
        async with aiohttp.ClientSession(testbed.base_url) as session:
            answer = await session.post("/services", json={"name": "acme.billing", "host": "x"})
            assert answer.status == 201
        outcomes = await testbed.execute(plan)
        assert statuses(outcomes) == {"api/acme/billing": "quarantined", "api/acme/crm": "applied"}
        message = next(o.message for o in outcomes if o.status is Status.QUARANTINED)
        assert "acme.billing" in message
        assert "UNIQUE violation" in message or "foreign one" in message


async def test_a_foreign_plugin_on_our_service_keeps_it_from_being_deleted() -> None:
    """The database would delete theirs with ours."""
    async with kong(database="postgres") as testbed:
        await testbed.converge(apis("billing"))
        service = testbed.ours()["acme.billing"]["id"]
        async with aiohttp.ClientSession(testbed.base_url) as session:
            body = {"name": "correlation-id", "service": {"id": service}}
            assert (await session.post("/plugins", json=body)).status == 201
        outcomes = await testbed.converge({})
        assert statuses(outcomes) == {"api/acme/billing": "quarantined"}
        assert "acme.billing" in testbed.ours()


@pytest.mark.parametrize("fault", ["lose_after_commit", "answer_500_without_commit", "busy"])
async def test_a_fault_in_between_is_an_outcome_and_the_next_cycle_ends_it(fault: str) -> None:
    async with kong(database="postgres") as testbed:
        specs = {**apis("billing", "crm", plans=PLANS), **dict([limit("crm")]), MOBILE: SPEC}
        plan = await testbed.plan(specs)
        getattr(testbed.double, fault)(2)
        await testbed.execute(plan)
        testbed.double.heal()
        await testbed.converge(specs)
        assert (await testbed.plan(specs)).is_empty


async def test_a_plan_that_changes_its_numbers_changes_the_limit_of_who_bought_it() -> None:
    for database in ("off", "postgres"):
        async with kong(database=database) as testbed:  # type: ignore[arg-type]
            specs = {**apis("billing", plans=PLANS), MOBILE: SPEC}
            specs.update(
                [policy("billing", "api_key", {"in": "header", "name": "X-Key", "hide": True})]
            )
            await testbed.converge(specs)
            dearer = [{"name": "gold", "perMinute": 7}]
            specs.update(apis("billing", plans=dearer))
            outcomes = await testbed.converge(specs)
            assert statuses(outcomes) == {"api/acme/billing": "applied"}
            (held,) = [p for p in testbed.double.entities["plugins"].values() if p.get("consumer")]
            assert held["config"]["minute"] == 7
            assert (await testbed.plan(specs)).is_empty


@pytest.mark.parametrize("database", ["off", "postgres"])
async def test_a_backup_holds_everything(database: str) -> None:
    async with kong(database=database) as testbed:  # type: ignore[arg-type]
        breaker = policy(
            "billing", "circuit_breaker", {"failures": 3, "window": "1m", "reset": "5s"}
        )
        await testbed.converge({**apis("billing"), **dict([breaker])})
        result = await testbed.driver.export_archive()
        assert result.success, result.error
        text = str(result.data)
        assert "acme.billing" in text
        assert "billing.example:443" in text


CONFIGS: dict[str, dict[str, object]] = {
    "rate_limit": {"requests": 9, "window": "1m", "by": "consumer"},
    "quota": {"requests": 9, "period": "day", "by": "ip"},
    "cors": {"origins": ["https://a.example"], "credentials": True, "maxAge": "1h"},
    "api_key": {"in": "query", "name": "key", "hide": True},
    "jwt": {"issuer": "https://id.example", "audiences": [], "requiredClaims": {},
    "forwardClaims": {}, "clockSkew": "30s"},
    "ip_filter": {"allow": ["10.0.0.0/8"], "deny": []},
    "request_size": {"max": "1MB"},
    "headers": {"request": {"set": {"X-A": "b"}, "add": {}, "remove": ["X-C"]},
    "response": {"set": {}, "add": {"X-D": "e"}, "remove": []}},
    "caching": {"ttl": "1m", "methods": ["GET"], "statuses": [200], "varyHeaders": ["Accept"],
    "varyQuery": []},
    "logging": {"sinks": ["https://log.example/x", "stdout"], "payloads": False, "redact": []},
    "mock": {"status": 418, "headers": {"Content-Type": "text/plain"}, "body": "tea"},
    "retry": {"attempts": 3, "on": ["connect", "timeout"], "backoff": "100ms"},
    "circuit_breaker": {"failures": 3, "window": "1m", "reset": "5s"},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("database", ["off", "postgres"])
@pytest.mark.parametrize("policy_type", CONFIGS)
async def test_every_policy_type_arrives_changes_its_api_and_goes(
    version: str, database: str, policy_type: str
) -> None:
    """The policy comes before its API where entities are written one by one, and both are there
    afterwards.
    """
    async with kong(version, database) as testbed:  # type: ignore[arg-type]
        testbed.hints = lambda key: PlanHints(
            on_unsupported="warn", guarded_api=Key("api", "acme", "billing")
        )
        one = policy("billing", policy_type, CONFIGS[policy_type])
        for specs in ({**apis("billing"), **dict([one])}, apis("billing"), {}):
            outcomes = await testbed.converge(specs)
            assert {o.status for o in outcomes} == {Status.APPLIED}, outcomes
            assert (await testbed.plan(specs)).is_empty
        assert not [e for held in testbed.double.entities.values() for e in held]


@pytest.mark.parametrize("version", ["3.4.2", "3.9.1"])
async def test_an_inactive_api_is_created_with_its_route_before_the_plugin_on_it(
    version: str,
) -> None:
    async with kong(version, "postgres") as testbed:
        specs = apis("billing", active=False)
        outcomes = await testbed.converge(specs)
        assert {o.status for o in outcomes} == {Status.APPLIED}, outcomes
        assert (await testbed.plan(specs)).is_empty


async def test_a_breaker_is_added_with_its_target_before_the_service_names_it() -> None:
    breaker = policy("billing", "circuit_breaker", {"failures": 3, "window": "1m", "reset": "2s"})
    specs = {**apis("billing"), breaker[0]: breaker[1]}
    async with kong("3.9.1", "postgres") as testbed:
        await testbed.converge(apis("billing"))
        start = len(testbed.double.requests)
        outcomes = await testbed.converge(specs)
        assert {o.status for o in outcomes} == {Status.APPLIED}, outcomes
        written = [r for r in testbed.requests_since(start) if r.startswith(("PUT", "POST"))]
        parts = [line.split("/")[-1 if line.startswith("POST") else -2] for line in written]
        assert parts.index("targets") < parts.index("services"), written
        assert (await testbed.plan(specs)).is_empty


async def test_an_api_that_is_refused_in_part_is_put_back() -> None:
    async with kong("3.9.1", "postgres") as testbed:
        await testbed.converge(apis("billing"))
        before = testbed.double.entities["services"].copy()
        # The service is taken, its route is not.
        testbed.double.nginx_401(1, match="PUT /routes/*")
        changed = apis("billing", active=False)
        for spec in changed.values():
            spec["routes"] = [{**spec["routes"][0], "path": "/moved"}]
            spec["backend"] = {**spec["backend"], "url": "https://moved.internal"}
        outcomes = await testbed.converge(changed)
        assert {o.status for o in outcomes} == {Status.FAILED}, outcomes
        hosts = {one["host"] for one in testbed.double.entities["services"].values()}
        assert hosts == {one["host"] for one in before.values()}


def _policies(*found: tuple[str, dict[str, Any]]) -> dict[Key, Any]:
    return {**apis("billing"), **dict(policy("billing", name, config) for name, config in found)}


_KEY = ("api_key", {"in": "header", "name": "X-API-Key", "hide": True})
_TOKEN = (
    "jwt",
    {"issuer": "", "audiences": [], "requiredClaims": {}, "forwardClaims": {}, "clockSkew": "30s"},
)


def _rate(by: str) -> tuple[str, dict[str, Any]]:
    return "rate_limit", {"requests": 10, "window": "1m", "by": by}


def _quota(by: str) -> tuple[str, dict[str, Any]]:
    return "quota", {"requests": 10, "period": "day", "by": by}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (_policies(_KEY), _policies(_TOKEN)),
        (_policies(_TOKEN), _policies(_KEY)),
        (_policies(_rate("ip")), _policies(_quota("consumer"))),
        (_policies(_rate("ip"), _quota("ip")), _policies(_rate("consumer"), _quota("consumer"))),
    ],
    ids=["key-to-token", "token-to-key", "rate-to-quota", "both-count-by-something-else"],
)
async def test_policies_that_only_fit_after_others_went_are_written_with_them(
    before: dict[Key, Any], after: dict[Key, Any]
) -> None:
    """One by one each would be refused beside what is still there, and that waits for it."""
    async with kong(database="postgres") as testbed:
        await testbed.converge(before)
        outcomes = await testbed.converge(after)
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert (await testbed.plan(after)).is_empty


async def test_a_limit_counted_by_something_else_by_hand_is_taken_back_beside_a_quota() -> None:
    specs = _policies(_rate("consumer"), _quota("consumer"))
    async with kong(database="postgres") as testbed:
        await testbed.converge(specs)
        (plugin,) = testbed.double.entities["plugins"].values()
        plugin["config"]["limit_by"] = "ip"
        outcomes = await testbed.converge(specs)
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert plugin["id"] in testbed.double.entities["plugins"]
        assert (await testbed.plan(specs)).is_empty


def _with_keys(*names: str) -> dict[Key, Any]:
    keys = [{"type": "api_key", "key": {"$secret": f"env:{name}"}} for name in names]
    return {**apis("billing", plans=PLANS), MOBILE: {**SPEC, "credentials": keys}}


@pytest.mark.parametrize("version", VERSIONS)
async def test_keys_that_change_places_are_never_away(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each key is unique on the node: 409 for a second credential with it (seen on 3.9.1)."""
    for name in "ABCDE":
        monkeypatch.setitem(SECRETS, f"env:{name}", f"key-{name}")
        monkeypatch.setitem(HMACS, f"env:{name}", f"hmac-{name}")
    lives = [("A", "B"), ("B", "A"), ("C", "B", "A"), ("A", "C"), ("C",), ("D", "E", "C"), ("E",)]
    async with kong(version, "postgres") as testbed:
        known: dict[str, str] = {}
        for names in lives:
            start = len(testbed.double.requests)
            outcomes = await testbed.converge(_with_keys(*names))
            assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
            assert (await testbed.plan(_with_keys(*names))).is_empty
            held = testbed.double.entities["keyauth_credentials"].values()
            ids = {one["key"]: one["id"] for one in held}
            assert len(ids) == len(names)
            kept = ids.keys() & known.keys()
            assert {key: ids[key] for key in kept} == {key: known[key] for key in kept}
            gone = {r for r in testbed.requests_since(start) if r.startswith("DELETE /key-auths")}
            assert not [one for one in gone for key in kept if ids[key] in one]
            known = ids

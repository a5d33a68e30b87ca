"""What a node refuses is found, set aside in its own words, and everything else is live."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import pytest

from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import PlanHints
from tests.adapters.kong.double import KongDouble
from tests.adapters.kong.testbed import FOREIGN, apis, kong, limit, policy, statuses

VERSIONS = ("3.4.2", "3.9.1")
CURSED = Key("api", "acme", "cursed")


def quarantined(outcomes: list[Outcome]) -> dict[str, str]:
    return {str(o.change.key): o.message for o in outcomes if o.status is Status.QUARANTINED}


def refusing(name: str, how: object) -> Callable[[dict[str, Any]], object]:
    """Refuse a document with a service of this name, whatever else is in it."""

    def refuse(document: dict[str, Any]) -> object:
        names = {service.get("name") for service in document.get("services", [])}
        return how if f"acme.{name}" in names else None

    return refuse


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_refusal_with_a_name_sets_that_policy_aside_and_its_new_api_with_it(
    version: str,
) -> None:
    """Which statuses there are is what the node knows."""
    async with kong(version) as testbed:
        good, bad = Key("api", "acme", "billing"), Key("api", "acme", "crm")
        broken = policy("crm", "mock", {"status": 1000, "headers": {}, "body": "no"})
        testbed.hints = lambda key: PlanHints(
            guarded_api=bad if key.name.startswith("crm") else good,
            depends_on=(broken[0],) if key == bad else (),
        )
        outcomes = await testbed.converge(
            {**apis("billing", "crm"), **dict([limit("billing"), broken])}
        )
        assert statuses(outcomes) == {
            "policy/acme/billing.rate_limit": "applied",
            "policy/acme/crm.mock": "quarantined",
            "api/acme/billing": "applied",
            "api/acme/crm": "blocked",
        }
        (message,) = quarantined(outcomes).values()
        assert "config.status_code: value should be between 100 and 599" in message
        assert set(testbed.ours()) == {"acme.billing"}
        assert len(testbed.double.posts) == 2


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("how", ["a reason that flattening loses", 500])
async def test_without_a_name_it_is_found_by_halves_and_the_rest_is_live(
    version: str, how: object
) -> None:
    names = [f"api-{number:02}" for number in range(20)] + ["cursed"]
    async with kong(version) as testbed:
        testbed.double.refuse(refusing("cursed", how))
        outcomes = await testbed.converge(apis(*names))
        assert list(quarantined(outcomes)) == [str(CURSED)]
        assert len(testbed.ours()) == 20
        assert len(testbed.double.posts) <= math.ceil(math.log2(len(names))) + 2


@pytest.mark.parametrize("position", range(16))
async def test_wherever_it_stands_the_number_of_posts_has_its_bound(position: int) -> None:
    names = [f"api-{number:02}" for number in range(16)]
    async with kong() as testbed:
        testbed.double.refuse(refusing(names[position], 500))
        outcomes = await testbed.converge(apis(*names))
        assert list(quarantined(outcomes)) == [f"api/acme/{names[position]}"]
        assert len(testbed.ours()) == 15
        assert len(testbed.double.posts) <= 4 + 2


async def test_several_offending_entities_without_a_name_are_all_found() -> None:
    names = [f"api-{number:02}" for number in range(24)]
    cursed = {"api-03", "api-04", "api-17"}
    async with kong() as testbed:

        def refuse(document: dict[str, Any]) -> object:
            held = {str(s.get("name")).removeprefix("acme.") for s in document.get("services", [])}
            return 500 if held & cursed else None

        testbed.double.refuse(refuse)
        outcomes = await testbed.converge(apis(*names))
        assert {key.rpartition("/")[2] for key in quarantined(outcomes)} == cursed
        assert len(testbed.ours()) == len(names) - len(cursed)


async def test_nothing_that_was_live_goes_away_while_it_is_searched() -> None:
    """Each document that the node ever took holds all that was live before, the offender's old form
    included.
    """
    names = [f"api-{number:02}" for number in range(8)]
    async with kong() as testbed:
        await testbed.converge(apis(*names))
        seen: list[set[str]] = []
        testbed.double.before_post = lambda: seen.append(set(testbed.ours()))
        testbed.double.refuse(
            lambda d: (
                500
                if any(
                    s.get("host") == "new.example" and s.get("name") == "acme.api-05"
                    for s in d["services"]
                )
                else None
            )
        )
        backend = {"url": "https://new.example/v3", "timeout": "30s", "retries": 0}
        outcomes = await testbed.converge(apis(*names, backend=backend))
        assert list(quarantined(outcomes)) == ["api/acme/api-05"]
        assert all(held == {f"acme.{name}" for name in names} for held in seen)
        hosts = {name: service["host"] for name, service in testbed.ours().items()}
        assert hosts.pop("acme.api-05") == "api-05.example"
        assert set(hosts.values()) == {"new.example"}


async def test_a_500_that_does_not_come_again_sets_nobody_aside() -> None:
    async with kong() as testbed:
        testbed.double.answer_500_without_commit()
        outcomes = await testbed.converge(apis("a", "b", "c"))
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert len(testbed.ours()) == 3


async def test_a_single_change_that_fails_once_is_tried_once_more() -> None:
    async with kong() as testbed:
        testbed.double.answer_500_without_commit()
        outcomes = await testbed.converge(apis("a"))
        assert [o.status for o in outcomes] == [Status.APPLIED]
        assert len(testbed.double.posts) == 2


async def test_a_single_change_that_is_refused_silently_is_asked_for_its_reason() -> None:
    async with kong() as testbed:
        testbed.double.refuse(refusing("cursed", "a reason that flattening loses"))
        outcomes = await testbed.converge(apis("cursed"))
        (message,) = quarantined(outcomes).values()
        assert "a reason that flattening loses" in message
        assert len(testbed.double.posts) == 2


async def test_a_node_that_fails_on_everything_sets_nobody_aside() -> None:
    async with kong() as testbed:
        testbed.double.refuse(lambda document: 500)
        outcomes = await testbed.converge(apis("a", "b", "c"))
        assert {(o.status, o.reason) for o in outcomes} == {(Status.FAILED, "GatewayError")}
        assert "refuses even the document that it holds" in outcomes[0].message


async def test_a_foreign_entity_that_the_node_refuses_is_named_and_no_change_is_quarantined() -> (
    None
):
    """A plugin of theirs was switched off with the last restart of the node."""
    async with kong() as testbed:
        testbed.double.load(FOREIGN)
        testbed.double.refuse(
            lambda d: (
                {"plugins": [{"name": "plugin 'http-log' not enabled"}]}
                if d.get("plugins")
                else None
            )
        )
        outcomes = await testbed.converge(apis("a", "b"))
        assert {o.status for o in outcomes} == {Status.FAILED}
        assert "none of these changes" in outcomes[0].message


async def test_an_application_waits_for_the_new_api_that_was_refused() -> None:
    async with kong() as testbed:
        app = Key("application", "acme", "mobile")
        testbed.hints = lambda key: PlanHints(depends_on=(CURSED,)) if key == app else PlanHints()
        testbed.double.refuse(refusing("cursed", 500))
        spec = {
            "displayName": "Mobile", "identifiers": {},
            "credentials": [{"type": "api_key", "key": {"$secret": "env:MOBILE_KEY"}}],
            "subscriptions": [{"api": "cursed"}],
        }  # fmt: skip
        outcomes = await testbed.converge({**apis("a", "cursed"), app: spec})
        assert statuses(outcomes) == {
            "api/acme/a": "applied", "api/acme/cursed": "quarantined", str(app): "blocked",
        }  # fmt: skip


async def test_no_secret_is_in_what_is_said_of_a_refusal() -> None:
    async with kong() as testbed:
        testbed.double.load(FOREIGN)
        app = Key("application", "acme", "mobile")
        spec = {
            "displayName": "Mobile", "identifiers": {},
            "credentials": [{"type": "api_key", "key": {"$secret": "env:MOBILE_KEY"}}],
            "subscriptions": [{"api": "a"}],
        }  # fmt: skip
        testbed.double.refuse(
            lambda d: (
                {
                    "keyauth_credentials": [
                        {"key": "mobile-key-1 and a-foreign-key are odd"}
                        for _ in d["keyauth_credentials"]
                    ]
                }
                if len(d.get("keyauth_credentials", [])) > 1
                else None
            )
        )
        outcomes = await testbed.converge({**apis("a"), app: spec})
        text = repr(outcomes)
        assert "odd" in text
        assert "mobile-key-1" not in text
        assert "a-foreign-key" not in text


async def test_doubles_are_told_before_anything_is_sent() -> None:
    """Kong would answer them with an empty error or a 500."""
    async with kong() as testbed:
        theirs = {"id": "22222222-0000-4000-8000-000000000001", "name": "acme.billing.0",
                  "paths": ["/elsewhere"],
                  "service": {"id": FOREIGN["services"][0]["id"]}}  # fmt: skip
        testbed.double.load({**FOREIGN, "routes": [*FOREIGN["routes"], theirs]})
        outcomes = await testbed.converge(apis("billing", "crm"))
        assert statuses(outcomes) == {"api/acme/billing": "quarantined", "api/acme/crm": "applied"}
        (message,) = quarantined(outcomes).values()
        assert "routes with name acme.billing.0 is taken by a foreign one" in message
        assert {outcome.reason for outcome in outcomes} == {"", "ObjectConflict"}
        assert len(testbed.double.posts) == 1


async def test_one_key_of_two_applications_is_told_without_the_key() -> None:
    async with kong() as testbed:

        def application(name: str) -> tuple[Key, dict[str, Any]]:
            return Key("application", "acme", name), {
                "displayName": name,
                "identifiers": {},
                "credentials": [{"type": "api_key", "key": {"$secret": "env:MOBILE_KEY"}}],
                "subscriptions": [{"api": "a"}],
            }

        await testbed.converge({**apis("a"), **dict([application("first")])})
        outcomes = await testbed.converge(
            {**apis("a"), **dict([application("first"), application("second")])}
        )
        (message,) = quarantined(outcomes).values()
        assert "application/acme/first" in message
        assert "mobile-key-1" not in message


async def test_what_others_hung_on_our_service_keeps_it_from_being_deleted() -> None:
    async with kong() as testbed:
        await testbed.converge(apis("a", "b"))
        service = testbed.ours()["acme.a"]["id"]
        document = {
            "_format_version": "3.0", "_transform": False,
            **{t: [_bare(e) for e in es.values()] for t, es in testbed.double.entities.items()},
        }  # fmt: skip
        document["plugins"] = [
            *document.get("plugins", []),
            {"id": "33333333-0000-4000-8000-000000000001", "name": "correlation-id",
            "service": {"id": service}},
        ]  # fmt: skip
        testbed.double.load(document)
        outcomes = await testbed.converge({})
        assert statuses(outcomes) == {"api/acme/a": "quarantined", "api/acme/b": "applied"}
        assert "33333333-0000-4000-8000-000000000001" in quarantined(outcomes)["api/acme/a"]
        assert set(testbed.ours()) == {"acme.a"}


def _bare(entity: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entity.items() if value is not None}


async def test_a_plugin_that_the_node_has_not_is_known_before_any_call() -> None:
    plugins = {"key-auth", "acl", "cors"}
    async with kong(double=KongDouble("3.9.1", plugins=plugins)) as testbed:
        testbed.hints = lambda key: PlanHints(
            requires=("policy:rate_limit",) if key.kind == "policy" else ()
        )
        plan = await testbed.plan({**apis("billing"), **dict([limit("billing")])})
        (skip,) = [s for s in plan.skipped if s.key.kind == "policy"]
        assert "the plugin rate-limiting is not enabled on this node" in skip.message
        assert testbed.double.posts == []


async def test_a_limit_that_follows_from_a_plan_is_the_affair_of_the_api_that_sells_it() -> None:
    """The application did not change.

    Its limit is made anew from the plan, and that is what the node refuses.
    """
    app = Key("application", "acme", "mobile")
    spec = {
        "displayName": "Mobile", "identifiers": {},
        "credentials": [{"type": "api_key", "key": {"$secret": "env:MOBILE_KEY"}}],
        "subscriptions": [{"api": "sold", "plan": "gold"}],
    }  # fmt: skip

    def refuse(document: dict[str, Any]) -> object:
        odd = [p.get("config", {}).get("minute") == 13 for p in document.get("plugins", [])]
        if not any(odd):
            return None
        return {"plugins": [{"config": {"minute": "unlucky"}} if o else None for o in odd]}

    async with kong() as testbed:
        await testbed.converge(
            {**apis("sold", plans=[{"name": "gold", "perMinute": 60}]), app: spec}
        )
        testbed.double.refuse(refuse)
        changed = apis("sold", plans=[{"name": "gold", "perMinute": 13}])
        outcomes = await testbed.converge({**changed, **apis("other"), app: spec})
        assert statuses(outcomes) == {"api/acme/other": "applied", "api/acme/sold": "quarantined"}
        assert "unlucky" in quarantined(outcomes)["api/acme/sold"]
        (held,) = [p for p in testbed.double.entities["plugins"].values() if p.get("consumer")]
        assert held["config"]["minute"] == 60


@pytest.mark.parametrize("database", ["off", "postgres"])
async def test_policies_that_do_not_fit_together_are_known_before_any_call(
    database: Literal["off", "postgres"],
) -> None:
    keys = policy("billing", "api_key", {"in": "header", "name": "X-API-Key", "hide": True})
    tokens = policy("billing", "jwt", {"issuer": "https://issuer.example"})
    async with kong(database=database) as testbed:
        testbed.hints = lambda key: PlanHints(
            on_unsupported="warn", guarded_api=Key("api", "acme", "billing")
        )
        plan = await testbed.plan({**apis("billing"), **dict([keys, tokens])})
        assert not plan.changes
        messages = {str(skip.key): skip.message for skip in plan.skipped}
        assert "api_key together with jwt" in messages["api/acme/billing"]
        assert messages.keys() == {"api/acme/billing", str(keys[0]), str(tokens[0])}
        assert await testbed.execute(plan) == []
        assert not [line for line in testbed.double.requests if not line.startswith("GET")]


async def test_a_unit_of_150_entities_that_is_refused_without_a_name_stays_as_it_was() -> None:
    def large(host: str) -> dict[Key, dict[str, Any]]:
        routes = [
            {"path": f"/apis/acme/large/{number}", "methods": [], "hosts": [], "stripPath": True}
            for number in range(150)
        ]
        backend = {"url": f"https://{host}.example", "timeout": "30s", "retries": 0}
        return apis("large", routes=routes, backend=backend)

    async with kong() as testbed:
        await testbed.converge({**large("old"), **apis("a", "b")})
        last = f"acme.large.{149}"
        testbed.double.refuse(
            lambda d: (
                500
                if any(
                    s.get("name") == "acme.large" and s["host"] == "new.example"
                    for s in d["services"]
                )
                and any(r.get("name") == last for r in d["routes"])
                else None
            )
        )
        backend = {"url": "https://moved.example", "timeout": "30s", "retries": 0}
        outcomes = await testbed.converge({**large("new"), **apis("a", "b", backend=backend)})
        assert list(quarantined(outcomes)) == ["api/acme/large"]
        hosts = {name: service["host"] for name, service in testbed.ours().items()}
        assert hosts == {
            "acme.large": "old.example", "acme.a": "moved.example", "acme.b": "moved.example",
        }  # fmt: skip
        assert len(testbed.ours("routes")) == 152

"""Tokens that their issuer is asked about: OAuth2 plans, with a resource of the API."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from stoa_gitops.adapters.gravitee import ADAPTER
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.outcomes import Status
from tests.adapters.gravitee.double import plugins
from tests.adapters.gravitee.testbed import CLASSIC, Bed, bed
from tests.contract import rig as contract
from tests.contract.rig import BILLING, MOBILE, api
from tests.contract.test_laws import lenient_plan, statuses

ISSUER = "https://login.example"
ASKED: JsonObject = {
    "issuer": ISSUER, "endpoint": "https://login.example/introspect", "clientId": "gateway",
    "clientSecret": "{#dictionaries['login']['secret']}",
}  # fmt: skip
SETTINGS: JsonObject = {"introspections": [ASKED]}
JWT = BILLING.policy("jwt")


def specs(here: Bed, **config: Any) -> dict[Any, dict[str, Any]]:
    policy = {
        "issuer": ISSUER, "audiences": ["shop"], "requiredClaims": {}, "forwardClaims": {},
        "clockSkew": "30s", **config,
    }  # fmt: skip
    credential = {"type": "jwt", "clientId": {"$secret": "env:MOBILE_KEY"}}
    return {
        BILLING: api("billing"),
        JWT: {"api": "billing", "type": "jwt", "priority": 1, "config": policy},
        MOBILE: {**here.rig.specs[MOBILE], "credentials": [credential], "subscriptions": []},
    }


@pytest.mark.parametrize("way", ["automation", "classic"])
async def test_tokens_without_keys_are_a_plan_that_asks_the_issuer(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, options = ("4.12.12", {}) if way == "automation" else ("4.1.0", CLASSIC)
    async with bed(version, SETTINGS, **options) as here:
        wanted = specs(here)
        outcomes = await here.rig.execute(await lenient_plan(here.rig, wanted))
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        (plan,) = here.api("Billing").plans
        assert plan.security == "OAUTH2"
        (resource,) = here.api("Billing").spec["resources"]
        assert plan.spec["security"]["configuration"]["oauthResource"] == resource["name"]
        asked = resource["configuration"]
        assert (asked["authorizationServerUrl"], asked["introspectionEndpoint"]) == (
            ISSUER, "/introspect",
        )  # fmt: skip
        # Without it 4.12 does not start the resource, and every call is a 503.
        assert asked["ssl"] == {"hostnameVerifier": True, "trustAll": False}
        (one,) = here.double.store.subscriptions.values()
        assert (one.plan_id, one.status) == (plan.id, "ACCEPTED")
        assert (await lenient_plan(here.rig, wanted)).is_empty
        assert contract.SECRETS["env:MOBILE_KEY"] not in json.dumps(here.api("Billing").spec)


async def test_keys_that_a_policy_names_are_used_and_nobody_is_asked() -> None:
    async with bed("4.12.12", SETTINGS) as here:
        wanted = specs(here, jwksUri="https://login.example/keys")
        await here.rig.execute(await lenient_plan(here.rig, wanted))
        assert [plan.security for plan in here.api("Billing").plans] == ["JWT"]
        assert here.api("Billing").spec["resources"] == []


@pytest.mark.parametrize(
    ("settings", "policies", "text"),
    [
        ({}, None, "name its introspection endpoint in options.introspections"),
        (SETTINGS, set(plugins.POLICIES) - {"oauth2"}, "oauth2, which asks the issuer, is not"),
    ],
)
async def test_what_tells_nothing_of_a_token_is_said_before_any_call(
    settings: JsonObject, policies: Any, text: str
) -> None:
    async with bed("4.12.12", settings, policies=policies) as here:
        here.writes()
        plan = await lenient_plan(here.rig, specs(here))
        assert not [change for change in plan.changes if change.key == JWT]
        assert any(text in skip.message for skip in plan.skipped), plan.skipped
        assert here.writes() == []


@pytest.mark.parametrize(
    "wrong", [{"clientSecret": "hunter2"}, {"endpoint": "login"}, {"token": "x"}]
)
def test_a_secret_itself_is_no_option(wrong: dict[str, str]) -> None:
    validator = jsonschema.Draft202012Validator(ADAPTER.options_schema)
    assert validator.is_valid(dict(SETTINGS))
    assert not validator.is_valid({"introspections": [{**ASKED, **wrong}]})

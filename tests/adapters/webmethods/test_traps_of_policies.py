"""What policies of webMethods do that nobody expects (contract A.4): the double does it too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.webmethods.double.runtime import actions_of
from tests.adapters.webmethods.double.store import SYSTEM_ACTION, SYSTEM_POLICY
from tests.adapters.webmethods.testbed import IDENTIFY, LOG, branch, gateway, leaf


async def test_keys_of_lists_are_in_the_singular() -> None:
    async with gateway() as here:
        assert set(await here.call("GET", "/policies")) == {"policy"}
        assert set(await here.call("GET", "/policyActions")) == {"policyAction"}


@pytest.mark.parametrize("with_envelope", [False, True])
async def test_a_put_without_envelope_or_id_answers_200_and_stores_nothing(
    with_envelope: bool,
) -> None:
    async with gateway() as here:
        action = await here.add_action("logInvocation", LOG)
        changed = [leaf("logGenerationFrequency", "OnFailure"), LOG[1]]
        sent = {**action, "parameters": changed}
        naked = {"policyAction": {**sent, "id": None}} if with_envelope else sent
        at = f"/policyActions/{action['id']}"
        assert (await here.ask("PUT", at, naked))[0] == 200
        assert (await here.call("GET", at))["policyAction"]["parameters"] == LOG
        await here.call("PUT", at, {"policyAction": sent})
        assert (await here.call("GET", at))["policyAction"]["parameters"] == changed


async def test_posts_of_policies_and_actions_need_their_envelope() -> None:
    async with gateway() as here:
        action = {"names": [], "templateKey": "logInvocation", "parameters": LOG}
        assert (await here.ask("POST", "/policyActions", action))[0] == 400
        policy = {"names": [{"value": "x", "locale": "en"}], "policyScope": "GLOBAL"}
        assert (await here.ask("POST", "/policies", policy))[0] == 400


@pytest.mark.parametrize(
    ("template", "parameters", "expected"),
    [
        ("corsPolicy", [], 400),
        ("logInvocation", [leaf("frequency", "Always")], 400),
        ("logInvocation", [leaf("logGenerationFrequency", True), LOG[1]], 400),  # type: ignore[arg-type]
        ("logInvocation", [LOG[0]], 400),
        ("outboundTransportAuthentication", [leaf("authType", "ALIAS")], 500),
        ("cors", [branch("corsAttributes", leaf("allowMethods", "OPTIONS"))], 400),
    ],
)
async def test_actions_are_checked_against_their_template(
    template: str, parameters: list[dict[str, Any]], expected: int
) -> None:
    async with gateway() as here:
        sent = {"policyAction": {"templateKey": template, "parameters": parameters}}
        assert (await here.ask("POST", "/policyActions", sent))[0] == expected


async def test_an_action_alone_enforces_nothing_and_its_name_is_not_kept() -> None:
    async with gateway() as here:
        api = await here.add_api()
        action = await here.add_action("evaluatePolicy", IDENTIFY)
        assert action["names"][0]["value"] == "Identify & Authorize"
        enforced = [one["templateKey"] for one in actions_of(here.double.store, api)]
        assert "evaluatePolicy" not in enforced
        await here.place(api["policies"][0], "IAM", action["id"])
        enforced = [one["templateKey"] for one in actions_of(here.double.store, api)]
        assert "evaluatePolicy" in enforced


async def test_a_limit_needs_an_action_that_identifies() -> None:
    async with gateway() as here:
        rule = (
            leaf("throttleRuleName", "requestCount"),
            leaf("monitorRuleOperator", "GT"),
            leaf("value", "100"),
        )
        limit = [branch("throttleRule", *rule), leaf("consumerIds", "all"),
                 leaf("alertInterval", "1"), leaf("alertIntervalUnit", "minutes"),
                 LOG[1]]  # fmt: skip
        per_second = [*limit[:3], leaf("alertIntervalUnit", "seconds"), LOG[1]]
        sent = {"policyAction": {"templateKey": "throttle", "parameters": per_second}}
        assert (await here.ask("POST", "/policyActions", sent))[0] == 400
        api = await here.add_api()
        action = await here.add_action("throttle", limit)
        policy = api["policies"][0]
        assert (await here.place(policy, "LMT", action["id"]))[0] == 400
        identify = await here.add_action("evaluatePolicy", IDENTIFY)
        await here.place(policy, "IAM", identify["id"])
        assert (await here.place(policy, "LMT", action["id"]))[0] == 200


async def test_deleting_a_policy_deletes_its_actions_even_shared_ones() -> None:
    async with gateway() as here:
        api = await here.add_api()
        policy = {"names": [{"value": "x", "locale": "en"}], "policyScope": "GLOBAL",
                  "global": True}  # fmt: skip
        body = await here.call("POST", "/policies", {"policy": policy})
        key = body["policy"]["id"]
        action = await here.add_action("logInvocation", LOG)
        for one in (key, api["policies"][0]):
            await here.place(one, "LMT", action["id"], SYSTEM_ACTION)
        await here.call("DELETE", f"/policies/{key}")
        left = [one["id"] for one in (await here.call("GET", "/policyActions"))["policyAction"]]
        assert action["id"] not in left
        assert SYSTEM_ACTION not in left
        assert (await here.ask("PUT", f"/apis/{api['id']}/activate"))[0] == 500


async def test_policies_of_the_system_can_only_be_switched() -> None:
    async with gateway() as here:
        at = f"/policies/{SYSTEM_POLICY}"
        held = await here.call("GET", at)
        assert (await here.ask("PUT", at, held))[0] == 400
        assert (await here.ask("DELETE", at))[0] == 500
        assert (await here.ask("PUT", f"{at}/activate"))[0] == 200
        assert (await here.ask("PUT", f"{at}/activate"))[0] == 400


async def _global(here: Any, conditions: list[dict[str, Any]], *actions: str) -> str:
    policy = {
        "names": [{"value": "all", "locale": "en"}],
        "policyScope": "GLOBAL",
        "global": True,
        "scope": {"applicableAPITypes": ["REST"], "logicalConnector": "AND",
                  "scopeConditions": conditions},
    }  # fmt: skip
    made = await here.call("POST", "/policies", {"policy": policy})
    key = str(made["policy"]["id"])
    if actions:
        await here.place(key, "transport", *actions)
    return key


METHODS = {
    "filterType": "HTTP_METHOD",
    "logicalConnector": "OR",
    "attributes": [{"attributeName": "GET", "operation": "EQUALS", "value": "true"}],
}
NAMED = {
    "filterType": "API",
    "logicalConnector": "AND",
    "attributes": [{"attributeName": "API_NAME", "operation": "EQUALS", "value": "pets"}],
}
TAGGED = {**NAMED, "attributes": [{"attributeName": "API_TAG", "operation": "EQUALS",
                                   "value": "pet"}]}  # fmt: skip


@pytest.mark.parametrize(
    ("conditions", "reaches"),
    [([NAMED], False), ([NAMED, METHODS], True), ([METHODS], True), ([TAGGED, METHODS], False)],
    ids=["an API alone", "an API and methods", "methods", "a tag"],
)
async def test_global_policies_reach_what_methods_select(
    conditions: list[dict[str, Any]], reaches: bool
) -> None:
    async with gateway() as here:
        api = await here.add_api()
        key = await _global(here, conditions)
        await here.call("PUT", f"/policies/{key}/activate")
        found = await here.call("GET", f"/apis/{api['id']}/globalPolicies")
        assert (key in found["globalPolicies"]) == reaches


async def test_a_global_policy_that_conflicts_is_a_500_with_the_reason() -> None:
    async with gateway() as here:
        api = await here.add_api()
        action = await here.add_action("entryProtocolPolicy", [leaf("protocol", "https")])
        key = await _global(here, [METHODS], action["id"])
        assert (await here.ask("GET", f"/policies/{key}/conflicts"))[0] == 500
        status, body = await here.ask("PUT", f"/policies/{key}/activate")
        assert status == 500
        reason = body["reason"][0]
        assert reason["apiId"] == api["id"]
        assert reason["errorOnResource"][0]["error"]["templateId"] == "entryProtocolPolicy"


async def test_a_policy_of_one_api_cannot_be_activated() -> None:
    async with gateway() as here:
        api = await here.add_api()
        assert (await here.ask("PUT", f"/policies/{api['policies'][0]}/activate"))[0] == 400

"""No secret that a gateway holds, gets or quotes reaches a log, a plan, the store or a document."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.catalog.export.overlay import yaml_text
from stoa_gitops.model.outcomes import Status
from tests.adapters.gravitee.rig import APIS, FOREIGN
from tests.adapters.gravitee.test_foreign_access import (
    add_application,
    add_plan,
    proposed,
    sent,
    start,
    subscribe,
)
from tests.adapters.gravitee.test_in_quarantine import (
    API_PATH,
    BILLING,
    MOBILE,
    NAME,
    PATH,
    billing,
    mobile,
    outcomes,
    subscribed,
)
from tests.adapters.gravitee.testbed import bed
from tests.contract.rig import CRM, api
from tests.scenarios.makes_world import MakesWorld, makes_world

CANARY = "canary-7f3a91c2-of-a-secret"
ISSUER = "https://id.example"
ASKED = {
    "introspections": [
        {"issuer": ISSUER, "endpoint": "https://id.example/introspect", "clientId": "gateway",
         "clientSecret": "{#dictionaries['stoa']['secret']}"}
    ]
}  # fmt: skip
JWT = {"issuer": ISSUER, "audiences": ["shop"], "requiredClaims": {}, "forwardClaims": {},
       "clockSkew": "30s"}  # fmt: skip


def step(policy: str, configuration: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": policy, "enabled": True, "policy": policy, "configuration": configuration,
            **more}  # fmt: skip


def header(name: str) -> dict[str, str]:
    return {"name": name, "value": CANARY}


def full_of_secrets(spec: dict[str, Any]) -> None:
    """Put a secret wherever people put one into an API by hand."""
    group = spec["endpointGroups"][0]
    shared = group.setdefault("sharedConfiguration", {})
    shared["headers"] = [header("Authorization"), header("X-Other")]
    shared["proxy"] = {"enabled": True, "host": "proxy", "username": "u", "password": CANARY}
    shared["ssl"] = {"keyStore": {"type": "PEM", "keyContent": CANARY, "password": CANARY}}
    endpoint = group["endpoints"][0]
    endpoint["configuration"] = {"target": f"http://user:{CANARY}@feed.example/x"}
    endpoint["sharedConfigurationOverride"] = {"headers": [header("Cookie")]}
    spec["resources"] = [
        {"name": "stoa-tokens", "type": "oauth2", "enabled": True,
         "configuration": {"clientId": "c", "clientSecret": CANARY,
                           "authorizationServerUrl": f"https://u:{CANARY}@id.example"}},
        {"name": "cache", "type": "cache", "enabled": True, "configuration": {"password": CANARY}},
    ]  # fmt: skip
    everything = [{"type": "HTTP", "path": "/", "pathOperator": "STARTS_WITH"}]
    steps = [
        step(
            "transform-headers", {"addHeaders": [header("Authorization"), header("X-Auth-Token")]}
        ),
        step("policy-http-callout", {"headers": [header("X")], "body": CANARY}),
        step("mock", {"status": "200", "headers": [header("Set-Cookie")], "content": ""}),
        step("groovy", {"script": CANARY}, condition=f"{{#request.headers['x'] == '{CANARY}'}}"),
    ]
    held = spec.get("flows") or []
    for flow in held:
        for one in flow.get("request") or ():
            one["condition"] = f"{{#request.headers['x'] == '{CANARY}'}}"
    by_hand = {"name": "by hand", "enabled": True, "selectors": everything, "request": steps}
    spec["flows"] = [*held, by_hand]
    spec["properties"] = [
        *(spec.get("properties") or ()),
        {"key": "password", "value": CANARY},
        {"key": "encrypted", "value": CANARY, "encrypted": True},
    ]


TOKENS = {"type": "JWT", "configuration": {
    "signature": "HMAC_HS256", "publicKeyResolver": "GIVEN_KEY", "resolverParameter": CANARY,
}}  # fmt: skip


def kept_in(folder: Path) -> bytes:
    """Return all that was written beside the catalog, the store above all."""
    files = [path for path in (folder / "state").rglob("*") if path.is_file()]
    assert files
    return b"\0".join(path.read_bytes() for path in files)


async def shown(world: MakesWorld) -> str:
    """Return all that a person is shown of a gateway's state."""
    plans = await world.plans()
    found = await proposed(world)
    documents = "\n".join(yaml_text(one.document) + repr(one) for one in found.documents)
    return "\n".join(
        [
            repr(plans),
            *(repr([change.fields for change in plan.changes]) for plan in plans.values()),
            documents,
            repr(found.unmapped),
            repr(await world.held(NAME)),
        ]
    )


@pytest.mark.parametrize("target", ["", "http://feed.example/x"], ids=["in the URL", "besides"])
async def test_what_people_put_into_a_foreign_api_is_written_nowhere(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with makes_world(tmp_path, ["dev"], monkeypatch, makes=["gravitee"]) as world:
        gateway = start(world)
        made = (await sent(gateway, APIS, FOREIGN))["id"]
        gold = await add_plan(gateway, made, "Gold plan", {"type": "API_KEY"})
        await add_plan(gateway, made, "Partners", TOKENS)
        phone = await add_application(gateway, "Phone")
        await subscribe(gateway, made, phone, gold)
        for one in gateway.double.store.subscriptions.values():
            for key in one.keys:
                key.key = CANARY
        full_of_secrets(gateway.double.store.apis[made].spec)
        if target:
            (endpoint,) = gateway.double.store.apis[made].spec["endpointGroups"][0]["endpoints"]
            endpoint["configuration"]["target"] = target
        text = await shown(world)
        assert "kind: API" in text
        assert "type: mock" in text
        assert "phone" in text
        assert CANARY not in text
        await world.cycle()
        assert CANARY not in caplog.text
        assert CANARY.encode() not in kept_in(tmp_path)


async def test_what_people_put_into_an_api_of_ours_is_drift_without_its_value(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with bed(settings=ASKED) as here:
        auth = {"in": "header", "name": "X-Key", "value": {"$secret": "env:BILLING_KEY"}}
        spec = api("crm")
        key = CRM.policy("jwt")
        specs: dict[Any, Any] = {
            CRM: {**spec, "backend": {**spec["backend"], "auth": auth}},
            key: {"api": "crm", "type": "jwt", "priority": 100, "config": JWT},
        }
        done = await here.rig.converge(specs)
        assert {one.status for one in done} == {Status.APPLIED}, done
        held = here.api("Crm")
        full_of_secrets(held.spec)
        held.updated = here.double.store.now()
        plan = await here.rig.plan(specs)
        assert not plan.is_empty
        text = repr(plan) + repr([change.fields for change in plan.changes])
        shown_fields = [field for change in plan.changes for field in change.fields]
        assert "clientSecret" in repr(shown_fields)
        assert CANARY not in text
        seen = await here.rig.observe()
        assert CANARY not in repr([one.spec.value for one in seen.objects])
        await here.rig.execute(plan)
        assert (await here.rig.plan(specs)).is_empty
        assert CANARY not in caplog.text


QUOTING = {
    "fault": (500, '{"message": "SomethingException: no %s here", "technicalCode": "unexpected"}'),
    "server": (500, '{"message": "TechnicalManagementException: %s", "technicalCode": "x"}'),
    "refused": (400, '{"message": "duplicate key [%s] in apiKeys"}'),
    "text": (502, "proxy: %s"),
}


@pytest.mark.parametrize("way", ["4.12", "4.10", "classic"])
@pytest.mark.parametrize("case", QUOTING)
async def test_an_error_that_quotes_what_was_sent_is_told_without_it(
    case: str,
    way: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with subscribed(tmp_path, monkeypatch, way) as world:
        monkeypatch.setenv("ACME_NEW", CANARY)
        status, text = QUOTING[case]
        double = world.gateways[NAME].double

        async def before(line: str) -> None:
            # Keys go out with a subscription, or alone.
            if "subscriptions" in line and not line.startswith("GET"):
                double.fails_once("*subscriptions*", status, text % CANARY)

        double.before = before
        world.write({PATH: mobile("gold", key="ACME_NEW")})
        result = (await world.cycle())[NAME]
        found = {one.change.key: one for one in result.report.outcomes}
        assert found[MOBILE].status is not Status.APPLIED
        assert found[MOBILE].message
        assert CANARY not in repr(result)
        plans = await world.plans()
        assert CANARY not in repr(plans)
        assert CANARY.encode() not in kept_in(tmp_path)
        assert CANARY not in caplog.text


async def test_keys_that_the_server_echoes_are_kept_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers to writes of 4.12 hold the keys in clear (R.1 row 11)."""
    caplog.set_level(logging.DEBUG)
    async with subscribed(tmp_path, monkeypatch, "4.12") as world:
        monkeypatch.setenv("ACME_NEW", CANARY)
        world.write({PATH: mobile("gold", key="ACME_NEW")})
        assert (await outcomes(world))[MOBILE] is Status.APPLIED
        sent_keys = [text for _, text in world.gateways[NAME].double.bodies if CANARY in text]
        assert sent_keys
        world.write({API_PATH: billing("silver"), PATH: mobile("silver", key="ACME_NEW")})
        assert (await outcomes(world))[BILLING] is Status.APPLIED
        assert CANARY not in await shown(world)
        assert CANARY.encode() not in kept_in(tmp_path)
        assert CANARY not in caplog.text

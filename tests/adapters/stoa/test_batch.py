"""An API with its policies and rights is written as one change where the gateway can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stoa_gitops.adapters.stoa import batch
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from tests.adapters.stoa.double import Dialect, StoaDouble
from tests.adapters.stoa.rig import data_plane_rig, stoa_rig
from tests.contract.rig import BILLING, CRM, LIMIT, MOBILE, TOKEN, api

FILTER = Key("policy", "acme", "billing.ip_filter")


def policy(kind: str, config: dict[str, Any], name: str = "billing") -> dict[str, Any]:
    return {"api": name, "type": kind, "priority": 100, "config": config}


def statuses(outcomes: list[Outcome]) -> dict[Key, Status]:
    return {outcome.change.key: outcome.status for outcome in outcomes}


async def test_all_of_a_small_plan_goes_out_in_one_call() -> None:
    double = StoaDouble(Dialect.OURS, TOKEN)
    async with stoa_rig(double) as rig:
        await rig.driver.health()
        assert set(statuses(await rig.converge()).values()) == {Status.APPLIED}
        writes = [(method, path) for method, path, _ in double.requests if method != "GET"]
        assert writes == [("POST", "/admin/batch")]
        assert (await rig.plan(rig.specs)).is_empty
        gone = {key: spec for key, spec in rig.specs.items() if key == CRM}
        await rig.converge(gone)
        assert (len(double.routes), double.policies, double.consumers) == (2, {}, {})


async def test_a_route_that_goes_goes_with_the_same_call() -> None:
    double = StoaDouble(Dialect.OURS, TOKEN)
    routes = [{"path": f"/{n}", "methods": [], "hosts": [], "stripPath": True} for n in "abc"]
    async with stoa_rig(double) as rig:
        await rig.converge({BILLING: api("billing", routes=routes)})
        assert len(double.routes) == 3
        double.requests.clear()
        await rig.converge({BILLING: api("billing", routes=routes[:1])})
        (body,) = [json.loads(text) for method, _, text in double.requests if method == "POST"]
        assert (len(body["apis"]), len(body["delete"]["apis"])) == (1, 2)
        assert len(double.routes) == 1


async def test_what_the_gateway_refuses_is_set_aside_with_its_unit_and_nothing_else() -> None:
    async with data_plane_rig() as rig:
        await rig.driver.health()
        old, limit = rig.specs[BILLING], rig.specs[LIMIT]
        specs = {**rig.specs, BILLING: old, LIMIT: limit}
        await rig.converge(specs)
        changed = {
            **specs,
            BILLING: {**old, "displayName": "Renamed"},
            FILTER: policy("ip_filter", {"allow": ["10.0.0.1/8"]}),
            CRM: api("crm", displayName="Renamed too"),
        }
        outcomes = statuses(await rig.converge(changed))
        assert outcomes == {
            BILLING: Status.BLOCKED, FILTER: Status.QUARANTINED, CRM: Status.APPLIED,
        }  # fmt: skip
        (left,) = [one for one in await rig.adapter.list_apis() if one["name"] == "billing"]
        assert left["spec"]["displayName"] == old["displayName"]


async def test_a_secret_that_leads_nowhere_holds_its_unit_and_nothing_else() -> None:
    async with data_plane_rig() as rig:
        await rig.driver.health()
        specs = rig.specs
        value = {"$secret": "env:NOWHERE"}
        specs[BILLING]["backend"]["auth"] = {"in": "header", "name": "X-Api-Key", "value": value}
        outcomes = statuses(await rig.converge(specs))
        assert outcomes == {
            BILLING: Status.FAILED, LIMIT: Status.BLOCKED, MOBILE: Status.BLOCKED,
            CRM: Status.APPLIED,
        }  # fmt: skip


async def test_a_key_that_leads_nowhere_keeps_no_api_from_others() -> None:
    async with data_plane_rig() as rig:
        await rig.driver.health()
        specs = rig.specs
        specs[MOBILE]["credentials"] = [{"type": "api_key", "key": {"$secret": "env:NOWHERE"}}]
        outcomes = statuses(await rig.converge(specs))
        assert outcomes == {
            BILLING: Status.APPLIED, LIMIT: Status.APPLIED, MOBILE: Status.FAILED,
            CRM: Status.APPLIED,
        }  # fmt: skip


async def test_a_gateway_that_refuses_without_naming_what_fails_everything_that_was_sent() -> None:
    double = StoaDouble(Dialect.OURS, TOKEN)
    async with stoa_rig(double) as rig:
        await rig.driver.health()
        double.is_vague = True
        outcomes = await rig.converge()
        assert {outcome.status for outcome in outcomes} == {Status.QUARANTINED}
        assert {outcome.message for outcome in outcomes} == {"something is wrong"}


async def test_what_is_too_large_for_one_call_or_for_any_keeps_nobody_else_from_being_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "MOST_BYTES", 350_000)

    def large(name: str, kilobytes: int) -> dict[str, Any]:
        return api(name, displayName="x" * kilobytes * 1_000)

    fitting = [Key("api", "evil", f"fits{number}") for number in range(2)]
    never = Key("api", "evil", "never")
    async with data_plane_rig() as rig:
        await rig.driver.health()
        specs = {key: large(key.name, 250) for key in fitting} | {never: large("never", 450)}
        outcomes = statuses(await rig.converge({**specs, CRM: api("crm")}))
        assert outcomes == {
            **dict.fromkeys(fitting, Status.APPLIED),
            never: Status.QUARANTINED,
            CRM: Status.APPLIED,
        }


async def test_an_exchange_of_credentials_is_one_change() -> None:
    def application(name: str, secret: str) -> dict[str, Any]:
        key = {"type": "api_key", "key": {"$secret": f"env:{secret}"}}
        return {"displayName": name, "credentials": [key], "subscriptions": [], "identifiers": {}}

    other = Key("application", "acme", "other")
    async with data_plane_rig() as rig:
        before = {MOBILE: application("m", "MOBILE_KEY"), other: application("o", "BILLING_KEY")}
        after = {MOBILE: application("m", "BILLING_KEY"), other: application("o", "MOBILE_KEY")}
        await rig.converge(before)
        outcomes = await rig.converge(after)
        assert {outcome.status for outcome in outcomes} == {Status.APPLIED}
        assert (await rig.plan(after)).is_empty

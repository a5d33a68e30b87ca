"""What a cycle reads: lists when nothing changed, everything each tenth time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from stoa_gitops.adapters.gravitee.writing.pending import PendingChange
from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import API
from tests.adapters.gravitee.double import apis
from tests.adapters.gravitee.rig import APIS, FOREIGN
from tests.adapters.gravitee.testbed import Bed, bed
from tests.contract.rig import BILLING, CRM, LIMIT, api, resolve, resource


def reads(here: Bed) -> list[str]:
    found = list(here.double.requests)
    here.double.requests.clear()
    return found


async def settled(here: Bed, specs: dict[Any, Any]) -> None:
    await here.rig.converge(specs)
    await here.rig.plan(specs)
    reads(here)


async def test_a_cycle_without_changes_reads_the_lists_alone() -> None:
    async with bed() as here:
        await settled(here, here.rig.specs)
        first = {kind: await here.rig.adapter.list_cached(kind) for kind in ("api", "policy")}
        assert (await here.rig.plan(here.rig.specs)).is_empty
        paths = {line.split("?")[0] for line in reads(here)}
        assert not [line for line in paths if "/plans" in line or "/subscriptions" in line]
        for kind, items in first.items():
            # The planner takes the identical list for no change.
            assert await here.rig.adapter.list_cached(kind) is items


async def test_what_the_list_shows_as_changed_is_read_and_nothing_else() -> None:
    async with bed() as here:
        await settled(here, here.rig.specs)
        held = here.api("Crm")
        path = f"{APIS}/{held.id}"
        body = (await here.person.get(path)).json()
        changed = {**body, "name": "By hand"}
        (await here.person.put(path, json=changed)).raise_for_status()
        reads(here)
        plan = await here.rig.plan(here.rig.specs)
        assert [change.key for change in plan.changes] == [CRM]
        assert [field.dotted for field in plan.changes[0].fields] == ["displayName"]
        assert len([line for line in reads(here) if line.endswith("/plans")]) == 1


async def test_a_plan_that_somebody_changed_is_seen_by_the_tenth_look() -> None:
    async with bed() as here:
        specs = {BILLING: here.rig.specs[BILLING], LIMIT: here.rig.specs[LIMIT]}
        await settled(here, specs)
        (plan,) = here.api("Billing").plans
        plan.spec["flows"] = []
        looks = 0
        while (found := await here.rig.plan(specs)).is_empty:
            looks += 1
            assert looks <= 10
        assert [change.key for change in found.changes] == [BILLING]
        await here.rig.execute(found)
        assert plan.spec["flows"]


async def test_drift_of_one_policy_is_shown_at_that_policy() -> None:
    async with bed() as here:
        specs = {BILLING: here.rig.specs[BILLING], LIMIT: here.rig.specs[LIMIT]}
        await settled(here, specs)
        held = here.api("Billing")
        step = next(flow for flow in held.spec["flows"] if flow["name"] == "stoa:rate_limit")
        step["request"][0]["configuration"]["rate"]["limit"] = 1_000_000
        held.updated = here.double.store.now()
        plan = await here.rig.plan(specs)
        assert [(change.key, change.action) for change in plan.changes] == [(LIMIT, Action.UPDATE)]
        (field,) = plan.changes[0].fields
        assert (field.dotted, field.after) == ("config.requests", 100)


async def test_an_api_of_version_2_keeps_its_path() -> None:
    async with bed() as here:
        made = (await here.person.post(APIS, json=FOREIGN)).json()
        old = here.double.store.apis[made["id"]]
        old.spec["listeners"] = []
        old.spec["endpointGroups"] = []
        old.spec["proxy"] = {"virtualHosts": [{"path": "/old"}]}
        state = await here.rig.observe()
        assert [route.pattern.path for route in state.routes] == ["/old"]
        assert [o.managed for o in state.objects] == [False]


async def test_a_foreign_api_becomes_documents() -> None:
    async with bed() as here:
        flow = {
            "name": "by hand", "enabled": True,
            "selectors": [{"type": "HTTP", "path": "/", "pathOperator": "STARTS_WITH"}],
            "request": [
                {"name": "x", "enabled": True, "policy": "rate-limit",
                 "configuration": {"rate": {"limit": 7, "periodTime": 2,
                                            "periodTimeUnit": "MINUTES"}}},
                {"name": "y", "enabled": True, "policy": "policy-http-callout",
                 "configuration": {"url": "http://x", "method": "GET", "exitOnError": False}},
            ],
        }  # fmt: skip
        made = (await here.person.post(APIS, json={**FOREIGN, "flows": [flow]})).json()
        await here.rig.driver.health()
        state = await here.rig.observe()
        found = {o.key: o.spec.value for o in state.objects}
        limit = next(spec for key, spec in found.items() if key.kind == "policy")
        assert limit["config"] == {"requests": 7, "window": "2m", "by": "consumer"}
        (spec,) = (spec for key, spec in found.items() if key.kind == API)
        assert spec["routes"][0]["path"] == "/other/feed"  # type: ignore[index,call-overload]
        assert spec["backend"]["url"] == "http://feed/x"  # type: ignore[index,call-overload]
        lost = await here.rig.driver.unmapped()
        assert [one.field for one in lost if "callout" in one.field] == [
            "flows.0.policy-http-callout"
        ]
        assert {one.what for one in lost} == {"API Other feed"}
        assert made["id"] in {o.gateway_id for o in state.objects}


async def test_an_adopted_api_keeps_its_id_and_its_plan() -> None:
    async with bed() as here:
        made = (await here.person.post(APIS, json=FOREIGN)).json()
        path = f"{APIS}/{made['id']}"
        plan = {"definitionVersion": "V4", "name": "Free", "security": {"type": "KEY_LESS"},
                "flows": []}  # fmt: skip
        created = (await here.person.post(f"{path}/plans", json=plan)).json()
        await here.person.post(f"{path}/plans/{created['id']}/_publish")
        secret = {"key": "s", "value": "enc(x)==", "encrypted": True}
        held = here.double.store.apis[made["id"]]
        held.spec["properties"] = [secret]
        route = {"path": "/other/feed", "methods": [], "hosts": [], "stripPath": True}
        spec = resolve("default", resource(CRM, api("crm", routes=[route])))
        change = PendingChange(CRM, replace(spec, gateway_id=made["id"]), made["id"], True)
        results = await here.rig.adapter._apis.write([change])  # type: ignore[attr-defined]
        assert results[change].success, results[change].error
        assert results[change].resource_id == made["id"]
        assert [one.id for one in held.plans] == [created["id"]]
        # An encrypted property would come back as its cipher text (R.1 row 16).
        assert all(one["key"].startswith("stoa.") for one in held.spec["properties"])
        seen = {o.key: o for o in (await here.rig.observe()).objects}
        assert seen[CRM].managed
        assert seen[CRM].spec.value["gravitee"] is None


async def test_a_list_that_shows_one_twice_and_another_not_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bed() as here:
        await settled(here, here.rig.specs)
        paged = apis.paged

        def lying(items: list[Any], request: web.Request) -> web.Response:
            return paged([items[0], *items[:-1]] if len(items) > 1 else items, request)

        monkeypatch.setattr(apis, "paged", lying)
        state = await here.rig.observe()
        assert (state.is_complete, state.error_reason) == (False, "GatewayBusy")
        assert "it changes while it is read" in str(state.error)
        monkeypatch.undo()
        assert (await here.rig.plan(here.rig.specs)).is_empty

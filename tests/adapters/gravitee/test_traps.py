"""What Gravitee does that nobody expects (contract gravitee.md R.1), each designed for."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from stoa_gitops.adapters.gravitee.entities.parts import Options
from stoa_gitops.adapters.gravitee.writing.gates import PathGate
from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.gravitee.rig import APIS, FOREIGN
from tests.adapters.gravitee.testbed import CLASSIC, bed
from tests.contract import rig as contract
from tests.contract.rig import BILLING, CRM, LIMIT, MOBILE, TOKEN, api, resolve, resource

LONG = "a-key-of-thirty-two-characters-and-more"


@pytest.fixture
def long_key(monkeypatch: pytest.MonkeyPatch) -> str:
    """A key that the Automation API takes."""
    monkeypatch.setitem(contract.SECRETS, "env:MOBILE_KEY", LONG)
    return LONG


async def test_what_has_not_changed_is_not_sent() -> None:
    async with bed() as here:
        await here.rig.converge()
        here.writes()
        spec = resolve("default", resource(CRM, here.rig.specs[CRM]))
        assert (await here.rig.adapter.sync_api(spec, "acme")).success
        assert here.writes() == []


async def test_an_api_and_its_policies_are_one_write() -> None:
    async with bed() as here:
        here.writes()
        await here.rig.converge({BILLING: here.rig.specs[BILLING], LIMIT: here.rig.specs[LIMIT]})
        assert here.writes() == ["PUT automation/apis"]
        assert here.api("Billing").deployments == 1


async def test_a_configuration_is_checked_against_the_schema_of_the_gateway() -> None:
    # This plugin calls its field otherwise: Gravitee would store ours, and enforce nothing.
    schema = {"type": "object", "properties": {"maximum": {"type": "integer"}}}
    async with bed(schemas={"request-content-limit": schema}) as here:
        here.writes()
        key = BILLING.policy("request_size")
        value = {"api": "billing", "type": "request_size", "priority": 1, "config": {"max": "1MB"}}
        result = await here.rig.adapter.upsert_policy(resolve("default", resource(key, value)))
        assert (result.success, result.reason) == (False, "GatewayRefused")
        assert "it knows no limit" in str(result.error)
        assert here.writes() == []


async def test_paths_that_overlap_are_not_written_side_by_side() -> None:
    gate, order = PathGate(), []

    async def write(name: str, *paths: str) -> None:
        async with gate.name(name), gate.paths(name, paths):
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            order.append(f"{name} ends")

    await asyncio.gather(write("a", "/x"), write("b", "/x/y"), write("c", "/xy"), write("a", "/z"))
    for other in ("b", "a"):
        after_first = order[order.index("a ends") :]
        assert f"{other} begins" in after_first
    assert order.index("c begins") < order.index("a ends")


async def test_a_writer_that_is_cancelled_lets_others_in() -> None:
    gate, started = PathGate(), asyncio.Event()

    async def wait() -> None:
        async with gate.name("a"), gate.paths("a", ["/x"]):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(30), gate.name("a"), gate.paths("a", ["/x/y"]):
        pass


async def test_an_api_of_the_same_name_that_is_not_ours_is_not_overwritten() -> None:
    async with bed() as here:
        await here.rig.converge({CRM: api("crm")})
        held = here.api("Crm")
        held.spec["properties"] = []
        held.updated = here.double.store.now()
        here.writes()
        spec = resolve("default", resource(CRM, api("crm", displayName="Mine")))
        result = await here.rig.adapter.sync_api(spec, "acme")
        assert (result.success, result.reason) == (False, "ObjectConflict")
        assert "that no catalog of ours wrote (Crm" in str(result.error)
        assert here.writes() == []


async def test_an_api_that_these_credentials_may_not_read_is_not_taken_over() -> None:
    async with bed(tokens={TOKEN: "api1", "boss": "admin"}) as here:
        boss = {"Authorization": "Bearer boss"}
        made = await here.person.post(APIS, json=FOREIGN, headers=boss)
        # Whoever may not read an API may write over it (R.1 row 12).
        secret = here.double.store.apis.pop(made.json()["id"])
        secret.id, secret.hrid = Options().ids.api("acme_crm"), "acme_crm"
        here.double.store.apis[secret.id] = secret
        here.writes()
        spec = resolve("default", resource(CRM, api("crm")))
        result = await here.rig.adapter.sync_api(spec, "acme")
        assert (result.success, result.reason) == (False, "ObjectConflict")
        assert "belongs to another account" in str(result.error)
        assert here.writes() == []


@pytest.mark.parametrize("options", [{}, CLASSIC], ids=["automation", "classic"])
async def test_a_path_of_another_api_is_a_conflict_with_its_name(options: dict[str, Any]) -> None:
    async with bed("4.1.0" if options else "4.12.12", **options) as here:
        await here.person.post(APIS, json=FOREIGN)
        below = [{"path": "/other/feed/x", "methods": [], "hosts": [], "stripPath": True}]
        spec = resolve("default", resource(CRM, api("crm", routes=below)))
        result = await here.rig.adapter.sync_api(spec, "acme")
        assert (result.success, result.reason) == (False, "ObjectConflict")
        assert "is taken by the API Other feed" in str(result.error)


async def test_keys_are_in_no_message_and_no_log(
    long_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with bed() as here:
        outcomes = await here.rig.converge(here.specs)
        assert here.keys() == {long_key: True}
        # A second application with the same key: the server says no.
        other = Key("application", "acme", "other")
        specs = {**here.specs, other: here.specs[MOBILE]}
        outcomes += await here.rig.converge(specs)
        assert outcomes[-1].status is Status.QUARANTINED
        assert long_key not in repr(outcomes) + caplog.text + repr(await here.rig.observe())


@pytest.mark.parametrize("version", ["4.12.12", "4.10.8", "4.1.0"])
async def test_an_application_that_comes_again_has_its_key_and_no_other(
    version: str, long_key: str
) -> None:
    async with bed(version, **(CLASSIC if version == "4.1.0" else {})) as here:
        await here.rig.converge(here.specs)
        await here.rig.converge({k: s for k, s in here.specs.items() if k != MOBILE})
        # Where DELETE leaves keys alive, `_close` came first (R.1 row 9).
        assert not any(here.keys().values())
        outcomes = await here.rig.converge(here.specs)
        assert {o.status for o in outcomes} == {Status.APPLIED}, outcomes
        assert [key for key, works in here.keys().items() if works] == [long_key]


async def test_a_subscription_that_somebody_paused_is_resumed(long_key: str) -> None:
    async with bed() as here:
        await here.rig.converge(here.specs)
        (one,) = here.double.store.subscriptions.values()
        path = f"{APIS}/{one.api_id}/subscriptions/{one.id}/_pause"
        (await here.person.post(path)).raise_for_status()
        here.rig.adapter._session.invalidate()  # type: ignore[attr-defined]  # a deep look
        plan = await here.rig.plan(here.specs)
        assert [change.key for change in plan.changes] == [MOBILE]
        assert [field.dotted.split(".")[0] for field in plan.changes[0].fields] == ["gravitee"]
        await here.rig.execute(plan)
        assert one.status == "ACCEPTED"
        assert (await here.rig.plan(here.specs)).is_empty


async def test_a_key_that_somebody_renewed_is_put_back(long_key: str) -> None:
    async with bed() as here:
        await here.rig.converge(here.specs)
        (one,) = here.double.store.subscriptions.values()
        path = f"{APIS}/{one.api_id}/subscriptions/{one.id}/api-keys/_renew"
        (await here.person.post(path, json={})).raise_for_status()
        here.rig.adapter._session.invalidate()  # type: ignore[attr-defined]
        await here.rig.converge(here.specs)
        assert [key for key, works in here.keys().items() if works] == [long_key]


async def test_a_short_key_needs_the_setting_of_the_environment() -> None:
    async with bed() as here:
        here.double.store.allows_custom_keys = False
        outcomes = {o.change.key: o for o in await here.rig.converge(here.specs)}
        assert outcomes[MOBILE].status is Status.QUARANTINED
        assert "switch on custom API keys" in outcomes[MOBILE].message


async def test_the_portal_has_its_own_states() -> None:
    async with bed() as here:
        await here.rig.converge({CRM: api("crm")})
        held = here.api("Crm")
        held.spec |= {"lifecycleState": "PUBLISHED", "visibility": "PUBLIC", "labels": ["crm"]}
        held.spec["pages"] = [
            {"hrid": "p", "name": "P", "type": "MARKDOWN", "visibility": "PUBLIC"}
        ]
        held.updated = here.double.store.now()
        spec = resolve("default", resource(CRM, api("crm", displayName="Customers")))
        assert (await here.rig.adapter.sync_api(spec, "acme")).success
        after = here.api("Customers").spec
        assert (after["lifecycleState"], after["visibility"]) == ("PUBLISHED", "PUBLIC")
        assert after["labels"] == ["crm", "managed-by:stoa-gitops"]
        assert [page["hrid"] for page in after["pages"]] == ["p"]


async def test_single_calls_come_in_the_order_that_the_server_demands() -> None:
    async with bed("4.1.0", **CLASSIC) as here:
        here.writes()
        await here.rig.converge({CRM: api("crm")})
        assert here.writes() == [
            "POST ", "PUT /…", "POST /…/plans", "POST /…/plans/…/_publish", "POST /…/deployments",
            "POST /…/_start",
        ]  # fmt: skip
        await here.rig.converge({CRM: api("crm", displayName="Customers")})
        # Nothing is started that runs: `_start` would publish the old definition.
        assert here.writes() == ["PUT /…", "POST /…/deployments"]
        await here.rig.converge({CRM: api("crm", displayName="Customers", active=False)})
        assert here.writes() == ["PUT /…", "POST /…/_stop"]
        await here.rig.converge({CRM: api("crm", displayName="Customers")})
        assert here.writes() == ["PUT /…", "POST /…/deployments", "POST /…/_start"]
        await here.rig.converge({})
        assert here.writes() == ["POST /…/_stop", "POST /…/plans/…/_close", "DELETE /…"]


async def test_an_api_that_was_half_created_is_finished() -> None:
    async with bed("4.1.0", **CLASSIC) as here:
        await here.rig.converge({CRM: api("crm")})
        # As if the process had ended after the first call.
        held = here.api("Crm")
        held.spec |= {"properties": [], "description": "[stoa-gitops owner=default key=acme/crm]"}
        held.spec["state"], held.plans, held.updated = "STOPPED", [], here.double.store.now()
        here.rig.records.clear()
        outcomes = await here.rig.converge({CRM: api("crm")})
        assert [o.status for o in outcomes] == [Status.APPLIED]
        assert len(here.double.store.apis) == 1
        assert (await here.rig.plan({CRM: api("crm")})).is_empty


@pytest.mark.parametrize("options", [{}, CLASSIC], ids=["automation", "classic"])
async def test_an_api_that_was_half_deleted_is_finished(options: dict[str, Any]) -> None:
    async with bed("4.1.0" if options else "4.12.12", **options) as here:
        await here.rig.converge({CRM: api("crm")})
        held = here.api("Crm")
        held.spec["state"] = "STOPPED"
        for plan in held.plans:
            plan.spec["status"] = "CLOSED"
        held.updated = here.double.store.now()
        plan = await here.rig.plan({})
        assert [change.action for change in plan.changes] == [Action.DELETE]
        assert [o.status for o in await here.rig.execute(plan)] == [Status.APPLIED]
        assert not here.double.store.apis


async def test_an_api_that_somebody_detached_is_stopped_and_deleted() -> None:
    async with bed() as here:
        await here.rig.converge({CRM: api("crm")})
        (await here.person.post(f"{APIS}/{here.api('Crm').id}/_detach")).raise_for_status()
        outcomes = await here.rig.converge({})
        assert [o.status for o in outcomes] == [Status.APPLIED]
        assert not here.double.store.apis


async def test_a_copy_of_our_api_is_foreign() -> None:
    async with bed() as here:
        await here.rig.converge({CRM: api("crm")})
        held = here.api("Crm")
        copy = {**FOREIGN, "name": "Copy of Crm"}
        made = (await here.person.post(APIS, json=copy)).json()
        here.double.store.apis[made["id"]].spec["properties"] = held.spec["properties"]
        seen = await here.rig.observe()
        assert [o.key for o in seen.objects if o.managed] == [CRM]
        assert len(seen.objects) == 2
        await here.rig.converge({})
        assert [one.spec["name"] for one in here.double.store.apis.values()] == ["Copy of Crm"]


async def test_a_token_that_is_revoked_in_the_middle_ends_the_apply() -> None:
    async with bed() as here:
        specs = {
            CRM._replace(name=f"api-{number:02}"): api(f"api-{number:02}") for number in range(30)
        }
        plan = await here.rig.plan(specs)
        here.double.tokens.clear()
        outcomes = await here.rig.execute(plan)
        assert {o.reason for o in outcomes} == {"GatewayUnauthorized"}
        assert not here.double.store.apis

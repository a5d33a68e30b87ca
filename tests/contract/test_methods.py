"""The eighteen methods, each alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from stoa_gitops.adapter_sdk.contract import AdapterResult, ObjectSpec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.kinds import EXTENDED_CAPABILITIES, KINDS
from tests.contract.rig import BILLING, CRM, LIMIT, MOBILE, Rig, resolve, resource


def wanted(rig: Rig, key: Key) -> ObjectSpec:
    return resolve("default", resource(key, rig.specs[key]))


async def upserted(rig: Rig, key: Key) -> AdapterResult:
    return await rig.adapter.methods()[key.kind].upsert(wanted(rig, key))


async def deleted(rig: Rig, key: Key, gateway_id: str) -> AdapterResult:
    delete = rig.adapter.methods()[key.kind].delete
    assert delete is not None
    return await delete(gateway_id)


async def snapshot(rig: Rig) -> list[Any]:
    state = await rig.observe()
    assert state.is_complete, state.error
    return [(o.key, o.gateway_id, o.managed, o.spec) for o in state.objects]


@pytest.mark.parametrize("key", [BILLING, CRM, LIMIT, MOBILE], ids=str)
async def test_writing_twice_is_writing_once_and_so_is_deleting(rig: Rig, key: Key) -> None:
    if key not in rig.specs:
        method = {"policy": "list_policies", "application": "list_applications"}[key.kind]
        assert await getattr(rig.adapter, method)() == []
        return
    first = await upserted(rig, key)
    assert first.success, first.error
    once = await snapshot(rig)
    second = await upserted(rig, key)
    assert second.success, second.error
    assert second.resource_id == first.resource_id
    assert await snapshot(rig) == once
    for _ in range(2):
        gone = await deleted(rig, key, str(first.resource_id))
        assert gone.success, gone.error
    assert await snapshot(rig) == []


async def test_deleting_what_never_was_succeeds(rig: Rig) -> None:
    for kind in ("api", "policy", "application"):
        key = Key(kind, "acme", "never")
        result = await deleted(rig, key, key.identifier("default"))
        assert result.success, result.error


async def test_fewer_routes_remove_the_stale_ones_even_without_an_observation(rig: Rig) -> None:
    await upserted(rig, CRM)
    spec = wanted(rig, CRM)
    fewer = {**spec.value, "routes": spec.value["routes"][:1]}  # type: ignore[index]
    result = await rig.adapter.sync_api(dataclasses.replace(spec, value=fewer), "acme")
    assert result.success, result.error
    items = await rig.adapter.list_apis()
    assert [len(item["spec"]["routes"]) for item in items] == [1]


@pytest.mark.parametrize("capability", [*EXTENDED_CAPABILITIES, "archive"])
async def test_extended_methods_work_or_say_the_documented_words(rig: Rig, capability: str) -> None:
    if capability == "archive":
        result = await rig.adapter.export_archive()
    else:
        name, value = rig.extended.get(capability, ("one", {"value": 1}))
        key = Key(capability, "", name)
        spec = ObjectSpec(key, key.identifier("default"), "default", value)
        result = await rig.adapter.methods()[capability].upsert(spec)
    if rig.driver.capabilities[capability].supported:
        assert result.success, result.error
    else:
        assert result.error == f"Not supported by {rig.adapter.title}"
        assert (result.success, result.reason) == (False, "Unsupported")


async def test_the_adapter_names_itself_as_it_is_documented(rig: Rig) -> None:
    assert rig.adapter.title == rig.driver.info.title


async def test_a_policy_of_a_type_that_is_not_declared_is_refused_with_a_message(rig: Rig) -> None:
    capability = rig.driver.capabilities.get("policy:quota")
    if capability is not None and capability.supported:
        return
    key = Key("policy", "acme", "billing.quota")
    value = {"api": "billing", "type": "quota", "priority": 1, "config": {}}
    result = await rig.adapter.upsert_policy(
        ObjectSpec(key, key.identifier("default"), "default", value)
    )
    assert (result.success, result.reason) == (False, "Unsupported")
    assert "quota" in str(result.error)
    assert await snapshot(rig) == []


async def test_every_unsupported_capability_says_why(rig: Rig) -> None:
    silent = [n for n, c in rig.driver.capabilities.items() if not c.supported and not c.reason]
    assert silent == []


async def test_health_tells_the_version_and_title_shows_it(rig: Rig) -> None:
    result = await rig.driver.health()
    assert result.success, result.error
    version = str((result.data or {})["version"])
    assert version
    assert version in rig.driver.title


async def test_it_works_again_after_it_was_disconnected(rig: Rig) -> None:
    await rig.adapter.disconnect()
    await rig.adapter.connect()
    assert (await rig.adapter.health_check()).success
    assert await rig.adapter.list_apis() == []


async def test_lists_work_before_anybody_asked_for_health(rig: Rig) -> None:
    fresh = rig.driver.info.factory(rig.driver.connection)
    assert await fresh.list_apis() == []
    assert await fresh.list_applications() == []
    await fresh.disconnect()


async def test_a_cached_list_equals_the_list(rig: Rig) -> None:
    for key in rig.specs:
        await upserted(rig, key)
    lists = {kind: methods.list for kind, methods in rig.adapter.methods().items()}
    assert {kind for kind, listed in lists.items() if listed} >= {"api", "policy", "application"}
    for kind, listed in lists.items():
        if listed is None:
            continue
        seen = sorted(await rig.adapter.list_cached(kind), key=lambda item: str(item["name"]))
        assert seen == sorted(await listed(), key=lambda item: str(item["name"]))
        assert all(item["kind"] == kind for item in seen)


def test_there_are_methods_for_every_kind(rig: Rig) -> None:
    methods = rig.adapter.methods()
    assert set(methods) == {info.name for info in KINDS}
    for info in KINDS:
        assert info.is_extended or (methods[info.name].list and methods[info.name].delete)

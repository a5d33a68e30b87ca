"""Objects of the whole gateway: declared in options, planned, written, compared and pruned."""

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog.resolution.gateway_objects import gateway_objects
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.model.secret import Secret
from tests.adapters.webmethods.beds import Bed
from tests.adapters.webmethods.rig import EXTENDED
from tests.contract.rig import CRM, ObjectSpec, api

KINDS = ("alias", "auth_server", "scope", "strategy")


def specs() -> dict[Key, dict[str, Any]]:
    return {Key(kind, "", EXTENDED[kind][0]): dict(EXTENDED[kind][1]) for kind in KINDS}


async def test_they_are_written_once_and_go_when_they_left(old: Bed) -> None:
    outcomes = await old.rig.converge(specs())
    assert {one.status for one in outcomes} == {Status.APPLIED}, outcomes
    assert (await old.rig.plan(specs())).is_empty
    old.rig.records.clear()
    assert (await old.rig.plan(specs())).is_empty
    await old.rig.converge({})
    store = old.double.store
    assert [one["name"] for one in store.aliases] == ["local"]
    assert (list(store.scopes), list(store.strategies)) == ([], [])


async def test_a_change_by_hand_shows_and_keeps_the_id(old: Bed) -> None:
    await old.rig.converge(specs())
    (held,) = [one for one in old.double.store.aliases if one["name"] == "one"]
    await old.person.call("PUT", f"/alias/{held['id']}", {**held, "value": "2"})
    await old.rig.adapter.disconnect()
    plan = await old.rig.plan(specs())
    assert [str(change.key) for change in plan.changes] == ["alias/-/one"]
    await old.rig.execute(plan)
    (again,) = [one for one in old.double.store.aliases if one["name"] == "one"]
    assert (again["id"], again["value"]) == (held["id"], "1")


async def test_one_that_somebody_made_is_left_alone(old: Bed) -> None:
    await old.person.call("POST", "/alias", {"name": "one", "type": "simple", "value": "theirs"})
    key = Key("alias", "", "one")
    (outcome,) = await old.rig.converge({key: specs()[key]})
    assert (outcome.status, outcome.reason) == (Status.QUARANTINED, "ObjectConflict")
    await old.rig.converge({})
    assert "theirs" in [one.get("value") for one in old.double.store.aliases]


async def test_a_scope_names_apis_and_waits_for_them(old: Bed) -> None:
    key = Key("scope", "", "read")
    wanted = {key: {"apiScopes": ["acme/crm"]}, CRM: api("crm")}
    outcomes = await old.rig.converge(wanted)
    assert {one.status for one in outcomes} == {Status.APPLIED}, outcomes
    (held,) = old.double.store.scopes
    assert held["apiScopes"] == [old.api("acme-crm")["id"]]
    assert (await old.rig.plan(wanted)).is_empty


async def test_secrets_are_sent_encoded_and_never_listed(old: Bed) -> None:
    value: dict[str, Any] = {
        "type": "httpTransportSecurityAlias", "authType": "HTTP_BASIC", "authMode": "NEW",
        "httpAuthCredentials": {"userName": "me", "password": Secret("s3cret")},
    }  # fmt: skip
    key = Key("alias", "", "login")
    spec = ObjectSpec(key, key.identifier("default"), "default", value)
    for _ in range(2):
        result = await old.rig.adapter.upsert_alias(spec)
        assert result.success, result.error
    (held,) = [one for one in old.double.store.aliases if one["name"] == "login"]
    assert held["httpAuthCredentials"]["password"] == "czNjcmV0"
    (item,) = await old.rig.adapter.list_cached("alias")
    assert "czNjcmV0" not in repr(item)
    assert "s3cret" not in repr(item)


async def test_settings_are_merged_and_written_where_they_differ(old: Bed) -> None:
    key = Key("config", "", "settings")
    value = {"extendedKeys": {"pg_JWT_isHTTPS": "false"}}
    spec = ObjectSpec(key, key.identifier("default"), "default", value)
    old.writes()
    for _ in range(2):
        assert (await old.rig.adapter.apply_config(spec)).success
    assert old.writes() == ["PUT /configurations/settings"]
    held = old.double.store.configurations["settings"]
    assert held["extendedKeys"]["pg_JWT_isHTTPS"] == "false"
    assert held["extendedKeys"]["apiKeyHeader"] == "x-Gateway-APIKey"


async def test_a_key_that_the_gateway_does_not_know_is_named(old: Bed) -> None:
    key = Key("config", "", "errorProcessing")
    spec = ObjectSpec(key, key.identifier("default"), "default", {"nope": "1"})
    result = await old.rig.adapter.apply_config(spec)
    assert (result.success, result.reason) == (False, "GatewayRefused")
    assert "errorProcessing" in str(result.error)


@pytest.mark.parametrize("option", ["aliases", "configurations"])
def test_options_of_a_gateway_are_objects_of_its_catalog(option: str) -> None:
    source = SourceRef("gateways/wm.yaml")
    instance = GatewayInstance(
        "wm", "webmethods", "prod", "https://wm.example", source,
        options={option: {"one": {"value": "1"}}},
    )  # fmt: skip
    (resource,) = gateway_objects(instance, gateway_types().get("webmethods")).values()
    kind = {"aliases": "alias", "configurations": "config"}[option]
    assert (resource.key, resource.source) == (Key(kind, "", "one"), source)
    assert resource.hints.requires == (kind,)
    assert gateway_objects(instance, gateway_types().get("kong")) == {}


async def test_a_list_that_misses_one_makes_none_a_second_time(old: Bed) -> None:
    wanted = {**specs(), CRM: api("crm"), Key("global_policy", "", EXTENDED["global_policy"][0]): (
        dict(EXTENDED["global_policy"][1])
    )}  # fmt: skip
    await old.rig.converge(wanted)
    assert (await old.rig.plan(wanted)).is_empty
    store = old.double.store
    kinds = (store.aliases, store.scopes, store.strategies, store.policies)
    before = [[one["id"] for one in kind] for kind in kinds]
    assert old.rig.lists is not None
    assert old.rig.restart is not None
    for key, record in dict(old.rig.records).items():
        if key == CRM:
            continue
        await old.rig.restart()
        old.rig.lists.leave_out(record.gateway_id)
        plan = await old.rig.plan(wanted)
        assert [change.key for change in plan.changes] == [key]
        await old.rig.execute(plan)
        old.rig.lists.heal()
        assert [[one["id"] for one in kind] for kind in kinds] == before, key
        await old.rig.converge(wanted)
    await old.rig.restart()
    assert (await old.rig.plan(wanted)).is_empty

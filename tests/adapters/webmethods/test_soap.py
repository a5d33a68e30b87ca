"""SOAP APIs: the WSDL is imported as it is, by calls, and compared by its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.webmethods.mapping.rules import RULES
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import Resource
from tests.adapters.webmethods.beds import Bed
from tests.adapters.webmethods.double.runtime import actions_of, target
from tests.contract.rig import CRM, api, resolve

PATH = "tenants/acme/apis/crm/crm.wsdl"
WSDL = """<?xml version="1.0"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" name="Customers"
    xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/">
  <portType name="C"><operation name="Find"/></portType>
  <service name="C"><port name="C"><soap:address location="https://old.example"/></port></service>
</definitions>
"""


@dataclass
class Files:
    held: Mapping[str, bytes]

    def read(self, path: str) -> bytes:
        return self.held[path]


def soap(text: str = WSDL, **changes: Any) -> dict[str, Any]:
    wsdl = {"path": PATH, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return api("crm", wsdl=wsdl, **changes)


async def apply(
    bed: Bed, specs: Mapping[Key, Mapping[str, Any]], text: str = WSDL, **options: Any
) -> list[Outcome]:
    plan = await bed.rig.plan(specs)

    def with_files(wanted: Resource) -> ObjectSpec:
        files = Files({PATH: text.encode()})
        return replace(resolve("default", wanted), files=files)

    run = bed.rig.driver.execute(plan, with_files, **options)
    outcomes = [outcome async for outcome in run]
    for outcome in outcomes:
        bed.rig._record(outcome)
    return outcomes


@pytest.mark.parametrize("as_archive", [False, True], ids=["calls", "archive"])
async def test_a_wsdl_is_imported_as_it_is_and_the_next_plan_is_empty(
    old: Bed, as_archive: bool
) -> None:
    (outcome,) = await apply(old, {CRM: soap()}, as_archive=as_archive)
    assert outcome.status is Status.APPLIED, outcome.message
    held = old.api("acme-crm")
    assert (held["type"], held["isActive"]) == ("SOAP", True)
    assert old.double.store.sources[held["id"]] == WSDL
    # One address, and the catalog's, not that of the document.
    assert target(old.double.store, held) == "https://crm.example/v2"
    plan = await old.rig.plan({CRM: soap()})
    assert plan.is_empty, plan.changes
    old.rig.records.clear()
    assert (await old.rig.plan({CRM: soap()})).is_empty


async def test_another_wsdl_is_an_update_of_the_same_api(old: Bed) -> None:
    await apply(old, {CRM: soap()})
    before = old.api("acme-crm")["id"]
    text = WSDL.replace("Find", "Search")
    (outcome,) = await apply(old, {CRM: soap(text)}, text)
    assert outcome.status is Status.APPLIED, outcome.message
    held = old.api("acme-crm")
    assert (held["id"], held["isActive"]) == (before, True)
    assert held["apiDefinition"]["operations"] == [{"name": "Search", "enabled": True}]
    assert (await old.rig.plan({CRM: soap(text)})).is_empty


async def test_transport_says_soap_and_routing_names_no_resource(old: Bed) -> None:
    await apply(old, {CRM: soap()})
    held = old.api("acme-crm")
    found = {one["templateKey"]: one["parameters"] for one in actions_of(old.double.store, held)}
    assert {"templateKey": "soapVersion", "values": ["soap"]} in found["entryProtocolPolicy"]
    assert "resource_path" not in str(found["straightThroughRouting"])


async def test_a_policy_changes_without_the_wsdl(old: Bed) -> None:
    await apply(old, {CRM: soap()})
    key = CRM.policy("api_key")
    config = {"in": "header", "name": "x-Gateway-APIKey", "hide": True}
    policy = {"api": "crm", "type": "api_key", "priority": 1, "config": config}
    for as_archive in (False, True):
        policy["config"] = {**config, "hide": not as_archive}
        specs = {CRM: soap(), key: policy}
        outcomes = await apply(old, specs, "gone", as_archive=as_archive)
        assert {one.status for one in outcomes} <= {Status.APPLIED}, [o.message for o in outcomes]
        assert old.double.store.sources[old.api("acme-crm")["id"]] == WSDL


async def test_a_wsdl_that_the_gateway_refuses_is_a_failure_of_its_api_alone(old: Bed) -> None:
    other = Key("api", "acme", "billing")
    specs = {CRM: soap("<a/>"), other: api("billing")}
    outcomes = {one.change.key: one for one in await apply(old, specs, "<a/>")}
    assert outcomes[other].status is Status.APPLIED
    assert outcomes[CRM].status is Status.QUARANTINED
    assert "wsdl file is not valid" in outcomes[CRM].message


async def test_an_api_of_another_sort_does_not_become_soap(old: Bed) -> None:
    await apply(old, {CRM: api("crm")})
    (outcome,) = await apply(old, {CRM: soap()})
    assert (outcome.status, outcome.reason) == (Status.QUARANTINED, "ObjectConflict")
    assert "give it another name" in outcome.message
    held = old.api("acme-crm")
    assert (held["type"], held["isActive"]) == ("REST", True)


def test_what_webmethods_cannot_do_of_a_soap_api_is_said_before_any_call() -> None:
    route = {"path": "/ws", "methods": ["GET"], "hosts": [], "stripPath": True}
    value = soap(routes=[route])
    assert RULES.losses is not None
    assert RULES.combined is not None
    (loss,) = RULES.losses(API, value)
    assert (loss.is_partial, loss.at) == (True, ("routes", 0, "methods"))
    cors = Spec.of({"api": "crm", "type": "cors", "config": {}})
    found = RULES.combined(Spec.of(value), {"cors": cors})
    assert [one.at for one in found] == [("policies", "cors")]


async def test_a_soap_api_that_was_made_by_hand_is_foreign_and_cannot_be_adopted(old: Bed) -> None:
    status, made = await old.person.upload(WSDL, "legacy", kind="wsdl")
    assert status == 201
    (item,) = await old.rig.adapter.list_apis()
    assert (item["gateway_id"], item["managed"]) == (made["apiResponse"]["api"]["id"], False)
    assert RULES.refuse_adoption is not None
    shown = (await old.rig.observe()).objects[0].spec.value
    assert "SOAP" in RULES.refuse_adoption(API, shown)
    routes = await old.rig.adapter.list_routes()
    assert routes is not None
    assert [route.pattern.text for route in routes] == ["/gateway/legacy/1.0"]

"""A plan that is written as one archive: what is imported, and what becomes of each object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import CatalogFiles, Resource
from tests.adapters.webmethods.double import WebMethodsDouble
from tests.adapters.webmethods.double.runtime import accepted_keys, target
from tests.adapters.webmethods.rig import webmethods_rig
from tests.adapters.webmethods.testbed import PETS, Person, without_ids
from tests.contract.rig import BILLING, CRM, LIMIT, MOBILE, Rig, api, resolve

Specs = Mapping[Key, Mapping[str, Any]]
IMPORT = "POST /rest/apigateway/archive"


DOCUMENT: dict[str, Any] = {**PETS, "openapi": "3.1.0"}


@dataclass
class Files:
    """Files of a catalog in memory."""

    held: Mapping[str, bytes]

    def read(self, path: str) -> bytes:
        return self.held[path]


@dataclass
class Bed:
    rig: Rig
    person: Person

    @property
    def double(self) -> WebMethodsDouble:
        return self.person.double

    async def apply(self, specs: Specs, files: CatalogFiles | None = None) -> list[Outcome]:
        await self.rig.driver.health()
        plan = await self.rig.plan(specs)
        self.double.requests.clear()

        def with_files(wanted: Resource) -> ObjectSpec:
            return replace(resolve("default", wanted), files=files)

        run = self.rig.driver.execute(plan, with_files, as_archive=True)
        outcomes = [outcome async for outcome in run]
        for outcome in outcomes:
            self.rig._record(outcome)
        return outcomes

    def writes(self) -> list[str]:
        """Writes since then, the import and searches left out."""
        found = [line for line in self.double.requests if not line.startswith("GET ")]
        found = [line.replace("/rest/apigateway", "") for line in found]
        return [without_ids(line) for line in found if not line.endswith(("/search", "/archive"))]

    @property
    def specs(self) -> dict[Key, dict[str, Any]]:
        """The small catalog, with an application that subscribes to the plan."""
        named = [{"api": "billing", "plan": "gold"}]
        return {**self.rig.specs, MOBILE: {**self.rig.specs[MOBILE], "subscriptions": named}}

    def imports(self) -> int:
        return self.double.requests.count(IMPORT)

    def record(self, name: str) -> dict[str, Any]:
        return next(one for one in self.double.store.apis if one["apiName"] == name)


@asynccontextmanager
async def bed(version: str = "10.15") -> AsyncIterator[Bed]:
    async with webmethods_rig(WebMethodsDouble(version), version) as (rig, person):
        await rig.driver.health()
        yield Bed(rig, person)


def by_key(outcomes: list[Outcome]) -> dict[Key, Status]:
    return {outcome.change.key: outcome.status for outcome in outcomes}


@pytest.mark.parametrize("version", ["10.15", "11"])
async def test_a_whole_environment_is_one_archive_and_the_next_plan_is_empty(version: str) -> None:
    async with bed(version) as here:
        outcomes = await here.apply(here.specs)
        assert {one.status for one in outcomes} == {Status.APPLIED}, [o.message for o in outcomes]
        assert here.imports() == 1
        # What an archive does not hold.
        assert set(here.writes()) == {"POST /urlaliases"}
        plan = await here.rig.plan(here.specs)
        assert plan.is_empty, plan.changes
        billing = here.record("acme-billing")
        assert billing["isActive"]
        assert target(here.double.store, billing) is not None
        assert "mobile-key-1" in accepted_keys(here.double.store, billing)


async def test_an_archive_changes_what_calls_wrote_under_its_ids_and_without_an_outage() -> None:
    async with bed() as here:
        await here.rig.converge()
        before = here.record("acme-billing")
        actions = set(here.double.store.action_ids(here.double.store.record(
            "policies", before["policies"][0])))  # fmt: skip
        specs = {**here.rig.specs, BILLING: {**here.rig.specs[BILLING], "version": "2.0.0",
                                             "displayName": "Bills"}}  # fmt: skip
        outcomes = await here.apply(specs)
        assert {one.status for one in outcomes} == {Status.APPLIED}, [o.message for o in outcomes]
        after = here.record("acme-billing")
        assert (after["id"], after["policies"]) == (before["id"], before["policies"])
        assert (after["apiVersion"], after["isActive"]) == ("2.0.0", True)
        policy = here.double.store.record("policies", after["policies"][0])
        assert set(here.double.store.action_ids(policy)) == actions
        assert not [line for line in here.writes() if "activate" in line]
        assert (await here.rig.plan(specs)).is_empty


@pytest.mark.parametrize("is_live", [False, True], ids=["new", "live"])
async def test_an_api_with_a_document_is_imported_with_it(is_live: bool) -> None:
    data = json.dumps(DOCUMENT).encode()
    path = "tenants/acme/apis/crm/openapi.json"
    openapi = {"path": path, "sha256": hashlib.sha256(data).hexdigest()}
    spec, files = api("crm", openapi=openapi), Files({path: data})
    async with bed() as here:
        if is_live:
            await here.apply({CRM: api("crm"), BILLING: api("billing")})
        specs = {CRM: spec, BILLING: api("billing", description="x")}
        outcomes = await here.apply(specs, files)
        assert {one.status for one in outcomes} == {Status.APPLIED}, [o.message for o in outcomes]
        record = here.record("acme-crm")
        assert record["isActive"]
        assert set(record["apiDefinition"]["paths"]) == set(DOCUMENT["paths"])
        plan = await here.rig.plan(specs)
        assert plan.is_empty, plan.changes
        # A policy alone keeps the document, which nobody has at hand then.
        limit = {**here.rig.specs[LIMIT], "api": "crm"}
        specs[CRM.policy("rate_limit")] = limit
        outcomes = await here.apply(specs)
        assert {one.status for one in outcomes} == {Status.APPLIED}, [o.message for o in outcomes]
        assert set(here.record("acme-crm")["apiDefinition"]["paths"]) == set(DOCUMENT["paths"])
        assert (await here.rig.plan(specs)).is_empty


async def test_an_api_that_is_served_and_unchanged_is_not_in_the_archive() -> None:
    async with bed() as here:
        await here.rig.converge()
        crm = here.record("acme-crm")["lastModified"]
        specs = {**here.rig.specs, BILLING: {**here.rig.specs[BILLING], "description": "new"}}
        await here.apply(specs)
        assert here.record("acme-crm")["lastModified"] == crm


async def test_nothing_is_overwritten_that_was_not_exported_for_it() -> None:
    async with bed() as here:
        await here.rig.converge()
        await here.rig.add_foreign()
        foreign = await here.rig.foreign_bytes()
        queries: list[str] = []
        post = here.double.imports.post

        async def spy(request: Any) -> Any:
            queries.append(request.query.get("overwrite", ""))
            return await post(request)

        here.double.imports.post = spy  # type: ignore[method-assign]
        specs = {**here.rig.specs, BILLING: {**here.rig.specs[BILLING], "description": "new"},
                 Key("api", "acme", "third"): api("third")}  # fmt: skip
        await here.apply(specs)
        assert queries == ["apis,policies,policyactions"]
        assert await here.rig.foreign_bytes() == foreign


async def test_one_asset_that_fails_fails_its_own_api_alone() -> None:
    async with bed() as here:
        identifier = BILLING.identifier("default")
        here.double.imports.failures[identifier] = "Internal error while saving"
        outcomes = await here.apply({BILLING: api("billing"), CRM: api("crm")})
        assert by_key(outcomes)[CRM] is Status.APPLIED
        failed = next(one for one in outcomes if one.change.key == BILLING)
        assert failed.status is not Status.APPLIED
        assert "Internal error while saving" in failed.message
        assert here.record("acme-crm")["isActive"]


async def test_a_policy_action_that_fails_is_said_of_its_api_and_its_policy() -> None:
    async with bed() as here:
        await here.rig.converge({BILLING: api("billing")})
        policy = here.double.store.record("policies", here.record("acme-billing")["policies"][0])
        here.double.imports.failures[policy["id"]] = "Asset already exists."
        specs = {BILLING: api("billing"), LIMIT: here.rig.specs[LIMIT]}
        outcomes = await here.apply(specs)
        assert by_key(outcomes)[LIMIT] is not Status.APPLIED
        assert "already exists" in outcomes[0].message


async def test_an_import_that_leaves_an_api_inactive_is_made_good() -> None:
    async with bed() as here:
        post = here.double.imports.post

        async def without_state(request: Any) -> Any:
            answer = await post(request)
            for one in here.double.store.apis:
                one["isActive"] = False
            return answer

        here.double.imports.post = without_state  # type: ignore[method-assign]
        outcomes = await here.apply({BILLING: api("billing")})
        assert by_key(outcomes) == {BILLING: Status.APPLIED}
        assert here.record("acme-billing")["isActive"]
        assert "PUT /apis/…/activate" in here.writes()


async def test_an_inactive_api_of_the_catalog_is_imported_inactive() -> None:
    async with bed() as here:
        outcomes = await here.apply({BILLING: api("billing", active=False), CRM: api("crm")})
        assert {one.status for one in outcomes} == {Status.APPLIED}
        assert not here.record("acme-billing")["isActive"]
        assert here.record("acme-crm")["isActive"]


async def test_deletions_come_after_the_import_by_calls() -> None:
    async with bed() as here:
        await here.rig.converge()
        specs = {BILLING: {**here.rig.specs[BILLING], "description": "new"}}
        outcomes = await here.apply(specs)
        assert {one.status for one in outcomes} == {Status.APPLIED}, [o.message for o in outcomes]
        assert {o.change.key for o in outcomes if o.change.action is Action.DELETE} == {
            CRM, LIMIT, MOBILE,
        }  # fmt: skip
        lines = here.double.requests
        deletions = [index for index, line in enumerate(lines) if line.startswith("DELETE ")]
        assert deletions
        assert lines.index(IMPORT) < min(deletions)
        assert [one["apiName"] for one in here.double.store.apis] == ["acme-billing"]


async def test_lists_that_lag_behind_an_import_are_waited_for() -> None:
    async with bed() as here:
        here.double.lag(2)
        outcomes = await here.apply(here.specs)
        assert {one.status for one in outcomes} == {Status.APPLIED}, [o.message for o in outcomes]
        assert (await here.rig.plan(here.specs)).is_empty


async def test_what_a_guard_holds_is_in_no_archive() -> None:
    async with bed() as here:
        plan = await here.rig.plan({BILLING: api("billing"), CRM: api("crm")})
        outcomes = await here.rig.execute(plan, held=frozenset({CRM}), as_archive=True)
        assert by_key(outcomes) == {BILLING: Status.APPLIED, CRM: Status.BLOCKED}
        assert [one["apiName"] for one in here.double.store.apis] == ["acme-billing"]


async def test_a_name_that_a_foreign_api_has_is_a_conflict_and_not_in_the_archive() -> None:
    async with bed() as here:
        await here.person.upload(PETS, "acme-billing")
        outcomes = await here.apply({BILLING: api("billing"), CRM: api("crm")})
        assert by_key(outcomes)[CRM] is Status.APPLIED
        failed = next(one for one in outcomes if one.change.key == BILLING)
        assert failed.reason == "ObjectConflict"
        assert here.record("acme-billing")["apiDefinition"]["info"]["title"] == "Pets"


async def test_two_new_apis_whose_paths_begin_alike_are_not_both_imported() -> None:
    def at(path: str) -> list[dict[str, Any]]:
        return [{"path": path, "methods": [], "hosts": [], "stripPath": True}]

    async with bed() as here:
        outcomes = await here.apply(
            {BILLING: api("billing", routes=at("/bill")), CRM: api("crm", routes=at("/billing"))}
        )
        reasons = sorted(one.reason for one in outcomes)
        assert reasons == ["", "ObjectConflict"]


async def test_a_lost_answer_fails_all_and_the_next_cycle_goes_on() -> None:
    async with bed() as here:
        here.double.faults.fail("POST */archive", 502, is_done=True)
        outcomes = await here.apply(here.rig.specs)
        assert Status.APPLIED not in by_key(outcomes).values()
        assert here.imports() == 1
        outcomes = await here.apply(here.rig.specs)
        assert {one.status for one in outcomes} <= {Status.APPLIED}, [o.message for o in outcomes]
        assert (await here.rig.plan(here.rig.specs)).is_empty


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "Sign in"),
        (201, {"x": 1}),
        (201, {"ArchiveResult": []}),
        (400, {"errorDetails": "no"}),
    ],
)
async def test_an_answer_that_tells_of_nothing_is_no_success(status: int, body: Any) -> None:
    async with bed() as here:
        here.double.faults.fail("POST */archive", status, body)
        outcomes = await here.apply({BILLING: api("billing")})
        assert Status.APPLIED not in by_key(outcomes).values()


async def test_secrets_are_in_the_archive_and_in_no_message() -> None:
    async with bed() as here:
        body = {"errorDetails": " cannot save mobile-key-1"}
        here.double.faults.fail("POST */archive", 400, body)
        outcomes = await here.apply(here.rig.specs)
        assert "mobile-key-1" not in repr([one.message for one in outcomes])

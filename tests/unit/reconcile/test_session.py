"""The steps of a cycle, one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from stoa_gitops.errors import LeaseHeld, ObjectConflict, UsageError
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.reconcile.cycle import apply_plan, prepare_plan
from stoa_gitops.reconcile.guards import BASE_URL_CHANGED, OWNER_CHANGED
from stoa_gitops.reconcile.plan_cache import PlanCache
from stoa_gitops.reconcile.quarantine import refusals
from stoa_gitops.reconcile.session import OVERTAKEN, Assignment, scope_of
from stoa_gitops.reconcile.suspension import suspend
from stoa_gitops.store import CycleEntry
from tests.unit.reconcile.rig import Rig, rig
from tests.unit.reconcile.world import BILLING, NOW, resource


async def converge(one: Rig) -> None:
    prepared = await prepare_plan(one.session, one.assignment(resource()))
    report = await apply_plan(one.session, prepared, digest="d")
    assert report.is_converged


async def test_desired_brings_what_was_applied_last(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        await converge(one)
        desired = await one.session.load_desired(one.session.begin(one.assignment(resource())))
        assert set(desired.stored.records) == {BILLING}
        assert desired.run.started_at == NOW


async def test_observe_tells_ours_from_foreign(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        await converge(one)
        one.gateway.add_foreign(named("theirs"), Spec.of({"displayName": "x"}))
        await one.session.check_health()
        desired = await one.session.load_desired(one.session.begin(one.assignment()))
        actual = await one.session.observe(desired)
        assert {(seen.key.name, seen.managed) for seen in actual.objects} == {
            ("billing", True),
            ("theirs", False),
        }


def named(name: str) -> Key:
    return BILLING._replace(name=name)


async def test_plan_names_the_reference_that_cannot_be_resolved(tmp_path: Path) -> None:
    secret = resource(spec={"displayName": "b", "password": {"$secret": "env:NOT_SET_HERE"}})
    async with rig(tmp_path) as one:
        prepared = await prepare_plan(one.session, one.assignment(secret))
        (warning,) = prepared.plan.warnings
        assert warning == "no value here for env:NOT_SET_HERE: whether it changed is not known"


async def test_plan_of_an_adoption_has_nothing_but_the_adoption(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        one.gateway.add_foreign(BILLING, Spec.of({"displayName": "theirs"}))
        other = resource(BILLING._replace(name="other"))
        wanted = one.assignment(resource(), other)
        prepared = await prepare_plan(one.session, wanted, [BILLING])
        assert [change.action for change in prepared.plan.changes] == [Action.ADOPT]
        with pytest.raises(UsageError, match="does not exist on kong"):
            await prepare_plan(one.session, wanted, [other.key])


async def test_guard_holds_every_change_at_another_base_url(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        await converge(one)
    async with rig(tmp_path, base_url="memory://elsewhere") as one:
        prepared = await prepare_plan(one.session, one.assignment(resource()))
        (hold,) = prepared.plan.holds
        assert hold.reason == BASE_URL_CHANGED
        assert "baseUrl was memory://kong" in hold.message
        assert set(hold.keys) == {change.key for change in prepared.plan.changes}
        assert not prepared.has_work


async def test_a_registered_gateway_is_the_same_one_at_another_address(tmp_path: Path) -> None:
    async with rig(tmp_path, base_url="memory://pod-1", registration_id="4d1d") as one:
        await converge(one)
    async with rig(tmp_path, base_url="memory://pod-2", registration_id="4d1d") as one:
        prepared = await prepare_plan(one.session, one.assignment(resource()))
        assert prepared.plan.holds == ()
        assert prepared.stored is not None
        assert prepared.stored.scope.base_url == "registered:4d1d"
        # The other address has nothing yet, and what is known of the first one counts there.
        assert [change.action for change in prepared.plan.changes] == [Action.CREATE]
        assert prepared.stored.records


async def test_guard_holds_a_catalog_that_lost_its_name(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:

        def named(owner: str) -> Assignment:
            wanted = one.assignment(resource())
            return replace(wanted, desired=replace(wanted.desired, owner=owner))

        prepared = await prepare_plan(one.session, named("payments"))
        assert not prepared.plan.holds
        await apply_plan(one.session, prepared, digest="d")
        (hold,) = (await prepare_plan(one.session, named("default"))).plan.holds
        assert hold.reason == OWNER_CHANGED
        assert (
            "applied the catalog payments to the gateway: is catalog.yaml missing?" in hold.message
        )
        assert not (await prepare_plan(one.session, named("billing"))).plan.holds
        assert not (await prepare_plan(one.session, named("payments"))).plan.holds
    async with rig(tmp_path, base_url="memory://elsewhere") as one:
        assert not (await prepare_plan(one.session, one.assignment(resource()))).plan.holds


async def test_write_holds_the_lease(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        prepared = await prepare_plan(one.session, one.assignment(resource()))
        async with one.session.write(prepared, "d"):
            with pytest.raises(LeaseHeld, match="anna@laptop"):
                await one.store.acquire_lease("kong", "ben", timedelta(seconds=60), NOW)
        await converge(one)


async def test_write_notices_that_another_process_applied_meanwhile(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        late = await prepare_plan(one.session, one.assignment(resource()))
        await converge(one)
        with pytest.raises(LeaseHeld, match=OVERTAKEN):
            async with one.session.write(late, "d"):
                raise AssertionError("nothing may be written")


async def test_what_was_written_before_an_interruption_is_recorded(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        prepared = await prepare_plan(one.session, one.assignment(resource()))

        async def interrupted() -> None:
            async with one.session.write(prepared, "d") as writer:
                async for batch in writer.apply():
                    writer.recorder.outcomes += await writer.verify(batch)
                    raise RuntimeError("interrupted")

        with pytest.raises(RuntimeError, match="interrupted"):
            await interrupted()
        desired = await one.session.load_desired(one.session.begin(one.assignment()))
        assert set(desired.stored.records) == {BILLING}


async def test_messages_are_recorded_without_the_secrets_that_were_written(
    tmp_path: Path,
) -> None:
    wanted = resource(spec={"displayName": "b", "password": {"$secret": "env:ACME_KEY"}})
    async with rig(tmp_path) as one:
        one.env["ACME_KEY"] = "hunter2"
        prepared = await prepare_plan(one.session, one.assignment(wanted))
        async with one.session.write(prepared, "d") as writer:
            async for batch in writer.apply():
                await writer.record([replace(o, message="bad hunter2") for o in batch])
        assert [outcome.message for outcome in writer.outcomes] == ["bad ***"]


async def test_a_suspension_comes_from_the_document_or_from_a_person(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        assignment = one.assignment()
        assert await one.session.find_suspension(assignment) == ""
        stopped = replace(assignment, instance=replace(assignment.instance, suspended=True))
        assert "gateways/kong.yaml" in await one.session.find_suspension(stopped)
        await suspend(one.store, "kong", "anna", NOW)
        assert "suspended by anna" in await one.session.find_suspension(assignment)


async def test_an_object_that_another_one_was_in_the_way_of_waits_until_anything_changes(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path) as one:
        await converge(one)
        wanted = resource(named("new"))
        assignment = one.assignment(resource(), wanted)
        change = Change(Action.CREATE, wanted.key, wanted)
        outcome = Outcome(change, Status.QUARANTINED, ObjectConflict.reason, "theirs has the key")
        entries = tuple(refusals([outcome], assignment.desired, {}, one.driver.title, NOW))
        entry = CycleEntry("anna", "main@1", "d", NOW, quarantined=entries)
        await one.store.record_cycle(scope_of(assignment), entry)

        async def tries() -> bool:
            plan = (await prepare_plan(one.session, assignment)).plan
            return wanted.key in {change.key for change in plan.changes}

        assert [await tries(), await tries()] == [True, False]
        one.gateway.add_foreign(named("theirs"), Spec.of({"displayName": "x"}))
        assert [await tries(), await tries()] == [True, False]
        assignment = one.assignment(resource(), wanted)
        assert await tries(), "a new revision of the catalog"
        one.cache = PlanCache()
        assert await tries(), "a new process"

"""One cycle: which steps it takes, in which order, and where it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.adapters.memory.server import Fault
from stoa_gitops.model.conditions import ConditionStatus
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.reconcile.conditions import cycle_conditions
from stoa_gitops.reconcile.cycle import cycle
from stoa_gitops.reconcile.session import GatewaySession
from stoa_gitops.reconcile.suspension import suspend
from tests.unit.reconcile.rig import rig
from tests.unit.reconcile.world import BILLING, NOW, resource

FIRST_HALF = ["check_health", "load_desired", "observe", "plan", "guard"]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that sessions take, noted as they are called."""
    taken: list[str] = []

    def watch(name: str) -> None:
        real = getattr(GatewaySession, name)

        def noted(self: GatewaySession, *args: Any, **options: Any) -> Any:
            taken.append(name)
            return real(self, *args, **options)

        monkeypatch.setattr(GatewaySession, name, noted)

    for name in (*FIRST_HALF, "write"):
        watch(name)
    return taken


async def test_a_cycle_takes_its_steps_in_order(tmp_path: Path, steps: list[str]) -> None:
    async with rig(tmp_path) as one:
        result = await cycle(one.session, one.assignment(resource()))
    assert steps == [*FIRST_HALF, "write"]
    assert [outcome.status for outcome in result.report.outcomes] == [Status.APPLIED]
    assert result.is_ok


async def test_what_the_health_check_warns_of_is_in_the_plan_and_beside_in_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = GatewaySession.check_health

    async def check_health(self: GatewaySession) -> AdapterResult:
        return replace(await real(self), warnings=("it serves none",))

    monkeypatch.setattr(GatewaySession, "check_health", check_health)
    async with rig(tmp_path) as one:
        result = await cycle(one.session, one.assignment(resource()))
    assert result.report.plan.warnings == ("it serves none",)
    found = {one.type: one for one in cycle_conditions(result, 1, NOW)}
    assert found["InSync"].status is ConditionStatus.TRUE
    assert found["InSync"].message == "it serves none"


async def test_a_cycle_without_changes_writes_nothing(tmp_path: Path, steps: list[str]) -> None:
    async with rig(tmp_path) as one:
        await cycle(one.session, one.assignment(resource()))
        steps.clear()
        result = await cycle(one.session, one.assignment(resource()))
    assert steps == FIRST_HALF
    assert (result.report.outcomes, result.is_ok) == ((), True)


@pytest.mark.parametrize(
    ("operation", "taken"), [("health", FIRST_HALF[:1]), ("list", FIRST_HALF[:3])]
)
async def test_a_gateway_that_cannot_be_read_ends_the_cycle(
    tmp_path: Path, steps: list[str], operation: str, taken: list[str]
) -> None:
    async with rig(tmp_path) as one:
        one.gateway.fail(Fault.BUSY, operation)
        result = await cycle(one.session, one.assignment(resource()))
    assert steps == taken
    assert not result.report.plan.complete
    assert (result.is_ok, result.reason, result.retry_after) == (False, "GatewayBusy", 7.0)


async def test_a_suspended_gateway_is_planned_and_not_written_to(
    tmp_path: Path, steps: list[str]
) -> None:
    async with rig(tmp_path) as one:
        await suspend(one.store, "kong", "anna", NOW, "maintenance")
        result = await cycle(one.session, one.assignment(resource()))
        assert one.gateway.objects == {}
    assert steps == FIRST_HALF
    assert len(result.report.plan.changes) == 1
    assert "maintenance" in result.suspended


async def test_a_refused_object_is_tried_again_an_hour_later(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        one.gateway.refused.add(BILLING.identifier("default"))
        first = await cycle(one.session, one.assignment(resource()))
        assert [outcome.status for outcome in first.report.outcomes] == [Status.QUARANTINED]
        second = await cycle(one.session, one.assignment(resource()))
        assert second.report.outcomes == ()
        assert second.next_check == NOW + timedelta(hours=1)


async def test_a_failed_change_makes_the_cycle_unwell(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        one.gateway.fail(Fault.HALF_WRITTEN, "put")
        result = await cycle(one.session, one.assignment(resource()))
    assert [outcome.reason for outcome in result.report.outcomes] == ["HalfWritten"]
    assert not result.is_ok


async def test_a_place_that_was_freed_is_given_away_in_a_cycle_right_after(tmp_path: Path) -> None:
    """Who waits for it is held until the removal was applied, and no longer."""
    newcomer = Key("api", "globex", "invoices")
    spec = {"routes": [{"path": "/invoices", "methods": [], "hosts": []}]}
    async with rig(tmp_path) as one:
        kept = resource(Key("api", BILLING.tenant, "kept"))
        await cycle(one.session, one.assignment(resource(BILLING, spec), kept))
        only = one.assignment(resource(newcomer, spec), kept)
        first = await cycle(one.session, only)
        assert [str(change.key) for change in first.report.plan.changes] == [str(BILLING)]
        assert first.next_check == NOW
        second = await cycle(one.session, only)
        assert [str(change.key) for change in second.report.plan.changes] == [str(newcomer)]
        assert second.next_check is None

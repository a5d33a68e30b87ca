"""Outcomes on their way into the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from stoa_gitops.errors import StoreError
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.planning import InventoryUpdates
from stoa_gitops.reconcile.recorder import FLUSH_EVERY, Recorder, applied_records
from stoa_gitops.reconcile.session import scope_of
from stoa_gitops.store import CycleEntry, Quarantined
from tests.unit.reconcile.rig import Rig, rig
from tests.unit.reconcile.world import BILLING, NOW, resource

CRM = Key("api", "acme", "crm")


def refusals(outcomes: Sequence[Outcome]) -> Iterator[Quarantined]:
    for outcome in outcomes:
        if outcome.status is Status.QUARANTINED:
            yield Quarantined(outcome.change.key, "digest", "1.0", outcome.message, NOW)


async def recorder(one: Rig, updates: InventoryUpdates | None = None) -> Recorder:
    stored = await one.store.read_state(scope_of(one.assignment()))
    entry = CycleEntry("anna", "main@1", "d", NOW)
    return Recorder(one.store, stored, entry, updates or InventoryUpdates(), refusals)


def outcome(key: Key, status: Status, action: Action = Action.CREATE) -> Outcome:
    wanted = None if action is Action.DELETE else resource(key)
    return Outcome(Change(action, key, wanted), status, gateway_id="7", message="no")


def test_only_what_was_applied_becomes_a_record() -> None:
    found = [
        outcome(BILLING, Status.APPLIED),
        outcome(CRM, Status.FAILED),
        outcome(Key("api", "acme", "gone"), Status.APPLIED, Action.DELETE),
    ]
    records, removed = applied_records(found, "main@1", {})
    assert [(record.key, record.revision) for record in records] == [(BILLING, "main@1")]
    assert removed == (Key("api", "acme", "gone"),)


async def test_it_is_due_after_so_many_outcomes(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        made = await recorder(one)
        made.outcomes += [outcome(BILLING, Status.FAILED)] * (FLUSH_EVERY - 1)
        assert not made.is_due
        made.outcomes.append(outcome(BILLING, Status.FAILED))
        assert made.is_due
        await made.write_outcomes()
        assert (made.is_due, list(made.unwritten)) == (False, [])


async def test_each_outcome_is_written_once_with_its_refusal(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        scope = scope_of(one.assignment())
        made = await recorder(one)
        made.outcomes.append(outcome(BILLING, Status.APPLIED))
        await made.write_outcomes()
        made.outcomes.append(outcome(CRM, Status.QUARANTINED))
        await made.write_outcomes()
        await made.write_outcomes()
        assert set(await one.store.load_records(scope)) == {BILLING}
        assert set(await one.store.load_quarantine(scope)) == {CRM}
        assert [cycle.counts for cycle in await one.store.list_cycles("kong")] == [
            {"quarantined": 1},
            {"applied": 1},
        ]


async def test_without_anything_to_write_there_is_no_cycle_in_the_store(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        await (await recorder(one)).write_outcomes()
        assert await one.store.list_cycles("kong") == []


async def test_inventory_updates_are_written_without_any_outcome_and_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        (record,), _ = applied_records([outcome(BILLING, Status.APPLIED)], "main@1", {})
        made = await recorder(one, InventoryUpdates((record,)))
        await made.write_outcomes()
        await made.write_outcomes()
        assert set(await one.store.load_records(scope_of(one.assignment()))) == {BILLING}
        assert len(await one.store.list_cycles("kong")) == 1


async def test_what_could_not_be_written_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as one:
        made = await recorder(one)
        made.outcomes.append(outcome(BILLING, Status.APPLIED))

        async def full(*_: object) -> int:
            raise StoreError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(type(one.store), "record_cycle", full)
            with pytest.raises(StoreError):
                await made.write_outcomes()
        await made.write_outcomes()
        assert set(await one.store.load_records(scope_of(one.assignment()))) == {BILLING}

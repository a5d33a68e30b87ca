"""Inventory, history, audit, quarantine and conditions: what goes in comes out, whole or not at all."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from stoa_gitops.model.conditions import Condition, ConditionStatus
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.model.secret import Secret
from stoa_gitops.store import AuditEntry, Scope, Store
from stoa_gitops.store.records import MESSAGE_LIMIT
from tests.unit.store.world import (
    BILLING,
    CRM,
    NOW,
    SCOPE,
    Clock,
    entry,
    outcome,
    record,
    set_aside,
)


def test_a_record_comes_back_as_it_was(store: Store) -> None:
    kept = record(secret_hmacs={"credentials.0.key": "ab"}, adopted=True, protected=True)
    store.record(SCOPE, entry(records=(kept, record(CRM))))
    assert store.load(SCOPE) == {BILLING: kept, CRM: record(CRM)}


def test_a_key_without_tenant_and_a_name_outside_ascii_survive(store: Store) -> None:
    kept = record(Key("alias", "", "écho"))
    store.remember(SCOPE, [kept])
    assert store.load(SCOPE) == {kept.key: kept}


def test_records_outlive_the_process(store: Store, folder: Path) -> None:
    store.record(SCOPE, entry(records=(record(),)))
    store.close()
    with Store.open(folder) as again:
        assert again.load(SCOPE) == {BILLING: record()}


@pytest.mark.parametrize(
    "other",
    [
        Scope("other", SCOPE.gateway, SCOPE.base_url),
        Scope(SCOPE.owner, "kong-dev", SCOPE.base_url),
        Scope(SCOPE.owner, SCOPE.gateway, "https://elsewhere"),
    ],
)
def test_scopes_do_not_see_each_other(store: Store, other: Scope) -> None:
    store.record(SCOPE, entry(records=(record(),), quarantined=(set_aside(CRM),)))
    assert store.load(other) == {}
    assert store.quarantined(other) == {}
    store.record(other, entry(removed=(BILLING, CRM)))
    assert store.load(SCOPE) == {BILLING: record()}


def test_a_removed_key_is_gone_and_removing_it_again_is_no_error(store: Store) -> None:
    store.record(SCOPE, entry(records=(record(),)))
    for _ in range(2):
        store.record(SCOPE, entry(removed=(BILLING,)))
        assert store.load(SCOPE) == {}


def test_a_cycle_is_stored_whole_or_not_at_all(store: Store) -> None:
    store.record(SCOPE, entry(records=(record(),)))
    # a lone surrogate cannot be stored: the outcome fails after records were written
    bad = outcome(message="\ud800")
    with pytest.raises(UnicodeEncodeError):
        store.record(SCOPE, entry(records=(record(CRM),), removed=(BILLING,), outcomes=(bad,)))
    assert store.load(SCOPE) == {BILLING: record()}
    assert len(store.cycles()) == 1
    assert store.audit() == []


def test_the_base_url_under_which_a_gateway_was_worked_is_known(store: Store) -> None:
    assert store.known_base_url("default", "kong-prod") is None
    store.record(SCOPE, entry())
    assert store.known_base_url("default", "kong-prod") == SCOPE.base_url
    moved = Scope("default", "kong-prod", "https://new")
    store.remember(moved, [record()])
    assert store.known_base_url("default", "kong-prod") == "https://new"
    assert store.known_base_url("other", "kong-prod") is None


def test_scopes_lists_records_quarantine_and_what_was_worked_only(store: Store) -> None:
    other = Scope("default", "gone", "http://g")
    refused = Scope("default", "refused", "http://r")
    worked = Scope("default", "worked", "http://w")
    for scope in (SCOPE, other, Scope("other", "x", "y")):
        store.remember(scope, [record()])
    store.record(refused, entry(quarantined=(set_aside(),)))
    store.record(worked, entry())
    assert store.scopes("default") == [other, SCOPE, refused, worked]


def test_what_is_set_aside_keeps_its_place_and_a_new_refusal_moves_it(store: Store) -> None:
    for line in (3, 7):
        place = SourceRef("tenants/acme/apis/billing/api.yaml", line, 2)
        store.record(SCOPE, entry(quarantined=(replace(set_aside(), source=place),)))
        assert store.quarantined(SCOPE)[BILLING].source == place


def test_forgetting_a_gateway_drops_everything_but_its_history(store: Store) -> None:
    store.record(
        SCOPE, entry(records=(record(),), quarantined=(set_aside(CRM),), outcomes=(outcome(),))
    )
    assert store.forget("default", "kong-prod", "https://another") == 0
    assert store.forget("default", "kong-prod") == 1
    assert store.load(SCOPE) == {}
    assert store.quarantined(SCOPE) == {}
    assert store.known_base_url("default", "kong-prod") is None
    assert len(store.cycles()) == len(store.audit()) == 1


def test_a_cycle_comes_back_with_its_outcomes_in_order(store: Store, clock: Clock) -> None:
    clock.pass_time(seconds=5)
    outcomes = (
        outcome(CRM),
        outcome(BILLING, Status.FAILED, "no"),
        outcome(BILLING, Status.BLOCKED),
    )
    number = store.record(SCOPE, entry(outcomes=outcomes, error="half"))
    (cycle,) = store.cycles("kong-prod")
    assert cycle.id == number
    assert cycle.scope == SCOPE
    assert (cycle.started_at, cycle.finished_at) == (NOW, NOW + timedelta(seconds=5))
    assert cycle.counts == {"applied": 1, "failed": 1, "blocked": 1}
    assert (cycle.actor, cycle.revision, cycle.digest, cycle.error) == (
        "run", "main@1", "9c1f0a77", "half",
    )  # fmt: skip
    assert [(o.key, o.status, o.message) for o in store.outcomes(number)] == [
        (CRM, "applied", ""),
        (BILLING, "failed", "no"),
        (BILLING, "blocked", ""),
    ]


def test_only_the_newest_cycles_of_each_gateway_are_kept(store: Store) -> None:
    other = Scope("default", "other", "u")
    first = store.record(other, entry(outcomes=(outcome(),)))
    numbers = [store.record(SCOPE, entry(outcomes=(outcome(),))) for _ in range(5)]
    assert [cycle.id for cycle in store.cycles("kong-prod")] == numbers[:1:-1]
    assert [cycle.id for cycle in store.cycles()] == [*numbers[:1:-1], first]
    assert store.outcomes(numbers[0]) == []
    assert len(store.outcomes(first)) == 1


def test_cycles_and_audit_come_in_pages(store: Store) -> None:
    numbers = [store.record(SCOPE, entry(outcomes=(outcome(),))) for _ in range(3)]
    assert [c.id for c in store.cycles(limit=2)] == [numbers[2], numbers[1]]
    assert [c.id for c in store.cycles(limit=2, before=numbers[1])] == [numbers[0]]
    page = store.audit(limit=2)
    assert len(store.audit(before=page[-1].id)) == 1


def test_the_audit_trail_says_who_did_what_and_leaves_out_what_touched_nothing(
    store: Store,
) -> None:
    outcomes = (
        outcome(message="said no"),
        outcome(CRM, Status.UNCHANGED),
        outcome(CRM, Status.BLOCKED),
    )
    store.record(SCOPE, entry(outcomes=outcomes))
    (found,) = store.audit("kong-prod")
    assert (found.at, found.actor, found.gateway, found.key) == (
        NOW, "run", "kong-prod", "api/acme/billing",
    )  # fmt: skip
    assert (found.action, found.status, found.message) == ("update", "applied", "said no")
    assert store.audit("other") == []


def test_the_audit_trail_is_bounded_and_long_messages_are_cut(store: Store) -> None:
    entries = [AuditEntry(NOW, "me", "g", str(n), "register", "ok", "x" * 9_999) for n in range(9)]
    store.add_audit(entries)
    kept = store.audit()
    assert [found.key for found in kept] == ["8", "7", "6", "5", "4"]
    assert {len(found.message) for found in kept} == {MESSAGE_LIMIT}


def test_quarantine_is_kept_with_the_first_time_until_the_spec_changes(store: Store) -> None:
    later = NOW + timedelta(hours=1)
    store.record(SCOPE, entry(quarantined=(set_aside(),)))
    store.record(SCOPE, entry(quarantined=(set_aside(since=later),)))
    assert store.quarantined(SCOPE) == {BILLING: set_aside()}
    assert store.quarantined(SCOPE)[BILLING].last_try == later
    store.record(SCOPE, entry(quarantined=(set_aside(digest="d2", since=later),)))
    assert store.quarantined(SCOPE) == {BILLING: set_aside(digest="d2", since=later)}


def test_quarantine_ends_with_an_apply_a_removal_or_a_person(store: Store) -> None:
    both = (set_aside(BILLING), set_aside(CRM))
    store.record(SCOPE, entry(quarantined=both))
    store.record(SCOPE, entry(records=(record(BILLING),), removed=(CRM,)))
    assert store.quarantined(SCOPE) == {}
    store.record(SCOPE, entry(quarantined=both))
    assert store.release_quarantine(SCOPE, [BILLING]) == 1
    assert store.quarantined(SCOPE).keys() == {CRM}
    assert store.release_quarantine(SCOPE) == 1


def condition(status: ConditionStatus, at: datetime) -> Condition:
    return Condition("GatewayReachable", status, "Answered", "fine", 1, at)


def test_conditions_keep_the_time_of_their_last_transition(store: Store) -> None:
    later = NOW + timedelta(minutes=1)
    store.set_conditions("kong-prod", [condition(ConditionStatus.TRUE, NOW)])
    assert (
        store.set_conditions("kong-prod", [condition(ConditionStatus.TRUE, later)])[
            0
        ].last_transition
        == NOW
    )
    (moved,) = store.set_conditions("kong-prod", [condition(ConditionStatus.FALSE, later)])
    assert moved == condition(ConditionStatus.FALSE, later)
    assert store.conditions("kong-prod") == (moved,)
    assert store.conditions("catalog") == ()


def test_setting_one_condition_leaves_the_others(store: Store) -> None:
    other = Condition("Synced", ConditionStatus.UNKNOWN, "NotLooked", "", 0, NOW)
    store.set_conditions("g", [other])
    assert store.set_conditions("g", [condition(ConditionStatus.TRUE, NOW)]) == (
        condition(ConditionStatus.TRUE, NOW),
        other,
    )


def test_a_time_without_zone_is_refused(store: Store) -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(ValueError, match="zone"):
        store.add_audit([AuditEntry(naive, "me", "g", "k", "a", "ok")])


def test_fingerprints_are_keyed_and_the_key_is_not_in_the_database(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    mark = store.fingerprint(Secret("hunter2"))
    assert len(mark) == 64
    assert store.fingerprint("hunter2") == mark
    assert store.fingerprints({"env:A": Secret("hunter2"), "env:B": None}) == {
        "env:A": mark,
        "env:B": None,
    }
    with Store.open(tmp_path / "other") as other:
        assert other.fingerprint("hunter2") != mark
    store.close()
    key = (folder / "hmac.key").read_bytes()
    assert len(key) == 32
    assert all(key not in path.read_bytes() for path in folder.glob("state.db*"))
    with Store.open(folder) as again:
        assert again.fingerprint("hunter2") == mark


def test_using_it_from_another_thread_is_a_mistake_that_shows(store: Store) -> None:
    import threading

    caught: list[BaseException] = []

    def use() -> None:
        try:
            store.load(SCOPE)
        except sqlite3.ProgrammingError as error:
            caught.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_the_version_moves_with_every_write_of_anybody_and_with_nothing_else(
    store: Store, folder: Path
) -> None:
    before = store.version()
    store.load(SCOPE)
    assert store.version() == before
    store.record(SCOPE, entry(records=(record(),)))
    mine = store.version()
    assert mine != before
    with Store.open(folder) as other:
        other.record(SCOPE, entry(removed=(BILLING,)))
    assert store.version() != mine

"""What every store does: inventory, history, audit trail, quarantine, conditions, leases, hashes.

Runs over the protocol, once for each implementation in `world.STORES`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from stoa_gitops.errors import LeaseHeld
from stoa_gitops.fleet.identity import Mode
from stoa_gitops.fleet.registration import MemberRecord, Registration
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.conditions import Condition, ConditionStatus
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.resources import Resource, SourceRef
from stoa_gitops.model.secret import Secret
from stoa_gitops.store import AuditEntry, PublishedRecord, Retention, Scope, Store
from stoa_gitops.store.records import MESSAGE_LIMIT
from tests.unit.store.world import (
    BILLING,
    CRM,
    NOW,
    SCOPE,
    STORES,
    TTL,
    Clock,
    entry,
    outcome,
    record,
    refused,
)

SOURCE = SourceRef("tenants/acme/apis/billing/api.yaml")


async def base_url(store: Store, owner: str, gateway: str) -> str | None:
    return (await store.read_state(Scope(owner, gateway, "any"))).base_url


# records


async def test_a_record_comes_back_as_it_was(store: Store) -> None:
    billing = record(secret_hmacs={"credentials.0.key": "ab"}, adopted=True, protected=True)
    await store.record_cycle(SCOPE, entry(records=(billing, record(CRM))))
    assert await store.load_records(SCOPE) == {BILLING: billing, CRM: record(CRM)}


async def test_a_key_without_tenant_and_a_name_outside_ascii_survive(store: Store) -> None:
    alias = record(Key("alias", "", "écho"))
    await store.record_cycle(SCOPE, entry(records=(alias,)))
    assert await store.load_records(SCOPE) == {alias.key: alias}


@pytest.mark.parametrize("name", STORES)
async def test_records_outlive_the_process(name: str, folder: Path, clock: Clock) -> None:
    store = await STORES[name](folder, clock, Retention())
    await store.record_cycle(SCOPE, entry(records=(record(),)))
    await store.close()
    again = await STORES[name](folder, clock, Retention())
    assert await again.load_records(SCOPE) == {BILLING: record()}
    await again.close()


@pytest.mark.parametrize(
    "other",
    [
        Scope("other", SCOPE.gateway, SCOPE.base_url),
        Scope(SCOPE.owner, "kong-dev", SCOPE.base_url),
        Scope(SCOPE.owner, SCOPE.gateway, "https://elsewhere"),
    ],
)
async def test_scopes_do_not_see_each_other(store: Store, other: Scope) -> None:
    await store.record_cycle(SCOPE, entry(records=(record(),), quarantined=(refused(CRM),)))
    assert await store.load_records(other) == {}
    assert await store.load_quarantine(other) == {}
    await store.record_cycle(other, entry(removed=(BILLING, CRM)))
    assert await store.load_records(SCOPE) == {BILLING: record()}


async def test_a_removed_key_is_gone_and_removing_it_again_is_no_error(store: Store) -> None:
    await store.record_cycle(SCOPE, entry(records=(record(),)))
    for _ in range(2):
        await store.record_cycle(SCOPE, entry(removed=(BILLING,)))
        assert await store.load_records(SCOPE) == {}


async def test_a_cycle_is_stored_whole_or_not_at_all(store: Store) -> None:
    await store.record_cycle(SCOPE, entry(records=(record(),)))
    # A lone surrogate cannot be stored: the outcome fails after records were written.
    bad = outcome(message="\ud800")
    with pytest.raises(UnicodeEncodeError):
        await store.record_cycle(
            SCOPE, entry(records=(record(CRM),), removed=(BILLING,), outcomes=(bad,))
        )
    assert await store.load_records(SCOPE) == {BILLING: record()}
    assert len(await store.list_cycles()) == 1
    assert await store.list_audit() == []


async def test_the_base_url_under_which_a_gateway_was_reconciled_is_known(store: Store) -> None:
    assert await base_url(store, "default", "kong-prod") is None
    await store.record_cycle(SCOPE, entry())
    assert await base_url(store, "default", "kong-prod") == SCOPE.base_url
    moved = Scope("default", "kong-prod", "https://new")
    await store.record_cycle(moved, entry(records=(record(),)))
    assert await base_url(store, "default", "kong-prod") == "https://new"
    assert await base_url(store, "other", "kong-prod") is None


async def test_scopes_lists_records_quarantine_and_what_was_reconciled_only(store: Store) -> None:
    other = Scope("default", "gone", "http://g")
    with_refusal = Scope("default", "refused", "http://r")
    empty = Scope("default", "worked", "http://w")
    for scope in (SCOPE, other, Scope("other", "x", "y")):
        await store.record_cycle(scope, entry(records=(record(),)))
    await store.record_cycle(with_refusal, entry(quarantined=(refused(),)))
    await store.record_cycle(empty, entry())
    assert await store.list_scopes("default") == [other, SCOPE, with_refusal, empty]


async def test_forgetting_objects_drops_them_alone_and_is_audited(store: Store) -> None:
    other = Scope("default", "kong-prod", "https://another")
    for scope in (SCOPE, other):
        await store.record_cycle(scope, entry(records=(record(), record(CRM))))
    await store.record_cycle(SCOPE, entry(quarantined=(refused(),)))
    before = await store.read_state(SCOPE)
    who = AuditEntry(NOW, "me", "kong-prod", str(BILLING), "forget", "applied")
    await store.forget_objects(SCOPE, [BILLING, Key("api", "acme", "nothing")], [who])
    assert set(await store.load_records(SCOPE)) == {CRM}
    assert await store.load_quarantine(SCOPE) == {}
    assert set((await store.read_state(SCOPE, before)).records) == {CRM}
    assert set(await store.load_records(other)) == {BILLING, CRM}
    assert [e.action for e in await store.list_audit()] == ["forget"]


async def test_forgetting_a_gateway_drops_everything_but_its_history(store: Store) -> None:
    await store.record_cycle(
        SCOPE, entry(records=(record(),), quarantined=(refused(CRM),), outcomes=(outcome(),))
    )
    assert await store.forget_gateway("default", "kong-prod", "https://another") == 0
    assert await store.forget_gateway("default", "kong-prod") == 1
    assert await store.load_records(SCOPE) == {}
    assert await store.load_quarantine(SCOPE) == {}
    assert await base_url(store, "default", "kong-prod") is None
    assert len(await store.list_cycles()) == len(await store.list_audit()) == 1


# the state of one gateway


async def test_the_state_of_a_gateway_holds_everything_that_planning_needs(store: Store) -> None:
    await store.save_conditions("kong-prod", [condition(ConditionStatus.TRUE, NOW)])
    number = await store.record_cycle(
        SCOPE, entry(records=(record(),), quarantined=(refused(CRM),))
    )
    state = await store.read_state(SCOPE)
    assert (state.scope, state.base_url, state.last_cycle) == (SCOPE, SCOPE.base_url, number)
    assert state.records == await store.load_records(SCOPE) == {BILLING: record()}
    assert state.quarantined == await store.load_quarantine(SCOPE) == {CRM: refused(CRM)}
    assert state.conditions == (condition(ConditionStatus.TRUE, NOW),)
    assert state.version == await store.version()


async def test_the_state_of_a_gateway_never_seen_is_empty(store: Store) -> None:
    state = await store.read_state(SCOPE)
    assert (state.records, state.quarantined, state.conditions) == ({}, {}, ())
    assert (state.base_url, state.last_cycle) == (None, 0)


async def test_the_very_state_comes_back_while_nobody_writes(store: Store) -> None:
    await store.record_cycle(SCOPE, entry(records=(record(),)))
    state = await store.read_state(SCOPE)
    await store.load_records(SCOPE)
    assert await store.read_state(SCOPE, state) is state
    await store.append_audit([])
    again = await store.read_state(SCOPE, state)
    assert again.records is state.records


async def test_the_state_of_another_scope_is_not_taken_for_this_one(store: Store) -> None:
    await store.record_cycle(SCOPE, entry(records=(record(),)))
    state = await store.read_state(SCOPE)
    other = await store.read_state(replace(SCOPE, owner="other"), state)
    assert other.records == {}


async def test_equal_records_of_a_new_state_are_the_very_ones(store: Store) -> None:
    await store.record_cycle(SCOPE, entry(records=(record(), record(CRM))))
    state = await store.read_state(SCOPE)
    changed = replace(record(CRM), revision="main@2")
    await store.record_cycle(SCOPE, entry(records=(changed,)))
    again = await store.read_state(SCOPE, state)
    assert again.records == {BILLING: record(), CRM: changed}
    assert again.records[BILLING] is state.records[BILLING]
    assert again.version != state.version


async def test_what_another_process_wrote_is_read(
    store: Store, folder: Path, clock: Clock, request: pytest.FixtureRequest
) -> None:
    await store.record_cycle(SCOPE, entry(records=(record(),)))
    state = await store.read_state(SCOPE)
    name = request.node.callspec.params["store"]
    other = await STORES[name](folder, clock, Retention())
    await other.record_cycle(SCOPE, entry(records=(record(CRM),), removed=(BILLING,)))
    await other.close()
    assert (await store.read_state(SCOPE, state)).records == {CRM: record(CRM)}


async def test_new_records_share_key_and_spec_with_equal_resources(store: Store) -> None:
    same = Resource(Key("api", "acme", "billing"), Spec.of({"name": "billing"}), SOURCE)
    other = Resource(Key("api", "acme", "crm"), Spec.of({"name": "changed"}), SOURCE)
    await store.record_cycle(SCOPE, entry(records=(record(), record(CRM))))
    state = await store.read_state(SCOPE, None, {same.key: same, other.key: other})
    billing, crm = state.records[BILLING], state.records[CRM]
    assert (billing, crm) == (record(), record(CRM))
    assert (billing.key, billing.spec) == (same.key, same.spec)
    assert billing.spec is same.spec
    assert crm.spec is not other.spec


async def test_the_version_moves_with_every_write_of_anybody_and_with_nothing_else(
    store: Store, folder: Path, clock: Clock, request: pytest.FixtureRequest
) -> None:
    before = await store.version()
    await store.load_records(SCOPE)
    assert await store.version() == before
    await store.record_cycle(SCOPE, entry(records=(record(),)))
    mine = await store.version()
    assert mine != before
    other = await STORES[request.node.callspec.params["store"]](folder, clock, Retention())
    await other.record_cycle(SCOPE, entry(removed=(BILLING,)))
    await other.close()
    assert await store.version() != mine


# history and audit trail


async def test_a_cycle_comes_back_as_it_was(store: Store, clock: Clock) -> None:
    clock.pass_time(seconds=5)
    outcomes = (
        outcome(CRM),
        outcome(BILLING, Status.FAILED, "no"),
        outcome(BILLING, Status.BLOCKED),
    )
    number = await store.record_cycle(SCOPE, entry(outcomes=outcomes, error="half"))
    (cycle,) = await store.list_cycles("kong-prod")
    assert cycle.id == number
    assert cycle.scope == SCOPE
    assert (cycle.started_at, cycle.finished_at) == (NOW, NOW + timedelta(seconds=5))
    assert cycle.counts == {"applied": 1, "failed": 1, "blocked": 1}
    assert (cycle.actor, cycle.revision, cycle.digest, cycle.error) == (
        "run", "main@1", "9c1f0a77", "half",
    )  # fmt: skip


async def test_only_the_newest_cycles_of_each_gateway_are_kept(store: Store) -> None:
    other = Scope("default", "other", "u")
    first = await store.record_cycle(other, entry(outcomes=(outcome(),)))
    numbers = [await store.record_cycle(SCOPE, entry(outcomes=(outcome(),))) for _ in range(5)]
    assert [cycle.id for cycle in await store.list_cycles("kong-prod")] == numbers[:1:-1]
    assert [cycle.id for cycle in await store.list_cycles()] == [*numbers[:1:-1], first]


async def test_cycles_and_audit_come_in_pages(store: Store) -> None:
    numbers = [await store.record_cycle(SCOPE, entry(outcomes=(outcome(),))) for _ in range(3)]
    assert [c.id for c in await store.list_cycles(limit=2)] == [numbers[2], numbers[1]]
    assert [c.id for c in await store.list_cycles(limit=2, before=numbers[1])] == [numbers[0]]
    page = await store.list_audit(limit=2)
    assert len(await store.list_audit(before=page[-1].id)) == 1


async def test_the_audit_trail_says_who_did_what_and_leaves_out_what_touched_nothing(
    store: Store,
) -> None:
    outcomes = (
        outcome(message="said no"),
        outcome(CRM, Status.UNCHANGED),
        outcome(CRM, Status.BLOCKED),
    )
    await store.record_cycle(SCOPE, entry(outcomes=outcomes))
    (found,) = await store.list_audit("kong-prod")
    assert (found.at, found.actor, found.gateway, found.key) == (
        NOW, "run", "kong-prod", "api/acme/billing",
    )  # fmt: skip
    assert (found.action, found.status, found.message) == ("update", "applied", "said no")
    assert await store.list_audit("other") == []


async def test_many_changes_of_one_tenant_drop_nothing_of_the_audit_trail_of_others(
    store: Store,
) -> None:
    def entry(key: str) -> AuditEntry:
        return AuditEntry(NOW, "me", "g", key, "update", "applied")

    await store.append_audit([entry("api/quiet/a"), entry(""), entry("policy/quiet/b")])
    for number in range(9):
        await store.append_audit([entry(f"api/busy/{number}"), entry(f"policy/busy/{number}")])
    kept = [found.key for found in await store.list_audit()]
    assert kept == ["policy/busy/8", "api/busy/8", "policy/quiet/b", "", "api/quiet/a"]


async def test_the_audit_trail_is_bounded_and_long_messages_are_cut(store: Store) -> None:
    entries = [AuditEntry(NOW, "me", "g", str(n), "register", "ok", "x" * 9_999) for n in range(9)]
    await store.append_audit(entries)
    trail = await store.list_audit()
    assert [found.key for found in trail] == ["8", "7", "6", "5", "4"]
    assert {len(found.message) for found in trail} == {MESSAGE_LIMIT}


async def test_a_time_without_zone_is_refused(store: Store) -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(ValueError, match="zone"):
        await store.append_audit([AuditEntry(naive, "me", "g", "k", "a", "ok")])


# quarantine


async def test_a_refused_object_keeps_its_position_and_a_new_refusal_moves_it(
    store: Store,
) -> None:
    for line in (3, 7):
        source = SourceRef("tenants/acme/apis/billing/api.yaml", line, 2)
        await store.record_cycle(SCOPE, entry(quarantined=(replace(refused(), source=source),)))
        assert (await store.load_quarantine(SCOPE))[BILLING].source == source


async def test_quarantine_is_kept_with_the_first_time_until_the_spec_changes(
    store: Store,
) -> None:
    later = NOW + timedelta(hours=1)
    await store.record_cycle(SCOPE, entry(quarantined=(refused(),)))
    await store.record_cycle(SCOPE, entry(quarantined=(refused(since=later),)))
    assert await store.load_quarantine(SCOPE) == {BILLING: refused()}
    assert (await store.load_quarantine(SCOPE))[BILLING].last_try == later
    changed = refused(digest="d2", since=later)
    await store.record_cycle(SCOPE, entry(quarantined=(changed,)))
    assert await store.load_quarantine(SCOPE) == {BILLING: changed}


async def test_quarantine_ends_with_an_apply_or_a_removal(store: Store) -> None:
    both = (refused(BILLING), refused(CRM))
    await store.record_cycle(SCOPE, entry(quarantined=both))
    await store.record_cycle(SCOPE, entry(records=(record(BILLING),), removed=(CRM,)))
    assert await store.load_quarantine(SCOPE) == {}


# conditions


def condition(status: ConditionStatus, at: datetime) -> Condition:
    return Condition("GatewayReachable", status, "Answered", "fine", 1, at)


async def test_conditions_keep_the_time_of_their_last_transition(store: Store) -> None:
    later = NOW + timedelta(minutes=1)
    await store.save_conditions("kong-prod", [condition(ConditionStatus.TRUE, NOW)])
    (same,) = await store.save_conditions("kong-prod", [condition(ConditionStatus.TRUE, later)])
    assert same.last_transition == NOW
    (moved,) = await store.save_conditions("kong-prod", [condition(ConditionStatus.FALSE, later)])
    assert moved == condition(ConditionStatus.FALSE, later)
    assert await store.load_conditions("kong-prod") == (moved,)
    assert await store.load_conditions("catalog") == ()


async def test_setting_one_condition_leaves_the_others(store: Store) -> None:
    other = Condition("Synced", ConditionStatus.UNKNOWN, "NotLooked", "", 0, NOW)
    await store.save_conditions("g", [other])
    assert await store.save_conditions("g", [condition(ConditionStatus.TRUE, NOW)]) == (
        condition(ConditionStatus.TRUE, NOW),
        other,
    )


async def test_conditions_of_several_subjects_come_by_subject(store: Store) -> None:
    await store.save_conditions("a", [condition(ConditionStatus.TRUE, NOW)])
    assert await store.load_conditions_of(["a", "b"]) == {
        "a": (condition(ConditionStatus.TRUE, NOW),),
        "b": (),
    }


async def test_conditions_are_stored_with_their_line_of_the_audit_trail_or_not_at_all(
    store: Store,
) -> None:
    new = [condition(ConditionStatus.TRUE, NOW)]
    bad = AuditEntry(NOW, "me", "g", "k", "suspend", "ok", "\ud800")
    with pytest.raises(UnicodeEncodeError):
        await store.save_conditions("g", new, [bad])
    assert await store.load_conditions("g") == ()
    await store.save_conditions("g", new, [replace(bad, message="moving house")])
    assert [found.message for found in await store.list_audit("g")] == ["moving house"]


# what gateways fetch


def published(gateway: str = "g1", generation: int = 1, saved: bytes = b"{}\n") -> PublishedRecord:
    return PublishedRecord(gateway, generation, "ab" * 32, saved, "main@1", NOW)


async def test_what_was_published_comes_back_and_is_replaced(store: Store) -> None:
    assert await store.read_published("g1") is None
    await store.write_published(published())
    await store.write_published(published("g2"))
    await store.write_published(published(generation=2, saved=b"[1]\n"))
    assert await store.read_published("g1") == published(generation=2, saved=b"[1]\n")
    assert await store.read_published("g2") == published("g2")


async def test_what_was_published_for_one_gateway_is_dropped_alone(store: Store) -> None:
    await store.write_published(published("g1"))
    await store.write_published(published("g2"))
    await store.delete_published("g1")
    await store.delete_published("g1")
    assert await store.read_published("g1") is None
    assert await store.read_published("g2") == published("g2")
    await store.delete_published("g2")
    await store.write_published(published("g2", 7))
    assert await store.read_published("g2") == published("g2", 7)


# leases


async def test_a_second_holder_is_told_who_has_it_and_since_when(store: Store) -> None:
    await store.acquire_lease("kong-prod", "run", TTL, NOW)
    with pytest.raises(LeaseHeld) as caught:
        await store.acquire_lease("kong-prod", "apply", TTL, NOW)
    assert "kong-prod is being written by run" in str(caught.value)
    assert "since 2026-05-01T12:00:00" in str(caught.value)


async def test_leases_of_different_gateways_are_independent(store: Store) -> None:
    leases = [await store.acquire_lease(name, "run", TTL, NOW) for name in ("a", "b")]
    assert [await store.release_lease(lease) for lease in leases] == [True, True]


async def test_a_released_lease_can_be_taken(store: Store) -> None:
    lease = await store.acquire_lease("a", "run", TTL, NOW)
    assert await store.release_lease(lease)
    assert not await store.release_lease(lease)
    assert (await store.acquire_lease("a", "apply", TTL, NOW)).holder == "apply"


async def test_a_lease_expires_and_its_old_holder_can_neither_renew_nor_release(
    store: Store,
) -> None:
    old = await store.acquire_lease("a", "run", TTL, NOW)
    with pytest.raises(LeaseHeld):
        await store.acquire_lease("a", "apply", TTL, NOW + TTL - timedelta(microseconds=1))
    new = await store.acquire_lease("a", "apply", TTL, NOW + TTL)
    with pytest.raises(LeaseHeld, match="the lease of a was lost: a is being written by apply"):
        await store.renew_lease(old, TTL, NOW + TTL)
    assert not await store.release_lease(old)
    assert await store.release_lease(new)


async def test_renewing_extends_it(store: Store) -> None:
    lease = await store.acquire_lease("a", "run", TTL, NOW)
    lease = await store.renew_lease(lease, TTL, NOW + TTL / 2)
    assert lease.expires_at == NOW + TTL * 1.5
    with pytest.raises(LeaseHeld):
        await store.acquire_lease("a", "apply", TTL, NOW + TTL)


async def test_one_that_expired_but_was_not_taken_can_be_renewed(store: Store) -> None:
    lease = await store.acquire_lease("a", "run", TTL, NOW)
    assert (await store.renew_lease(lease, TTL, NOW + 2 * TTL)).expires_at == NOW + 3 * TTL


async def test_one_that_was_freed_by_hand_is_lost(store: Store) -> None:
    lease = await store.acquire_lease("a", "run", TTL, NOW)
    await store.release_lease(lease)
    with pytest.raises(LeaseHeld, match="somebody has freed it"):
        await store.renew_lease(lease, TTL, NOW)


# secrets


@pytest.mark.parametrize("name", STORES)
async def test_hashes_of_secrets_are_keyed_and_stay_the_same(
    name: str, folder: Path, tmp_path: Path, clock: Clock
) -> None:
    store = await STORES[name](folder, clock, Retention())
    hashes = await store.hash_secrets({"env:A": Secret("hunter2"), "env:B": None})
    assert hashes.keys() == {"env:A", "env:B"}
    assert len(hashes["env:A"] or "") == 64
    assert hashes["env:B"] is None
    await store.close()
    again = await STORES[name](folder, clock, Retention())
    assert await again.hash_secrets({"env:C": Secret("hunter2")}) == {"env:C": hashes["env:A"]}
    await again.close()
    other = await STORES[name](tmp_path / "other", clock, Retention())
    assert await other.hash_secrets({"env:A": Secret("hunter2")}) != {"env:A": hashes["env:A"]}
    await other.close()


# calls


async def test_calls_keep_their_order(store: Store) -> None:
    numbers = await asyncio.gather(*(store.record_cycle(SCOPE, entry()) for _ in range(10)))
    assert numbers == list(range(1, 11))


async def test_closing_twice_does_nothing(store: Store) -> None:
    await store.close()
    await store.close()


# gateways that registered themselves


def member(hostname: str = "pod-1", **more: object) -> MemberRecord:
    registration = Registration.named(
        hostname,
        Mode.EDGE_MCP,
        "prod",
        version="0.9.25",
        admin_url="http://10.0.0.7:8080",
        capabilities=("rest", "mcp"),
        extensions=("table",),
        tenant_id="acme",
        further=(("public_url", "https://gw.example.test"),),
        key="0123456789ab",
        peer="10.0.0.7",
    )
    record = MemberRecord(registration, "ONLINE", NOW, NOW, NOW + TTL)
    return replace(record, **more)  # type: ignore[arg-type]  # of any field


async def test_registered_gateways_come_back_as_they_were_sorted_by_name(store: Store) -> None:
    beaten = member("a-\u00fcml\u00e4ut", last_beat_at=NOW, requests=2**53, errors=0.5)
    degraded = member("pod-1", status="DEGRADED", is_degraded=True)
    await store.save_registrations([degraded, beaten])
    assert set(await store.load_registrations()) == {beaten, degraded}
    assert [one.registration.name for one in await store.load_registrations()] == sorted(
        one.registration.name for one in (beaten, degraded)
    )
    again = replace(degraded, status="OFFLINE", is_degraded=False)
    await store.save_registrations([again])
    assert set(await store.load_registrations()) == {beaten, again}
    await store.save_registrations([], [beaten.registration.id, "unknown"])
    assert await store.load_registrations() == (again,)


async def test_registrations_and_their_audit_entries_are_written_together_or_not_at_all(
    store: Store,
) -> None:
    good = AuditEntry(NOW, "gateway key 01", "pod-1", "registration", "register", "registered")
    naive = replace(good, at=NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="zone"):
        await store.save_registrations([member()], (), [good, naive])
    assert await store.load_registrations() == ()
    assert await store.list_audit() == []
    await store.save_registrations([member()], (), [good])
    (found,) = await store.list_audit()
    assert replace(found, id=0) == good

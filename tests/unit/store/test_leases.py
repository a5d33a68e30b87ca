"""One writer per gateway, also between processes, and a way out when the writer died."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from stoa_gitops.errors import LeaseHeld
from stoa_gitops.store import Store
from stoa_gitops.store.leases import Process
from tests.unit.store.world import NOW, TTL, child, ran


def test_a_second_holder_is_told_who_has_it_since_when_and_where(store: Store) -> None:
    me = Process.current()
    store.acquire("kong-prod", "run", TTL, NOW)
    with pytest.raises(LeaseHeld) as caught:
        store.acquire("kong-prod", "apply", TTL, NOW)
    assert f"kong-prod is being written by run (pid {me.pid} on {me.host})" in str(caught.value)
    assert "since 2026-05-01T12:00:00" in str(caught.value)


def test_leases_of_different_gateways_are_independent(store: Store) -> None:
    store.acquire("a", "run", TTL, NOW)
    store.acquire("b", "run", TTL, NOW)
    assert [lease.gateway for lease in store.leases()] == ["a", "b"]


def test_a_released_lease_can_be_taken(store: Store) -> None:
    lease = store.acquire("a", "run", TTL, NOW)
    assert store.release(lease)
    assert not store.release(lease)
    assert store.acquire("a", "apply", TTL, NOW).holder == "apply"


def test_a_lease_runs_out_and_its_old_holder_can_neither_renew_nor_release(store: Store) -> None:
    old = store.acquire("a", "run", TTL, NOW)
    with pytest.raises(LeaseHeld):
        store.acquire("a", "apply", TTL, NOW + TTL - timedelta(microseconds=1))
    new = store.acquire("a", "apply", TTL, NOW + TTL)
    with pytest.raises(LeaseHeld, match="the lease of a was lost: a is being written by apply"):
        store.renew(old, TTL, NOW + TTL)
    assert not store.release(old)
    assert store.leases() == [new]


def test_renewing_extends_it(store: Store) -> None:
    lease = store.acquire("a", "run", TTL, NOW)
    lease = store.renew(lease, TTL, NOW + TTL / 2)
    assert lease.expires_at == NOW + TTL * 1.5
    with pytest.raises(LeaseHeld):
        store.acquire("a", "apply", TTL, NOW + TTL)


def test_one_that_ran_out_but_was_not_taken_can_be_renewed(store: Store) -> None:
    lease = store.acquire("a", "run", TTL, NOW)
    assert store.renew(lease, TTL, NOW + 2 * TTL).expires_at == NOW + 3 * TTL


def test_one_that_was_freed_by_hand_is_lost(store: Store) -> None:
    lease = store.acquire("a", "run", TTL, NOW)
    store.release(lease)
    with pytest.raises(LeaseHeld, match="somebody has freed it"):
        store.renew(lease, TTL, NOW)


def test_a_process_that_has_another_start_is_another_process(store: Store) -> None:
    store.acquire("a", "run", TTL, NOW)
    with store._database.transaction():
        store._database.execute("UPDATE leases SET process_start = '1'")
    assert store.acquire("a", "apply", TTL, NOW).holder == "apply"


def test_a_holder_on_another_machine_has_to_run_out(store: Store) -> None:
    store.acquire("a", "run", TTL, NOW)
    with store._database.transaction():
        store._database.execute("UPDATE leases SET machine = 'elsewhere', pid = 999999999")
    with pytest.raises(LeaseHeld):
        store.acquire("a", "apply", TTL, NOW)


HOLD = """
import pathlib, sys
from datetime import datetime, timedelta
from stoa_gitops.store import Store
store = Store.open(pathlib.Path(sys.argv[1]))
store.acquire("a", "run", timedelta(hours=1), datetime.fromisoformat(sys.argv[2]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_living_process_keeps_its_lease_and_a_killed_one_loses_it_at_once(
    store: Store, folder: Path
) -> None:
    with child(HOLD, folder, NOW.isoformat()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LeaseHeld, match=re.escape(f"pid {process.pid} on ")):
            store.acquire("a", "apply", TTL, NOW)
        process.kill()
        process.wait(timeout=30)
        assert store.acquire("a", "apply", TTL, NOW).holder == "apply"


RACE = """
import pathlib, sys
from datetime import datetime, timedelta
from stoa_gitops.errors import LeaseHeld
from stoa_gitops.store import Store
store = Store.open(pathlib.Path(sys.argv[1]))
now = datetime.fromisoformat(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
won = []
for n in range(40):
    try:
        store.acquire(f"g{n}", sys.argv[3], timedelta(hours=1), now)
        won.append(n)
    except LeaseHeld:
        pass
print(*won, flush=True)
sys.stdin.read()
"""


def test_of_processes_that_race_for_a_lease_exactly_one_wins(store: Store, folder: Path) -> None:
    now = NOW.isoformat()
    with (
        child(RACE, folder, now, "one") as one,
        child(RACE, folder, now, "two") as two,
        child(RACE, folder, now, "three") as three,
    ):
        racers = (one, two, three)
        for process in racers:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in racers:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        won = [list(map(int, p.stdout.readline().split())) for p in racers if p.stdout]
    assert sorted(number for numbers in won for number in numbers) == list(range(40))


def test_the_next_process_can_take_what_a_finished_one_never_released(
    store: Store, folder: Path
) -> None:
    ran(HOLD.replace("sys.stdin.read()", ""), folder, NOW.isoformat())
    assert store.acquire("a", "apply", TTL, NOW).holder == "apply"

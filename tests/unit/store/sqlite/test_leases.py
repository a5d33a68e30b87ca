"""One writer per gateway, also between processes, and a way out when the writer died."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stoa_gitops.errors import LeaseHeld
from stoa_gitops.store.sqlite import BlockingStore
from stoa_gitops.store.sqlite.leases import ProcessIdentity
from tests.unit.store.world import NOW, TTL, child, ran


def test_a_second_holder_is_told_which_process_has_it_since_when_and_where(
    store: BlockingStore,
) -> None:
    me = ProcessIdentity.current()
    store.acquire_lease("kong-prod", "run", TTL, NOW)
    with pytest.raises(LeaseHeld) as caught:
        store.acquire_lease("kong-prod", "apply", TTL, NOW)
    assert f"kong-prod is being written by run (pid {me.pid} on {me.host})" in str(caught.value)
    assert "since 2026-05-01T12:00:00" in str(caught.value)


def test_a_process_that_has_another_start_is_another_process(store: BlockingStore) -> None:
    store.acquire_lease("a", "run", TTL, NOW)
    with store._database.transaction():
        store._database.execute("UPDATE leases SET process_start = '1'")
    assert store.acquire_lease("a", "apply", TTL, NOW).holder == "apply"


def test_a_holder_on_another_machine_has_to_run_out(store: BlockingStore) -> None:
    store.acquire_lease("a", "run", TTL, NOW)
    with store._database.transaction():
        store._database.execute("UPDATE leases SET machine = 'elsewhere', pid = 999999999")
    with pytest.raises(LeaseHeld):
        store.acquire_lease("a", "apply", TTL, NOW)


HOLD = """
import pathlib, sys
from datetime import datetime, timedelta
from stoa_gitops.store.sqlite import BlockingStore
store = BlockingStore.open(pathlib.Path(sys.argv[1]))
store.acquire_lease("a", "run", timedelta(hours=1), datetime.fromisoformat(sys.argv[2]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_living_process_keeps_its_lease_and_a_killed_one_loses_it_at_once(
    store: BlockingStore, folder: Path
) -> None:
    with child(HOLD, folder, NOW.isoformat()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LeaseHeld, match=re.escape(f"pid {process.pid} on ")):
            store.acquire_lease("a", "apply", TTL, NOW)
        process.kill()
        process.wait(timeout=120)
        assert store.acquire_lease("a", "apply", TTL, NOW).holder == "apply"


RACE = """
import pathlib, sys
from datetime import datetime, timedelta
from stoa_gitops.errors import LeaseHeld
from stoa_gitops.store.sqlite import BlockingStore
store = BlockingStore.open(pathlib.Path(sys.argv[1]))
now = datetime.fromisoformat(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
won = []
for n in range(40):
    try:
        store.acquire_lease(f"g{n}", sys.argv[3], timedelta(hours=1), now)
        won.append(n)
    except LeaseHeld:
        pass
print(*won, flush=True)
sys.stdin.read()
"""


def test_of_processes_that_race_for_a_lease_exactly_one_wins(
    store: BlockingStore, folder: Path
) -> None:
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
    store: BlockingStore, folder: Path
) -> None:
    ran(HOLD.replace("sys.stdin.read()", ""), folder, NOW.isoformat())
    assert store.acquire_lease("a", "apply", TTL, NOW).holder == "apply"

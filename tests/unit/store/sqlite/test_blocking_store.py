"""What is in the tables though the program does not read it back, and whose thread the store is."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.secret import Secret
from stoa_gitops.store import Scope
from stoa_gitops.store.sqlite import BlockingStore
from tests.unit.store.world import BILLING, CRM, SCOPE, entry, outcome


def outcomes(folder: Path, cycle: int) -> list[tuple[Any, ...]]:
    """The outcomes of a cycle in the order in which they were applied."""
    sql = "SELECT key, status, message FROM outcomes WHERE cycle = ? ORDER BY position"
    with sqlite3.connect(folder / "state.db") as connection:
        rows = connection.execute(sql, (cycle,)).fetchall()
    connection.close()
    return rows


def test_the_outcomes_of_a_cycle_are_stored_in_order(store: BlockingStore, folder: Path) -> None:
    results = (
        outcome(CRM),
        outcome(BILLING, Status.FAILED, "no"),
        outcome(BILLING, Status.BLOCKED),
    )
    number = store.record_cycle(SCOPE, entry(outcomes=results))
    assert outcomes(folder, number) == [
        (str(CRM), "applied", ""),
        (str(BILLING), "failed", "no"),
        (str(BILLING), "blocked", ""),
    ]


def test_outcomes_go_with_their_cycle(store: BlockingStore, folder: Path) -> None:
    other = store.record_cycle(Scope("default", "other", "u"), entry(outcomes=(outcome(),)))
    numbers = [store.record_cycle(SCOPE, entry(outcomes=(outcome(),))) for _ in range(5)]
    assert outcomes(folder, numbers[0]) == []
    assert len(outcomes(folder, other)) == 1


def test_the_key_of_the_hashes_is_not_in_the_database(store: BlockingStore, folder: Path) -> None:
    store.hash_secrets({"env:A": Secret("hunter2")})
    store.close()
    key = (folder / "hmac.key").read_bytes()
    assert len(key) == 32
    assert all(key not in path.read_bytes() for path in folder.glob("state.db*"))


def test_using_it_from_another_thread_is_a_mistake_that_shows(store: BlockingStore) -> None:
    caught: list[BaseException] = []

    def use() -> None:
        try:
            store.load_records(SCOPE)
        except sqlite3.ProgrammingError as error:
            caught.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(caught) == 1

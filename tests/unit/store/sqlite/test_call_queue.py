"""Calls that wait for the store share a commit, and nobody hears of success before it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.errors import LeaseHeld, StoreError
from stoa_gitops.fleet.identity import Mode
from stoa_gitops.fleet.registration import MemberRecord, Registration
from stoa_gitops.model.conditions import Condition, ConditionStatus
from stoa_gitops.store import AuditEntry
from stoa_gitops.store.sqlite import SqliteStore, call_queue
from stoa_gitops.store.sqlite.blocking_store import BlockingStore

NOW = datetime(2026, 11, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteStore]:
    monkeypatch.setattr(call_queue, "LONGEST", 60.0)  # together, however slow the machine is
    opened = await SqliteStore.open(folder)
    yield opened
    await opened.close()


@asynccontextmanager
async def held(store: SqliteStore) -> AsyncIterator[None]:
    """Have all calls that are made inside wait for the end of the block."""
    gate, begun = threading.Event(), threading.Event()

    def wait(_: BlockingStore) -> None:
        begun.set()
        gate.wait(30)

    holding = asyncio.ensure_future(store.call(wait))
    await asyncio.to_thread(begun.wait, 30)
    yield
    gate.set()
    await holding


async def all_at_once(store: SqliteStore, *calls: Awaitable[Any]) -> list[Any]:
    """Make calls while the store is at work; return what they return or raise."""
    async with held(store):
        made = asyncio.gather(*calls, return_exceptions=True)
        await asyncio.sleep(0)  # each has its place in the queue
    return await made


async def statements(store: SqliteStore, act: Callable[[], Awaitable[Any]]) -> list[str]:
    """Return what SQLite was told to do meanwhile."""
    found: list[str] = []

    def trace(one: BlockingStore, to: Callable[[str], None] | None) -> None:
        one._database._connection.set_trace_callback(to)

    await store.call(trace, found.append)
    await act()
    await store.call(trace, None)
    return found


def condition(message: str = "") -> Condition:
    return Condition("InSync", ConditionStatus.TRUE, "Applied", message, 1, NOW)


def stored(folder: Path, subject: str) -> tuple[Condition, ...]:
    """What another process finds."""
    with BlockingStore.open(folder) as other:
        return other.load_conditions(subject)


@pytest.mark.parametrize(("longest", "commits"), [(60.0, 1), (0.0, 20)])
async def test_calls_that_wait_share_a_commit_for_a_while(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, longest: float, commits: int
) -> None:
    monkeypatch.setattr(call_queue, "LONGEST", longest)
    names = [f"gateway-{number}" for number in range(20)]

    async def save() -> None:
        saved = await all_at_once(
            store, *(store.save_conditions(name, [condition(name)]) for name in names)
        )
        assert [one[0].message for one in saved] == names

    assert (await statements(store, save)).count("COMMIT") == commits


async def test_whoever_hears_of_success_finds_it_in_the_file(
    store: SqliteStore, folder: Path
) -> None:
    async def save(name: str) -> tuple[Condition, ...]:
        await store.save_conditions(name, [condition(name)])
        return stored(folder, name)

    names = [f"gateway-{number}" for number in range(5)]
    found = await all_at_once(store, *map(save, names))
    assert [one[0].message for one in found] == names


async def test_one_that_is_refused_takes_none_of_the_others_with_it(
    store: SqliteStore, folder: Path
) -> None:
    first, second, refused, third = await all_at_once(
        store,
        store.save_conditions("a", [condition()]),
        store.acquire_lease("g", "one", MINUTE, NOW),
        store.acquire_lease("g", "two", MINUTE, NOW),
        store.save_conditions("b", [condition()]),
    )
    assert (len(first), second.holder, len(third)) == (1, "one", 1)
    assert isinstance(refused, LeaseHeld)
    assert stored(folder, "a")
    assert stored(folder, "b")


def spoil(store: BlockingStore) -> None:
    """Write what no commit takes: an outcome of a cycle that does not exist."""
    with store._database.transaction():
        store._database.execute("PRAGMA defer_foreign_keys=ON")
        store._database.execute(
            "INSERT INTO outcomes (cycle, position, key, action, status, reason, message, attempts,"
            " gateway_id) VALUES (9, 0, '', '', '', '', '', 1, '')"
        )


async def test_a_commit_that_fails_fails_for_the_one_that_spoils_it(
    store: SqliteStore, folder: Path
) -> None:
    first, spoilt, second = await all_at_once(
        store,
        store.save_conditions("a", [condition()]),
        store.call(spoil),
        store.acquire_lease("g", "one", MINUTE, NOW),
    )
    assert len(first) == 1
    assert isinstance(spoilt, StoreError)
    assert second.holder == "one"
    assert stored(folder, "a")
    assert await store.release_lease(second)


async def test_what_is_given_as_an_iterator_is_written_again_as_well(
    store: SqliteStore, folder: Path
) -> None:
    entry = AuditEntry(NOW, "me", "g", "gateway", "suspend", "requested")
    registration = Registration.named(
        "edge", Mode.PROXY, "prod", version="0.9.25", admin_url="http://edge:8080", peer="x"
    )
    member = MemberRecord(registration, "ONLINE", NOW, NOW, NOW)
    await all_at_once(
        store,
        store.append_audit(one for one in [entry]),
        store.save_conditions("a", (one for one in [condition()])),
        store.save_registrations((one for one in [member]), (one for one in ["id-0"])),
        store.call(spoil),
    )
    assert stored(folder, "a")
    assert len(await store.list_audit()) == 1
    assert len(await store.load_registrations()) == 1


async def test_an_error_that_nobody_thought_of_is_told_to_all_who_wait(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def broken(_: BlockingStore) -> Iterator[None]:
        yield
        raise sqlite3.OperationalError("no such savepoint")

    monkeypatch.setattr(BlockingStore, "together", broken)
    saved = asyncio.gather(
        *(store.save_conditions(name, [condition()]) for name in "ab"), return_exceptions=True
    )
    failed = await asyncio.wait_for(saved, 10)
    assert [str(error) for error in failed] == ["no such savepoint"] * 2
    monkeypatch.undo()
    assert len(await store.save_conditions("c", [condition()])) == 1, "the queue goes on"


async def test_a_full_disk_fails_for_what_does_not_fit(store: SqliteStore, folder: Path) -> None:
    def limit(one: BlockingStore) -> None:
        pages = one._database.pragma("page_count")
        assert one._database.pragma(f"max_page_count={pages + 8}") == pages + 8

    def fill(one: BlockingStore) -> None:
        with one._database.transaction():
            one._database.execute(
                "INSERT INTO published_contents (digest, saved) VALUES ('x', zeroblob(1000000))"
            )

    await store.call(limit)
    first, full, second = await all_at_once(
        store,
        store.save_conditions("a", [condition()]),
        store.call(fill),
        store.save_conditions("b", [condition()]),
    )
    assert (len(first), len(second)) == (1, 1)
    assert isinstance(full, StoreError)
    assert "the disk is full" in str(full)
    assert stored(folder, "a")
    assert stored(folder, "b")


def lose(store: BlockingStore) -> None:
    """Have SQLite roll back by itself, as it does after some errors of the disk."""
    with store._database.transaction():
        store._database.execute("ROLLBACK")
        raise StoreError("the disk failed")


async def test_what_was_rolled_back_underneath_is_written_again(
    store: SqliteStore, folder: Path
) -> None:
    first, lost, second = await all_at_once(
        store,
        store.save_conditions("a", [condition()]),
        store.call(lose),
        store.save_conditions("b", [condition()]),
    )
    assert (len(first), len(second)) == (1, 1)
    assert str(lost) == "the disk failed"
    assert stored(folder, "a")
    assert stored(folder, "b")


async def test_one_that_is_cancelled_in_the_queue_is_passed_over(store: SqliteStore) -> None:
    async with held(store):
        calls = [
            asyncio.ensure_future(store.save_conditions(name, [condition()])) for name in "abc"
        ]
        await asyncio.sleep(0)
        calls[1].cancel()
        await asyncio.gather(calls[1], return_exceptions=True)
    await asyncio.gather(calls[0], calls[2])
    found = await store.load_conditions_of("abc")
    assert [len(one) for one in found.values()] == [1, 0, 1]

"""The store on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from stoa_gitops.errors import StoreError
from stoa_gitops.store.sqlite import SqliteStore
from tests.unit.store.world import BILLING, SCOPE, entry, record


async def test_calls_run_on_one_thread_that_is_not_the_loops(folder: Path) -> None:
    store = await SqliteStore.open(folder)
    threads = await asyncio.gather(*(store.call(lambda _: threading.get_ident()) for _ in range(5)))
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    await store.close()


async def test_what_a_method_returns_and_raises_comes_through(folder: Path) -> None:
    store = await SqliteStore.open(folder)
    assert await store.record_cycle(SCOPE, entry(records=(record(),))) == 1
    assert await store.load_records(SCOPE) == {BILLING: record()}
    with pytest.raises(ValueError, match="is not a key"):
        await store.call(lambda _: record().key.parse("x"))
    await store.close()


async def test_a_call_that_is_cancelled_while_it_waits_does_not_run(folder: Path) -> None:
    store = await SqliteStore.open(folder)
    gate = threading.Event()
    first = asyncio.ensure_future(store.call(lambda _: gate.wait(30)))
    second = asyncio.ensure_future(store.record_cycle(SCOPE, entry()))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(
        second, return_exceptions=True
    )  # the gate opens when the loop has cancelled
    gate.set()
    assert await first
    assert second.cancelled()
    assert await store.list_cycles() == []
    await store.close()


async def test_a_store_that_cannot_be_opened_raises_and_leaves_no_thread(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = threading.active_count()
    with pytest.raises(StoreError):
        await SqliteStore.open(tmp_path / "file")
    for thread in threading.enumerate():
        if thread.name.startswith("store"):
            thread.join(30)
    assert threading.active_count() <= before

"""The lease around writes: one writer per gateway, renewed and given back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from stoa_gitops.errors import LeaseHeld
from stoa_gitops.reconcile import lease
from stoa_gitops.reconcile.lease import leased
from tests.unit.reconcile.rig import Rig, rig
from tests.unit.reconcile.world import NOW


async def is_free(one: Rig) -> bool:
    try:
        taken = await one.store.acquire_lease("kong", "test", timedelta(seconds=60), NOW)
    except LeaseHeld:
        return False
    return await one.store.release_lease(taken)


async def test_it_is_held_inside_and_given_back(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        async with leased(one.store, "kong", "anna", one.clock):
            assert not await is_free(one)
        assert await is_free(one)


async def test_it_is_given_back_after_an_error(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        with pytest.raises(RuntimeError):
            async with leased(one.store, "kong", "anna", one.clock):
                raise RuntimeError
        assert await is_free(one)


async def test_a_second_writer_is_told_who_has_it(tmp_path: Path) -> None:
    async with rig(tmp_path) as one, leased(one.store, "kong", "anna", one.clock):
        with pytest.raises(LeaseHeld, match="anna"):
            async with leased(one.store, "kong", "ben", one.clock, patience=0.0):
                raise AssertionError("both would write")


async def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        first = leased(one.store, "kong", "anna", one.clock)
        await first.__aenter__()

        async def second() -> None:
            async with leased(one.store, "kong", "ben", one.clock):
                pass

        waiting = asyncio.create_task(second())
        await asyncio.sleep(0)
        await first.__aexit__(None, None, None)
        async with asyncio.timeout(30):
            await waiting


async def test_other_gateways_are_free(tmp_path: Path) -> None:
    async with rig(tmp_path) as one, leased(one.store, "stoa", "anna", one.clock):
        assert await is_free(one)


async def test_a_lease_that_is_lost_ends_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "TTL", timedelta(milliseconds=30))  # renewed after a third of it
    async with rig(tmp_path) as one:

        async def lost(*_: object) -> None:
            raise LeaseHeld("ben writes to kong now")

        monkeypatch.setattr(type(one.store), "renew_lease", lost)
        with pytest.raises(LeaseHeld, match="ben writes to kong now"):
            async with asyncio.timeout(30), leased(one.store, "kong", "anna", one.clock):
                await asyncio.Event().wait()


async def test_a_cancelled_writer_is_cancelled_and_not_told_of_a_lease(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        begun = asyncio.Event()

        async def work() -> None:
            async with leased(one.store, "kong", "anna", one.clock):
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await is_free(one)

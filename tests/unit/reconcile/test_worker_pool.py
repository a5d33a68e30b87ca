from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.reconcile import worker_pool
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.queue import EXPIRY, RETRY, DirtyQueue
from stoa_gitops.reconcile.scheduler import Scheduler
from stoa_gitops.reconcile.worker_pool import MOST_COMPUTING, WorkerPool
from tests.unit.reconcile.world import KONG, NOW, catalog, resource, worked

NOTHING = Catalog("default", "main@2", None, (), {}, ("acme",), 1)


@dataclass
class PoolRig:
    """A pool whose cycles last until they are let go, and how many of them run at once."""

    queue: DirtyQueue = field(default_factory=DirtyQueue)
    entered: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    result: CycleResult = field(default_factory=worked)
    names: list[str] = field(default_factory=list)
    running: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.queue)
        self.pool = WorkerPool(self.cycle, self.queue, self.scheduler, lambda: NOW)

    async def cycle(self, gateway: str, _: tuple[str, ...]) -> CycleResult:
        self.names.append(gateway)
        self.running += 1
        self.most = max(self.most, self.running)
        self.entered.release()
        await self.leave.wait()
        self.running -= 1
        return self.result

    def assign(self, *, has_kong: bool) -> list[str]:
        read = catalog(resource()) if has_kong else NOTHING
        return self.pool.assign(read, (KONG,) if has_kong else (), None)


@pytest.fixture
async def rig() -> AsyncIterator[PoolRig]:
    made = PoolRig()
    made.scheduler.start()
    yield made
    made.leave.set()
    await made.pool.stop(5)
    made.scheduler.stop()


@pytest.mark.parametrize(
    "result",
    [
        CycleResult(worked(error="no answer").report, is_ok=False),
        CycleResult(worked().report, is_ok=True, next_check=NOW + timedelta(days=1)),
    ],
    ids=["it failed", "it looks again"],
)
async def test_a_gateway_that_is_removed_during_its_cycle_gets_no_other_one(
    rig: PoolRig, result: CycleResult
) -> None:
    rig.result = result
    rig.assign(has_kong=True)
    await rig.entered.acquire()
    assert rig.assign(has_kong=False) == ["kong"]
    rig.leave.set()
    await rig.pool.stop(5)
    assert [rig.scheduler.next_run("kong", why) for why in (RETRY, EXPIRY)] == [None, None]
    assert rig.queue.ages() == {}


async def test_a_gateway_that_comes_back_waits_for_the_cycle_that_still_runs(rig: PoolRig) -> None:
    rig.assign(has_kong=True)
    await rig.entered.acquire()
    rig.assign(has_kong=False)
    rig.assign(has_kong=True)
    for _ in range(5):
        await asyncio.sleep(0)
    rig.leave.set()
    await asyncio.wait_for(rig.entered.acquire(), 30)
    assert rig.most == 1


def fetching(count: int) -> tuple[Catalog, tuple[GatewayInstance, ...]]:
    """A catalog of gateways that fetch their configuration, and these."""
    gateways = tuple(
        replace(KONG, name=f"edges/{number:03}", registration_id=str(number))
        for number in range(count)
    )
    desired = catalog().desired["kong"]
    read = replace(catalog(), gateways=gateways, desired={one.name: desired for one in gateways})
    return read, gateways


async def test_of_gateways_that_fetch_a_few_at_a_time_have_cycles_and_all_have_theirs(
    rig: PoolRig,
) -> None:
    read, gateways = fetching(3 * MOST_COMPUTING)
    rig.pool.assign(read, gateways, None)
    for _ in range(MOST_COMPUTING):
        await rig.entered.acquire()
    assert (rig.running, rig.most) == (MOST_COMPUTING, MOST_COMPUTING)
    assert rig.entered.locked()
    rig.leave.set()
    for _ in range(2 * MOST_COMPUTING):
        await asyncio.wait_for(rig.entered.acquire(), 30)
    assert rig.most == MOST_COMPUTING
    assert rig.names == [one.name for one in gateways]


async def test_gateways_that_compute_hold_up_none_that_is_elsewhere(rig: PoolRig) -> None:
    read, gateways = fetching(2 * MOST_COMPUTING)
    desired = {**read.desired, "kong": catalog().desired["kong"]}
    chosen = (*gateways, KONG)
    rig.pool.assign(replace(read, gateways=chosen, desired=desired), chosen, None)
    for _ in range(MOST_COMPUTING + 1):
        await asyncio.wait_for(rig.entered.acquire(), 30)
    assert "kong" in rig.names


async def test_one_that_left_while_it_waited_has_no_cycle(rig: PoolRig) -> None:
    read, gateways = fetching(MOST_COMPUTING + 1)
    rig.pool.assign(read, gateways, None)
    for _ in range(MOST_COMPUTING):
        await rig.entered.acquire()
    read, gateways = fetching(MOST_COMPUTING)
    assert rig.pool.assign(read, gateways, None) == [f"edges/{MOST_COMPUTING:03}"]
    rig.leave.set()
    await rig.pool.stop(5)
    assert len(rig.names) == MOST_COMPUTING


async def test_a_mark_during_a_cycle_is_another_cycle_and_then_nothing_runs(rig: PoolRig) -> None:
    rig.assign(has_kong=True)
    await rig.entered.acquire()
    rig.queue.request("kong", "asked for")
    rig.leave.set()
    await asyncio.wait_for(rig.entered.acquire(), 30)
    async with asyncio.timeout(30):
        while rig.pool._tasks:
            await asyncio.sleep(0)
    assert rig.names == ["kong", "kong"]


async def test_one_that_asks_waits_for_its_cycle_and_comes_before_those_that_do_not(
    rig: PoolRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "SETTLES_WITHIN", 30)
    read, gateways = fetching(3 * MOST_COMPUTING)
    last = gateways[-1].name
    rig.pool.assign(read, gateways, None)
    for _ in range(MOST_COMPUTING):
        await rig.entered.acquire()
    asking = [asyncio.create_task(rig.pool.settle(last)) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(one.done() for one in asking)
    asking.pop().cancel()  # who goes away takes nothing from the others
    rig.leave.set()
    await asyncio.wait_for(asyncio.gather(*asking), 20)
    assert rig.names.index(last) == MOST_COMPUTING
    assert last not in rig.pool._tasks


async def test_who_asks_while_nothing_is_due_waits_for_nothing(rig: PoolRig) -> None:
    rig.leave.set()
    rig.assign(has_kong=True)
    async with asyncio.timeout(30):
        while rig.pool._tasks:
            await asyncio.sleep(0)
        await rig.pool.settle("kong")
        await rig.pool.settle("a gateway that is not assigned")
    assert not rig.pool._awaited


async def test_who_asks_waits_no_longer_than_its_bound(
    rig: PoolRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "SETTLES_WITHIN", 0)
    rig.assign(has_kong=True)
    await rig.entered.acquire()
    await asyncio.wait_for(rig.pool.settle("kong"), 30)
    assert rig.running == 1


@pytest.mark.parametrize("how", ["it is removed", "the process ends"])
async def test_who_asks_is_let_go_when_no_cycle_comes(
    rig: PoolRig, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(worker_pool, "SETTLES_WITHIN", 30)
    rig.assign(has_kong=True)
    await rig.entered.acquire()
    asking = asyncio.create_task(rig.pool.settle("kong"))
    await asyncio.sleep(0)
    if how == "it is removed":
        rig.assign(has_kong=False)
    else:
        ending = asyncio.create_task(rig.pool.stop(5))
    await asyncio.wait_for(asking, 20)
    assert rig.running == 1, "and not because the cycle has ended"
    rig.leave.set()
    if how == "the process ends":
        await ending

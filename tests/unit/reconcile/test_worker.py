from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from stoa_gitops.errors import StoreError
from stoa_gitops.model.outcomes import Report
from stoa_gitops.model.plan import Plan
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.log_context import CycleFilter
from stoa_gitops.reconcile.queue import CATALOG, EXPIRY, INTERVAL, RETRY, DirtyQueue
from stoa_gitops.reconcile.worker import EXPIRY_SPACING, Worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REPORT = Report(Plan("kong", "kong", "main@1"))


class Agenda:
    """Notes the looks that a worker asks for, as a scheduler would."""

    def __init__(self) -> None:
        self.looks: list[tuple[str, datetime, str]] = []

    def schedule(self, gateway: str, when: datetime, why: str) -> None:
        self.looks.append((gateway, when, why))


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def worker(
    queue: DirtyQueue,
    agenda: Agenda,
    results: list[CycleResult | Exception],
    clock: Callable[[], datetime] = lambda: NOW,
) -> Worker:
    async def work(_: str, __: tuple[str, ...]) -> CycleResult | None:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    return Worker("kong", work, queue, agenda, clock)  # type: ignore[arg-type]


async def marked(one: Worker, queue: DirtyQueue, why: str) -> None:
    queue.request("kong", why)
    await one.step()


async def test_a_failed_cycle_is_tried_again_later_each_time() -> None:
    queue, agenda = DirtyQueue(), Agenda()
    failures: list[CycleResult | Exception] = [CycleResult(REPORT, is_ok=False)] * 8
    one = worker(queue, agenda, failures)
    for _ in range(8):
        queue.request("kong", RETRY)
        await one.step()
    delays = [when - NOW for _, when, why in agenda.looks if why == "retry"]
    assert len(delays) == 8
    assert delays[0] <= timedelta(seconds=1)
    assert delays[7] >= timedelta(seconds=64)


async def test_an_error_or_a_defect_in_a_cycle_does_not_end_the_worker() -> None:
    queue, agenda = DirtyQueue(), Agenda()
    one = worker(queue, agenda, [StoreError("disk full"), ValueError("defect")])
    for _ in range(2):
        queue.request("kong", RETRY)
        await one.step()
    assert [why for _, _, why in agenda.looks] == ["retry", "retry"]


async def test_what_is_logged_of_a_cycle_that_failed_carries_its_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.handler.addFilter(CycleFilter())
    queue = DirtyQueue()
    one = worker(queue, Agenda(), [StoreError("disk full"), ValueError("defect")])
    for _ in range(2):
        queue.request("kong", RETRY)
        await one.step()
    cycles = [(record.__dict__["gateway"], record.__dict__["cycle"]) for record in caplog.records]
    assert len(set(cycles)) == len(cycles) == 2


async def test_an_expiry_starts_a_cycle_when_it_comes() -> None:
    queue, agenda = DirtyQueue(), Agenda()
    later = NOW + timedelta(hours=1)
    one = worker(queue, agenda, [CycleResult(REPORT, is_ok=True, next_check=later)])
    queue.request("kong", "interval")
    await one.step()
    assert agenda.looks == [("kong", later, "expiry")]


async def test_a_stopped_worker_finishes_its_cycle_and_ends() -> None:
    queue, agenda = DirtyQueue(), Agenda()
    entered, leave = asyncio.Event(), asyncio.Event()
    finished = []

    async def work(_: str, __: tuple[str, ...]) -> CycleResult:
        entered.set()
        await leave.wait()
        finished.append(True)
        return CycleResult(REPORT, is_ok=True)

    one = Worker("kong", work, queue, agenda, lambda: NOW)  # type: ignore[arg-type]
    task = asyncio.create_task(one.run())
    queue.request("kong", "interval")
    await entered.wait()
    one.stop()
    leave.set()
    await asyncio.wait_for(task, 30)
    assert finished == [True]


async def test_a_stopped_worker_without_a_cycle_ends_at_once() -> None:
    queue = DirtyQueue()
    one = worker(queue, Agenda(), [])
    task = asyncio.create_task(one.run())
    one.stop()
    await asyncio.wait_for(task, 30)


async def test_while_a_gateway_fails_the_interval_waits_for_the_next_try_and_news_do_not() -> None:
    queue, agenda = DirtyQueue(), Agenda()
    failed = CycleResult(REPORT, is_ok=False)
    left: list[CycleResult | Exception] = [failed] * 4
    one = worker(queue, agenda, left)
    await marked(one, queue, RETRY)
    await marked(one, queue, INTERVAL)
    assert len(left) == 3
    await marked(one, queue, CATALOG)
    await marked(one, queue, "asked for")
    assert len(left) == 1


async def test_a_gateway_that_asked_for_patience_is_left_alone_until_then() -> None:
    queue, agenda, clock = DirtyQueue(), Agenda(), Clock()
    busy = CycleResult(REPORT, is_ok=False, retry_after=60)
    left: list[CycleResult | Exception] = [busy] * 4
    one = worker(queue, agenda, left, clock)
    await marked(one, queue, RETRY)
    (retry,) = (when for _, when, _ in agenda.looks)
    assert retry >= NOW + timedelta(seconds=60)
    for why in (INTERVAL, CATALOG, EXPIRY):
        await marked(one, queue, why)
    assert len(left) == 3
    await marked(one, queue, "asked for by a person")
    assert len(left) == 2
    clock.now = agenda.looks[-1][1]
    await marked(one, queue, INTERVAL)
    assert len(left) == 1


async def test_a_clock_that_went_backwards_does_not_prolong_the_waiting() -> None:
    queue, agenda, clock = DirtyQueue(), Agenda(), Clock()
    left: list[CycleResult | Exception] = [CycleResult(REPORT, is_ok=False, retry_after=60)] * 2
    one = worker(queue, agenda, left, clock)
    await marked(one, queue, RETRY)
    clock.now = NOW - timedelta(days=1)
    await marked(one, queue, INTERVAL)
    assert left == []


async def test_a_worker_survives_a_step_that_fails_after_its_cycle() -> None:
    queue, cycles = DirtyQueue(), 0
    done = asyncio.Event()

    class Stubborn:
        def schedule(self, *_: object) -> None:
            raise RuntimeError("a defect of the scheduler")

    async def work(_: str, __: tuple[str, ...]) -> CycleResult | None:
        nonlocal cycles
        cycles += 1
        if cycles == 1:
            return CycleResult(REPORT, is_ok=False)
        done.set()
        return None

    one = Worker("kong", work, queue, Stubborn(), lambda: NOW)  # type: ignore[arg-type]
    one._backoff.first = 0.001
    task = asyncio.create_task(one.run())
    queue.request("kong", RETRY)
    async with asyncio.timeout(30):
        await done.wait()
    one.stop()
    await task


async def test_expiries_seconds_apart_share_a_cycle_every_five_seconds() -> None:
    queue, agenda, clock = DirtyQueue(), Agenda(), Clock()
    ends = [NOW + timedelta(seconds=0.1 * number) for number in range(1, 601)]
    cycles: list[datetime] = []
    ended: dict[datetime, datetime] = {}

    async def work(_: str, __: tuple[str, ...]) -> CycleResult:
        cycles.append(clock.now)
        for end in ends:
            if end <= clock.now:
                ended.setdefault(end, clock.now)
        coming = [end for end in ends if end > clock.now]
        return CycleResult(REPORT, is_ok=True, next_check=min(coming, default=None))

    one = Worker("kong", work, queue, agenda, clock)  # type: ignore[arg-type]
    await marked(one, queue, CATALOG)
    while agenda.looks:
        _, clock.now, why = agenda.looks.pop()
        assert why == EXPIRY
        await marked(one, queue, EXPIRY)
    assert ended.keys() == set(ends)
    assert max(at - end for end, at in ended.items()) <= EXPIRY_SPACING
    assert ended[ends[0]] == ends[0], "the first one waits for nothing"
    # A minute of them: one cycle each five seconds, the first, and that of the catalog.
    assert len(cycles) <= 60 / 5 + 2


async def test_what_is_due_already_does_not_wait_for_the_spacing() -> None:
    queue, agenda = DirtyQueue(), Agenda()
    one = worker(queue, agenda, [CycleResult(REPORT, is_ok=True, next_check=NOW)])
    await marked(one, queue, EXPIRY)
    assert agenda.looks == [("kong", NOW, EXPIRY)]


async def test_a_clock_that_went_backwards_does_not_postpone_expiries() -> None:
    queue, agenda, clock = DirtyQueue(), Agenda(), Clock()
    earlier = NOW - timedelta(days=1)
    soon = earlier + timedelta(seconds=1)
    left: list[CycleResult | Exception] = [
        CycleResult(REPORT, is_ok=True), CycleResult(REPORT, is_ok=True, next_check=soon),
    ]  # fmt: skip
    one = worker(queue, agenda, left, clock)
    await marked(one, queue, EXPIRY)
    clock.now = earlier
    await marked(one, queue, CATALOG)
    assert agenda.looks == [("kong", soon, EXPIRY)]

"""Writes to a gateway with an admin limit wait for their turn instead of failing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapter_sdk.apply_each import BUSY_TRIES
from stoa_gitops.adapter_sdk.http.responses import Response
from stoa_gitops.adapters.stoa.pace import (
    DEFAULT_CALLS,
    MAX_WAIT_SECONDS,
    RESERVED_CALLS,
    WINDOW_SECONDS,
    AdminPace,
)
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.stoa.double import AdminLimit, Dialect, StoaDouble
from tests.adapters.stoa.rig import stoa_rig
from tests.contract.rig import TOKEN, api

BEGINNING = 1_795_223_000.0


@dataclass
class Clock:
    """A clock that only pauses move."""

    seconds: float = BEGINNING
    pauses: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds
        # Others have their turn, as in a pause of the event loop.
        await asyncio.sleep(0)

    def pace(self) -> AdminPace:
        return AdminPace(monotonic=self.now, now=self.now, sleep=self.sleep)


OK = Response(200)


def refusal(limit: str = "1000", reset: str = str(int(BEGINNING) + 40)) -> Response:
    return Response(429, {"x-ratelimit-limit": limit, "x-ratelimit-reset": reset})


async def test_writes_within_the_limit_wait_for_nothing() -> None:
    clock = Clock()
    pace = clock.pace()
    for _ in range(DEFAULT_CALLS - RESERVED_CALLS):
        await pace.wait_for_turn()
        pace.count_response(OK)
    assert clock.pauses == []
    await pace.wait_for_turn()
    assert clock.seconds - BEGINNING == WINDOW_SECONDS


def test_a_gateway_that_is_only_read_costs_no_memory() -> None:
    clock = Clock()
    pace = clock.pace()
    for _ in range(3 * DEFAULT_CALLS):
        clock.seconds += 1.0
        pace.count_response(OK)
    assert pace.remembered <= WINDOW_SECONDS


@pytest.mark.parametrize(("reset", "wait"), [
    (str(int(BEGINNING) + 40), 41.0), (str(int(BEGINNING) - 5), 1.0), ("soon", 0.0),
    (str(int(BEGINNING) + 10**6), MAX_WAIT_SECONDS),
])  # fmt: skip
async def test_a_refusal_says_when_to_come_again(reset: str, wait: float) -> None:
    clock = Clock()
    pace = clock.pace()
    pace.count_response(refusal(reset=reset))
    await pace.wait_for_turn()
    assert clock.seconds - BEGINNING == pytest.approx(wait)


@given(st.integers(1, 40), st.lists(st.integers(1, 60), max_size=60))
def test_no_window_ever_has_more_calls_than_the_limit(limit: int, writes: list[int]) -> None:
    clock = Clock()
    pace, gateway = clock.pace(), AdminLimit(limit, now=clock.now)
    pace.count_response(refusal(str(limit), str(int(BEGINNING))))

    async def run() -> None:
        for calls in (min(calls, limit) for calls in writes):
            await pace.wait_for_turn(calls)
            for _ in range(calls):
                assert gateway.refusal() is None
                pace.count_response(OK)

    asyncio.run(run())


async def converge(double: StoaDouble, pace: AdminPace, count: int) -> set[Status]:
    specs = {Key("api", "acme", f"a{n}"): api(f"a{n}") for n in range(count)}
    async with stoa_rig(double, pace) as rig:
        outcomes = await rig.converge(specs)
        assert (await rig.plan(specs)).is_empty
    return {outcome.status for outcome in outcomes}


async def test_more_apis_than_the_limit_are_applied_without_a_failure_and_a_refusal() -> None:
    clock = Clock()
    limit = AdminLimit(100, now=clock.now)
    double = StoaDouble(Dialect.REAL, TOKEN, limit)
    pace = clock.pace()
    pace.count_response(refusal("100", str(int(BEGINNING) - 1)))
    assert await converge(double, pace, 130) == {Status.APPLIED}
    assert len(double.routes) == 130
    assert limit.refused == 0
    assert clock.seconds - BEGINNING <= 90


async def test_calls_of_other_programs_are_waited_out() -> None:
    clock = Clock()
    limit = AdminLimit(100, now=clock.now)
    for _ in range(60):
        limit.refusal()
    double = StoaDouble(Dialect.REAL, TOKEN, limit)
    assert await converge(double, clock.pace(), 120) == {Status.APPLIED}
    assert limit.refused > 0


async def test_our_data_plane_is_never_waited_for() -> None:
    clock = Clock()
    pace = clock.pace()
    pace.count_response(refusal("1"))
    assert await converge(StoaDouble(Dialect.OURS, TOKEN), pace, 10) == {Status.APPLIED}
    assert clock.pauses == []


async def test_a_gateway_that_stays_busy_fails_its_writes_in_the_end() -> None:
    clock = Clock()
    double = StoaDouble(Dialect.REAL, TOKEN)
    async with stoa_rig(double, clock.pace()) as rig:
        plan = await rig.plan({Key("api", "acme", "a"): api("a")})
        double.limit = AdminLimit(0, now=clock.now)
        double.requests.clear()
        (outcome,) = await rig.execute(plan)
    assert (outcome.status, outcome.reason) == (Status.FAILED, "GatewayBusy")
    assert double.limit.refused >= BUSY_TRIES

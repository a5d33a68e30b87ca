"""Reads that take longer than one observation may: they go on where they were cut off, and end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Self

from stoa_gitops.adapters.gravitee.node.group_reader import READERS
from stoa_gitops.adapters.gravitee.node.session import DEEP_SECONDS
from stoa_gitops.adapters.gravitee.node.unfinished import OLDEST
from stoa_gitops.drivers.driver import Deadlines
from stoa_gitops.model.keys import API, APPLICATION, Key
from tests.adapters.front import Trouble
from tests.adapters.gravitee.testbed import Bed, bed
from tests.contract import rig as contract
from tests.contract.rig import BILLING, MOBILE, api

COUNT = 14
MOST = 60
PLANS, KEYS, SCHEMA = "/plans", "/api-keys", "/schema"


class Clock:
    """Seconds that pass where a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stall:
    """Answers some requests of an observation and none after them, as a slow server does."""

    def __init__(self, here: Bed, ending: str, answered: int) -> None:
        self._here, self._ending, self._answered, self.left = here, ending, answered, answered
        self.hangs, self._over = asyncio.Event(), asyncio.Event()

    def __enter__(self) -> Self:
        self._here.double.before = self._before
        return self

    def __exit__(self, *_: object) -> None:
        self._here.double.before = None
        self._over.set()

    async def _before(self, line: str) -> None:
        if not line.endswith(self._ending):
            return
        self.left -= 1
        if self.left < 0:
            self.hangs.set()
            await self._over.wait()

    def begin(self) -> None:
        """Let go of what hangs, which nobody waits for any more, and answer some again."""
        self._over.set()
        self._over, self.left = asyncio.Event(), self._answered
        self.hangs.clear()


def catalog() -> dict[Key, dict[str, Any]]:
    names = [f"api-{number:02}" for number in range(COUNT)]
    return {Key(API, "acme", name): api(name) for name in names}


def read_of(here: Bed, ending: str) -> list[str]:
    """Return the requests since the last call whose path ends so, and forget all."""
    found = [line for line in here.double.requests if line.endswith(ending)]
    here.double.requests.clear()
    return found


async def cut_off(here: Bed, stall: Stall) -> bool:
    """Read as the driver does, and cut it off where the server hangs; False where it was whole."""
    stall.begin()
    reading = asyncio.ensure_future(here.rig.adapter.list_cached(API))
    hanging = asyncio.ensure_future(stall.hangs.wait())
    await asyncio.wait([reading, hanging], return_when=asyncio.FIRST_COMPLETED)
    is_whole = reading.done()
    for task in (reading, hanging):
        task.cancel()
    await asyncio.gather(reading, hanging, return_exceptions=True)
    return not is_whole


async def prepared(here: Bed, specs: Mapping[Key, Mapping[str, Any]]) -> None:
    """Bring a catalog onto the gateway, and forget what was read of it."""
    await here.rig.converge(specs)
    here.rig.adapter._session.invalidate()  # type: ignore[attr-defined]  # as a new process
    here.double.requests.clear()


async def test_a_first_read_that_is_cut_off_goes_on_where_it_was() -> None:
    async with bed() as here:
        await prepared(here, catalog())
        times = 1
        with Stall(here, PLANS, 3) as stall:
            while await cut_off(here, stall):
                times += 1
                assert times < MOST
        lines = read_of(here, PLANS)
        # Whatever was answered was asked for once; what hung was asked for again.
        assert len(set(lines)) == COUNT
        assert len(lines) <= COUNT + (times - 1) * READERS
        assert (await here.rig.plan(catalog())).is_empty


async def test_what_a_gateway_is_is_asked_where_the_last_question_was_cut_off() -> None:
    async with bed() as here:
        adapter, front = here.rig.adapter, here.rig.lists
        assert front is not None
        adapter._session.info = None  # type: ignore[attr-defined]  # as a new process
        here.double.requests.clear()
        front.fail_after(5, Trouble.UNAUTHORIZED, ("GET *" + SCHEMA,))
        assert not (await adapter.health_check()).success
        answered = read_of(here, SCHEMA)
        front.heal()
        assert (await adapter.health_check()).success
        asked = read_of(here, SCHEMA)
        assert len(answered) == 5
        assert asked
        assert not set(answered) & set(asked)


async def test_observations_of_a_slow_gateway_end_with_one_that_is_whole() -> None:
    async with bed() as here:
        await prepared(here, catalog())
        here.rig.driver._deadlines = Deadlines(observe=2.0)
        times = 0
        with Stall(here, PLANS, 5) as stall:
            while not (state := await here.rig.observe()).is_complete:
                assert (state.error_reason, state.objects) == ("GatewayUnreachable", ())
                times += 1
                assert times < MOST
                stall.begin()
        assert {one.key for one in state.objects} == set(catalog())


async def test_what_was_read_in_full_before_waits_for_the_next_observations() -> None:
    clock = Clock()

    async def slow(line: str) -> None:
        clock.now += 10.0 if line.endswith(PLANS) else 0.0

    async with bed(clock=clock, settings={"deepEvery": 5}) as here:
        await prepared(here, catalog())
        assert (await here.rig.plan(catalog())).is_empty
        here.double.requests.clear()
        last = here.api(f"Api-{COUNT - 1:02}")
        here.double.before = slow
        read: list[str] = []
        looks = 0
        while len(set(read)) < COUNT:
            if not read:
                last.plans[0].spec["selectionRule"] = "{false}"  # no list shows it
            plan = await here.rig.plan(catalog())
            assert plan.complete, plan.error
            now = read_of(here, PLANS)
            assert len(now) <= DEEP_SECONDS / 10 + READERS
            # An observation reads some at least, once it has begun.
            assert now or not read
            read += now
            looks += 1
            assert looks < MOST
        assert len(read) == COUNT
        assert [change.key.name for change in plan.changes] == [f"api-{COUNT - 1:02}"]
        assert looks <= 5 + COUNT


async def test_what_was_read_too_long_ago_is_read_again() -> None:
    clock = Clock()
    async with bed(clock=clock) as here:
        await prepared(here, catalog())
        with Stall(here, PLANS, 6) as stall:
            assert await cut_off(here, stall)
        first = set(here.double.requests)
        clock.now += OLDEST + 1
        here.double.requests.clear()
        assert (await here.rig.observe()).is_complete
        again = read_of(here, PLANS)
        assert len(again) == COUNT
        assert first & set(again)


async def test_a_read_that_takes_many_hours_ends() -> None:
    clock = Clock()
    async with bed(clock=clock) as here:
        await prepared(here, catalog())
        times = 0
        with Stall(here, PLANS, 1) as stall:
            while await cut_off(here, stall):
                # The first ones are too old long before the last ones were read.
                clock.now += OLDEST / 3
                times += 1
                assert times < MOST
        assert (await here.rig.plan(catalog())).is_empty


async def test_what_is_written_meanwhile_is_read_again() -> None:
    async with bed() as here:
        await prepared(here, catalog())
        with Stall(here, PLANS, 10) as stall:
            assert await cut_off(here, stall)
        kept = {
            line.split("/")[-2]
            for line in here.double.requests
            if line.endswith(PLANS)
        }  # fmt: skip
        session: Any = here.rig.adapter._session  # type: ignore[attr-defined]
        written = next(api.id for api in here.double.store.apis.values() if api.id in kept)
        held = here.double.store.apis[written]
        held.plans[0].spec["selectionRule"] = "{false}"
        session.mark_changed(written)
        plan = await here.rig.plan(catalog())
        assert [change.key.name for change in plan.changes] == [held.spec["name"].lower()]


async def test_keys_of_an_api_with_many_subscribers_are_read_by_and_by(
    monkeypatch: Any,
) -> None:
    specs: dict[Key, dict[str, Any]] = {BILLING: api("billing", plans=[{"name": "gold"}])}
    for number in range(8):
        reference = f"env:KEY_{number}"
        monkeypatch.setitem(contract.SECRETS, reference, f"a-key-of-more-than-32-letters-{number}")
        monkeypatch.setitem(contract.HMACS, reference, f"hmac-{number}")
        specs[Key(APPLICATION, "acme", f"app-{number}")] = {
            "displayName": f"App {number}", "credentials": [
                {"type": "api_key", "key": {"$secret": reference}}
            ],
            "subscriptions": [{"api": "billing", "plan": "gold"}], "identifiers": {},
        }  # fmt: skip
    assert MOBILE not in specs
    async with bed() as here:
        await prepared(here, specs)
        times = 1
        with Stall(here, KEYS, 2) as stall:
            while await cut_off(here, stall):
                times += 1
                assert times < MOST
        lines = read_of(here, KEYS)
        assert len(set(lines)) == 8
        # One more for each time that a call hung.
        assert len(lines) == 8 + times - 1
        assert (await here.rig.plan(specs)).is_empty


async def test_another_gateway_in_its_place_is_read_from_the_start() -> None:
    async with bed(settings={"deepEvery": 1}) as here:
        await prepared(here, catalog())
        with Stall(here, PLANS, 10) as stall:
            assert await cut_off(here, stall)
        here.double.requests.clear()
        here.double.policies -= {"cache"}
        assert (await here.rig.plan(catalog())).is_empty
        assert len(read_of(here, PLANS)) == COUNT

"""Whom the process tells that there are routes to fetch, and what it says of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from stoa_gitops.daemon import reload_calls
from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.daemon.reload_calls import PAUSES, ReloadCalls
from stoa_gitops.errors import GatewayRefused, GatewayUnreachable
from stoa_gitops.fleet.registration import TABLE, Registration
from stoa_gitops.model.instances import GatewayAuth, GatewayInstance, RegistrationRules
from stoa_gitops.model.secret import SecretRef
from stoa_gitops.reconcile.status import StatusRegistry
from tests.unit.fleet.test_binding import EDGE, catalog_of, document, member

NOW = datetime(2026, 8, 1, tzinfo=UTC)
TOKEN = SecretRef.parse("env:EDGE_TOKEN")
FETCHING = replace(document("edge", EDGE), registration=RegistrationRules(EDGE, reload_token=TOKEN))


class World:
    """Gateways that `edge` takes; `called` has the names of those that were told."""

    def __init__(self, *members: Registration, document: GatewayInstance = FETCHING) -> None:
        self.gateways = RegisteredGateways(lambda: members)
        expanded = self.gateways.expand(catalog_of(document))
        self.statuses = StatusRegistry(lambda: NOW)
        self.statuses.publish_catalog(expanded, expanded.gateways)
        self.ids = [one.id for one in members]
        self.called: list[str] = []
        self.most = self.running = 0
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.pauses: list[float] = []
        self.calls = ReloadCalls(
            self.gateways, self.statuses, self.call, lambda: NOW, pause=self.pause
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def call(self, instance: GatewayInstance) -> None:
        self.called.append(instance.name)
        self.running += 1
        self.most = max(self.most, self.running)
        await self.gate.wait()
        self.running -= 1
        if self.error is not None:
            raise self.error

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.calls.follow())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    def told(self, name: str = "edge/a-edgemcp-prod") -> tuple[str, str, str]:
        (found,) = [c for c in self.statuses.conditions(name) if c.type == "Told"]
        return found.status.value, found.reason, found.message


async def test_a_gateway_with_a_token_in_its_document_is_told() -> None:
    world = World(member("a"))
    world.calls.request(world.ids[0])
    async with world.following():
        await world.settle()
        assert world.called == ["edge/a-edgemcp-prod"]
        assert world.told() == ("True", "Told", "")


@pytest.mark.parametrize("why", ["no token", "pushed", "table", "unbound", "unknown"])
async def test_nobody_else_is_called(why: str) -> None:
    one = member("a")
    given = {
        "no token": document("edge", EDGE),
        "pushed": replace(FETCHING, auth=GatewayAuth("bearer")),
        "unbound": document("other"),
    }.get(why, FETCHING)
    world = World(replace(one, extensions=(TABLE,)) if why == "table" else one, document=given)
    async with world.following():
        world.calls.request("nobody" if why == "unknown" else world.ids[0])
        await world.settle()
        assert world.called == []


async def test_what_comes_during_a_call_makes_one_more() -> None:
    world = World(member("a"))
    world.gate.clear()
    async with world.following():
        for _ in range(3):
            world.calls.request(world.ids[0])
            await world.settle()
        assert len(world.called) == 1
        world.gate.set()
        await world.settle()
        assert len(world.called) == 2
        assert world.most == 1


async def test_so_many_at_once_and_all_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload_calls, "CALLS_AT_ONCE", 2)
    world = World(*(member(f"pod-{number}") for number in range(5)))
    world.gate.clear()
    async with world.following():
        for gateway_id in world.ids:
            world.calls.request(gateway_id)
        await world.settle()
        assert len(world.called) == 2
        world.gate.set()
        await world.settle()
        assert len(set(world.called)) == 5
        assert world.most == 2


async def test_a_failure_is_a_condition_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    world = World(member("a"))
    world.error = GatewayRefused("it fetches no routes")
    async with world.following():
        for _ in range(2):
            world.calls.request(world.ids[0])
            await world.settle()
        assert world.told() == ("False", "GatewayRefused", "it fetches no routes")
        assert [record.message for record in caplog.records] == [
            "edge/a-edgemcp-prod was not told to fetch its routes: it fetches no routes"
        ]
        world.error = None
        world.calls.request(world.ids[0])
        await world.settle()
        assert world.told() == ("True", "Told", "")


async def test_one_that_registers_before_it_listens_is_called_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """STOA gateway 0.9.25 does; what is unreachable is no word in the log while it may come."""
    caplog.set_level(logging.WARNING)
    world = World(member("a"), member("b"))
    world.error = GatewayUnreachable("no connection")
    async with world.following():
        world.calls.request(world.ids[0])
        while len(world.called) < 4:
            await asyncio.sleep(0)
        assert not [c for c in world.statuses.conditions("edge/a-edgemcp-prod") if c.type == "Told"]
        world.error = None
        await world.settle()
        assert world.told() == ("True", "Told", "")
        assert caplog.records == []
        count = len(world.called)
        await world.settle()
        assert len(world.called) == count


async def test_one_that_stays_unreachable_is_given_up_until_it_starts_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    world = World(member("a"))
    world.error = GatewayUnreachable("no connection")
    async with world.following():
        for count in (1, 2):
            world.calls.request(world.ids[0])
            for _ in range(6):
                await world.settle()
            assert tuple(world.pauses) == PAUSES * count
            assert len(world.called) == (len(PAUSES) + 1) * count
            assert world.told() == ("False", "GatewayUnreachable", "no connection")
        assert len(caplog.records) == 1

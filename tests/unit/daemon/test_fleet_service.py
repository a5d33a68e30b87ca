"""Registered gateways of a process: stored, audited, watched and counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.control.process_port import NotReady
from stoa_gitops.daemon import fleet_service, refusals
from stoa_gitops.daemon.fleet_service import FleetService, Observer
from stoa_gitops.errors import GatewayUnknown, StoreError
from stoa_gitops.fleet.health import ErrorRules, Figures, GatewayStatus
from stoa_gitops.fleet.identity import Mode
from stoa_gitops.fleet.members import Registered, Transition
from stoa_gitops.fleet.registration import Registration
from stoa_gitops.model.principal import Principal, PrincipalKind
from stoa_gitops.store.sqlite import SqliteStore
from tests.unit.store.world import NOW

ME = Principal("me", PrincipalKind.LOCAL_USER)


def registration(hostname: str = "pod-1", **more: Any) -> Registration:
    given = {"version": "1", "admin_url": "http://10.0.0.1:8080", "key": "k1", "peer": "10.0.0.1"}
    environment = more.pop("environment", "prod")
    return Registration.named(hostname, Mode.EDGE_MCP, environment, **{**given, **more})


class Watching(Observer):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.starts: list[tuple[str, bool]] = []
        self.moves: list[tuple[str, str]] = []
        self.gone: list[str] = []

    def registered(self, registration: Registration, done: Registered) -> None:
        self.starts.append((registration.name, done.is_new))

    def moved(self, transition: Transition) -> None:
        self.moves.append((transition.name, transition.after.value))

    def forgotten(self, registration: Registration) -> None:
        self.gone.append(registration.name)


class World:
    """A service over a real store, with clocks to turn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds = 0.0
        self.step = timedelta(0)
        self.writes = 0
        self.fails: StoreError | None = None
        self.observer = Watching()

    async def start(self) -> None:
        """Begin as a new process on the same folder."""
        self.store = await SqliteStore.open(self.folder)
        save = self.store.save_registrations

        async def counted(*arguments: Any) -> None:
            if self.fails:
                raise self.fails
            self.writes += 1
            await save(*arguments)

        self.store.save_registrations = counted  # type: ignore[method-assign, assignment]
        nothing: Any = None
        self.service = FleetService(
            self.store, nothing, self.now, self.observer, steady=lambda: self.seconds
        )
        await self.service.restore()

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds) + self.step

    async def pass_time(self, seconds: float, *, beating: str | None = None) -> None:
        """Let time pass, a look each second; a heartbeat each 30 s of the one that is `beating`."""
        for second in range(int(seconds)):
            self.seconds += 1
            if beating is not None and second % 30 == 0:
                self.service.beat(beating, Figures(second))
            await self.service.tick()

    async def trail(self) -> list[tuple[str, str, str]]:
        entries = await self.store.list_audit(limit=500)
        return [(entry.action, entry.status, entry.actor) for entry in reversed(entries)]

    def figure(self, name: str, **labels: str) -> float:
        metric = next(one for one in self.service.metrics() if one.name == name)
        return sum(s.value for s in metric.samples if labels.items() <= dict(s.labels).items())


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    found = World(tmp_path)
    await found.start()
    yield found
    await found.store.close()


async def test_registrations_of_one_moment_are_a_few_transactions(world: World) -> None:
    members = await asyncio.gather(
        *(world.service.register(registration(f"pod-{number}")) for number in range(300))
    )
    assert len({member.registration.id for member in members}) == 300
    assert world.writes <= 3
    assert len(await world.store.load_registrations()) == 300
    assert len(await world.trail()) == 300


async def test_a_restart_restores_who_was_there_and_how_they_were(world: World) -> None:
    online = (await world.service.register(registration("a"))).registration.id
    silent = (await world.service.register(registration("b"))).registration.id
    await world.pass_time(100, beating=online)
    await world.store.close()
    await world.start()
    assert world.service.get(online).status is GatewayStatus.ONLINE
    assert world.service.get(silent).status is GatewayStatus.OFFLINE
    await world.pass_time(89)
    assert world.service.get(online).status is GatewayStatus.ONLINE, "it has its 90 s from now"
    await world.pass_time(3)
    assert world.service.get(online).status is GatewayStatus.OFFLINE
    world.service.beat(silent, None)
    assert world.service.get(silent).status is GatewayStatus.ONLINE


async def test_heartbeats_are_written_once_a_minute_and_transitions_at_once(world: World) -> None:
    ids = [
        (await world.service.register(registration(f"pod-{number}"))).registration.id
        for number in range(5)
    ]
    await world.pass_time(1)
    before = world.writes
    for _ in range(6):
        for one in ids:
            world.service.beat(one, Figures(1, requests=100, error_rate=0.0))
        await world.pass_time(10)
    assert world.writes - before <= 2
    before = world.writes
    world.service.beat(ids[0], Figures(2, requests=200, error_rate=0.5))
    await world.pass_time(1)
    assert world.writes - before == 1
    stored = {one.registration.id: one.status for one in await world.store.load_registrations()}
    assert stored[ids[0]] == "DEGRADED"


async def test_transitions_are_told_logged_and_counted(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gateway_id = (await world.service.register(registration())).registration.id
    await world.pass_time(95)
    world.service.beat(gateway_id, None)
    name = "pod-1-edgemcp-prod"
    assert world.observer.moves == [(name, "ONLINE"), (name, "OFFLINE"), (name, "ONLINE")]
    assert f"{name}: OFFLINE, it was ONLINE: no heartbeat for 90 s" in caplog.text
    assert world.figure("stoa_gitops_gateway_transitions_total", state="OFFLINE") == 1
    labels = {"state": "ONLINE", "environment": "prod"}
    assert world.figure("stoa_gitops_gateways", **labels) == 1
    assert world.figure("stoa_gitops_heartbeats_total") == 1


async def test_a_gateway_that_flaps_fills_neither_the_trail_nor_the_store(world: World) -> None:
    for _ in range(100):
        await world.service.register(registration())
        await world.pass_time(5)
    assert [status for _, status, _ in await world.trail()] == ["registered"]
    assert len(world.service.fleet) == 1
    await world.pass_time(700)
    await world.service.register(registration())
    assert [status for _, status, _ in await world.trail()] == ["registered", "repeated"]
    assert world.figure("stoa_gitops_registrations_total", result="again") == 100


async def test_a_flood_of_refusals_leaves_one_entry_and_one_sum_a_minute_of_each_peer(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.service.register(registration())
    for number in range(10_000):
        world.service.refuse(f"192.0.2.{number % 3}", "f00", "Invalid gateway key")
    await world.pass_time(61)
    trail = await world.trail()
    assert trail.count(("register", "refused", "gateway key f00 from 192.0.2.1")) == 2
    assert len(trail) == 1 + 3 * 2
    assert "3332 more registrations within a minute" in caplog.text
    assert len([one for one in caplog.records if one.levelno == logging.WARNING]) == 6
    assert world.figure("stoa_gitops_registrations_total", result="refused") == 10_000


async def test_refusals_of_many_peers_are_bounded(world: World) -> None:
    for number in range(5_000):
        world.service.refuse(f"10.{number // 250}.{number % 250}.1", "", "no key")
    await world.pass_time(61)
    trail = await world.trail()
    assert len(trail) <= 2 * (refusals.MAX_PEERS + 1)
    assert ("register", "refused", "gateway key none from other addresses") in trail


async def test_refusals_never_push_out_what_else_was_audited(tmp_path: Path) -> None:
    from stoa_gitops.store import Retention

    world = World(tmp_path)
    await world.start()
    await world.store.close()
    world.store = await SqliteStore.open(tmp_path, retention=Retention(audit=20))
    world.service.store = world.store
    await world.service.register(registration())
    for minute in range(20):
        for peer in range(5):
            world.service.refuse(f"192.0.2.{peer}", "", "no key")
        await world.pass_time(61)
        assert ("register", "registered", "gateway key k1 from 10.0.0.1") in await world.trail(), (
            minute
        )
    await world.store.close()


async def test_a_registration_that_is_not_stored_is_none(world: World) -> None:
    world.fails = StoreError("the disk is full")
    with pytest.raises(StoreError):
        await world.service.register(registration())
    assert len(world.service.fleet) == 0
    assert world.observer.starts == []
    assert world.service.troubles() == ["registrations are not stored: the disk is full"]
    world.fails = None
    await world.service.register(registration())
    assert world.service.troubles() == []
    assert [status for _, status, _ in await world.trail()] == ["registered"]


async def test_a_change_that_is_not_stored_at_once_is_stored_and_audited_later(
    world: World,
) -> None:
    gateway_id = (await world.service.register(registration())).registration.id
    world.fails = StoreError("locked")
    with pytest.raises(StoreError):
        await world.service.register(registration(version="2"))
    world.service.beat(gateway_id, Figures(1))
    await world.pass_time(70)
    world.fails = None
    await world.pass_time(1)
    (record,) = await world.store.load_registrations()
    assert record.registration.version == "2"
    assert record.last_beat_at is not None
    assert [status for _, status, _ in await world.trail()] == ["registered", "updated"]


async def test_only_so_many_gateways_register(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_service, "MAX_GATEWAYS", 2)
    for number in range(2):
        await world.service.register(registration(f"pod-{number}"))
    with pytest.raises(NotReady, match="2 gateways are registered"):
        await world.service.register(registration("pod-3"))
    await world.service.register(registration("pod-1"))


async def test_who_is_offline_for_too_long_is_forgotten_unless_kept(world: World) -> None:
    for name in ("named", "short", "usual"):
        await world.service.register(registration(name))
    ids = {one.registration.hostname: one.registration.id for one in world.service.fleet}
    await world.pass_time(95)
    world.seconds += timedelta(days=2).total_seconds()
    await world.pass_time(40)
    assert len(world.service.fleet) == 3, "nobody is forgotten while documents are not known"
    world.service.list_kept = lambda: ({ids["named"]}, {ids["short"]: timedelta(days=1)})
    await world.pass_time(40)
    assert {one.registration.hostname for one in world.service.fleet} == {"named", "usual"}
    world.seconds += timedelta(days=6).total_seconds()
    await world.pass_time(40)
    assert {one.registration.hostname for one in world.service.fleet} == {"named"}
    assert len(await world.store.load_registrations()) == 1
    assert world.observer.gone == ["short-edgemcp-prod", "usual-edgemcp-prod"]
    assert [status for action, status, _ in await world.trail() if action == "forget"] == [
        "forgotten",
        "forgotten",
    ]


async def test_a_person_forgets_a_gateway_and_it_comes_back_when_it_registers(
    world: World,
) -> None:
    gateway_id = (await world.service.register(registration())).registration.id
    await world.service.forget(gateway_id, ME)
    assert await world.store.load_registrations() == ()
    with pytest.raises(GatewayUnknown):
        world.service.beat(gateway_id, None)
    member = await world.service.register(registration())
    assert member.registration.id == gateway_id
    assert len(await world.store.load_registrations()) == 1


async def test_two_processes_with_one_host_name_are_said_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    gateway_id = (await world.service.register(registration())).registration.id
    for turn in range(6):
        world.service.beat(gateway_id, Figures(1_000 + turn * 30))
        world.service.beat(gateway_id, Figures(10 + turn * 30))
        await world.pass_time(30)
    said = [record.message for record in caplog.records if "several processes" in record.message]
    assert len(said) == 1
    assert world.service.shared == {gateway_id}


async def test_rules_of_documents_apply_to_errors(world: World) -> None:
    gateway_id = (await world.service.register(registration())).registration.id
    world.service.list_rules = lambda: {gateway_id: ErrorRules(above=0.5), "gone": ErrorRules()}
    await world.pass_time(31)
    world.service.beat(gateway_id, Figures(1, requests=100, error_rate=0.4))
    assert world.service.get(gateway_id).status is GatewayStatus.ONLINE
    world.service.beat(gateway_id, Figures(1, requests=200, error_rate=0.6))
    assert world.service.get(gateway_id).status is GatewayStatus.DEGRADED


async def test_environments_beyond_a_bound_have_one_series_and_hide_none(world: World) -> None:
    await world.service.register(registration(environment="prod"))
    await world.pass_time(1)
    for number in range(60):
        await world.service.register(registration(environment=f"a-{number}"))
    metric = next(one for one in world.service.metrics() if one.name == "stoa_gitops_gateways")
    assert len(metric.samples) == 51 * len(GatewayStatus)
    assert world.figure("stoa_gitops_gateways", environment="prod", state="ONLINE") == 1
    assert world.figure("stoa_gitops_gateways", environment="(others)", state="ONLINE") == 11


async def test_a_store_that_answers_late_keeps_nobody_online(world: World) -> None:
    gateway_id = (await world.service.register(registration())).registration.id
    locked, save = asyncio.Event(), world.store.save_registrations

    async def wait(*arguments: Any) -> None:
        await locked.wait()
        await save(*arguments)

    world.store.save_registrations = wait  # type: ignore[method-assign]

    async def turn(seconds: float) -> None:
        world.seconds += seconds
        await asyncio.sleep(0)
        if world.seconds > 200:
            raise asyncio.CancelledError

    world.service.beat(gateway_id, Figures(1))
    world.service.pause = turn
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(world.service.run(), 30)
    assert world.observer.moves[-1] == ("pod-1-edgemcp-prod", "OFFLINE")
    locked.set()
    await world.service.stop()
    (record,) = await world.store.load_registrations()
    assert record.status == "OFFLINE"


async def test_an_error_of_ours_while_storing_ends_the_task(world: World) -> None:
    world.fails = TypeError("ours")  # type: ignore[assignment]
    turns = 0

    async def turn(_: float) -> None:
        nonlocal turns
        turns += 1
        assert turns < 1_000
        await asyncio.sleep(0)

    world.service.refuse("192.0.2.1", "", "no key")
    world.service.pause = turn
    with pytest.raises(TypeError, match="ours"):
        await world.service.run()


async def test_a_flood_of_one_key_pushes_out_nothing_of_others(tmp_path: Path) -> None:
    from stoa_gitops.store import AuditEntry, Retention

    world = World(tmp_path)
    await world.start()
    await world.store.close()
    world.service.store = world.store = await SqliteStore.open(
        tmp_path, retention=Retention(audit=30)
    )
    await world.store.append_audit(
        [AuditEntry(world.now(), "me", "pod-9", "", "suspend", "applied", "")]
    )
    await world.service.register(registration("pod-9", key="k9"))
    for number in range(200):
        await world.service.register(registration(version=str(number), key="k1"))
    trail = await world.trail()
    assert len(trail) <= 30
    assert ("suspend", "applied", "me") in trail
    assert ("register", "registered", "gateway key k9 from 10.0.0.1") in trail
    await world.store.close()


async def test_a_full_fleet_forgets_who_is_offline_longest_and_not_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_service, "MAX_GATEWAYS", 3)
    ids = []
    for number in range(3):
        ids.append((await world.service.register(registration(f"pod-{number}"))).registration.id)
        await world.pass_time(1)
    world.service.list_kept = lambda: ((ids[0],), {})
    with pytest.raises(NotReady, match="3 gateways are registered"):
        await world.service.register(registration("pod-3"))
    await world.pass_time(100, beating=ids[2])
    await world.service.register(registration("pod-3"))
    assert world.observer.gone == ["pod-1-edgemcp-prod"]
    with pytest.raises(NotReady, match="3 gateways are registered"):
        await world.service.register(registration("pod-4"))
    assert [one.registration.name for one in await world.store.load_registrations()] == [
        "pod-0-edgemcp-prod",
        "pod-2-edgemcp-prod",
        "pod-3-edgemcp-prod",
    ]


@pytest.mark.parametrize("hours", [[1], [-1], [1, -1, 1], [-1, 1], [24 * 30], [-24 * 30]])
async def test_a_clock_that_steps_forgets_nobody_and_marks_nobody(
    world: World, hours: list[int]
) -> None:
    """Half an hour OFFLINE is half an hour that passed, whatever the time of day says."""
    beating = (await world.service.register(registration("beating"))).registration.id
    leaving = (await world.service.register(registration("leaving"))).registration.id
    silent = (await world.service.register(registration("silent"))).registration.id
    half_an_hour = timedelta(minutes=30)
    world.service.list_kept = lambda: ((), {leaving: half_an_hour, silent: half_an_hour})
    world.service.leave(leaving, ME)
    await world.pass_time(95, beating=beating)
    for hour in hours:
        world.step += timedelta(hours=hour)
        await world.pass_time(100, beating=beating)
        statuses = {one.registration.hostname: one.status.value for one in world.service.fleet}
        assert statuses == {"beating": "ONLINE", "leaving": "OFFLINE", "silent": "OFFLINE"}
    assert world.observer.moves[3:] == [
        ("leaving-edgemcp-prod", "OFFLINE"),
        ("silent-edgemcp-prod", "OFFLINE"),
    ]
    # One that left after the step is measured by the same hours.
    world.service.leave(beating, ME)
    await world.pass_time(1800)
    assert world.observer.gone == ["leaving-edgemcp-prod", "silent-edgemcp-prod"]
    assert [one.registration.hostname for one in world.service.fleet] == ["beating"]


async def test_nobody_is_forgotten_before_it_could_be_heard_again(world: World) -> None:
    """A gateway that was OFFLINE when this process stopped may have come back meanwhile."""
    gateway_id = (await world.service.register(registration())).registration.id
    await world.pass_time(95)
    await world.store.close()
    world.seconds += timedelta(days=8).total_seconds()
    await world.start()
    world.service.list_kept = lambda: ((), {})
    await world.pass_time(30)
    world.service.beat(gateway_id, Figures(1))
    await world.pass_time(600, beating=gateway_id)
    assert world.observer.gone == []
    assert world.service.get(gateway_id).status is GatewayStatus.ONLINE


async def test_how_long_a_gateway_is_offline_counts_over_restarts(world: World) -> None:
    await world.service.register(registration())
    await world.pass_time(95)
    await world.store.close()
    world.seconds += timedelta(days=8).total_seconds()
    await world.start()
    world.service.list_kept = lambda: ((), {})
    await world.pass_time(125)
    assert world.observer.gone == ["pod-1-edgemcp-prod"]


async def test_a_clock_that_goes_back_keeps_registrations_in_the_trail(world: World) -> None:
    await world.service.register(registration())
    world.step = timedelta(hours=-1)
    await world.service.register(registration())
    await world.service.register(registration())
    assert [status for _, status, _ in await world.trail()] == ["registered", "repeated"]


async def test_a_known_gateway_that_comes_while_nothing_is_stored_is_told_of(world: World) -> None:
    """What memory holds is what everybody in the process knows, stored or not."""
    gateway_id = (await world.service.register(registration())).registration.id
    await world.pass_time(95)
    world.fails = StoreError("the disk is full")
    with pytest.raises(StoreError):
        await world.service.register(registration(tenant_id="acme"))
    assert world.service.get(gateway_id).status is GatewayStatus.ONLINE
    assert world.observer.moves[-1] == ("pod-1-edgemcp-prod", "ONLINE")
    assert world.observer.starts[-1] == ("pod-1-edgemcp-prod", False)
    assert world.figure("stoa_gitops_gateway_transitions_total", state="ONLINE") == 2


async def test_two_first_registrations_of_one_gateway_that_are_not_stored_leave_nothing(
    world: World,
) -> None:
    world.fails = StoreError("the disk is full")
    results = await asyncio.gather(
        *(world.service.register(registration()) for _ in range(2)), return_exceptions=True
    )
    assert all(isinstance(one, StoreError) for one in results)
    assert len(world.service.fleet) == 0
    assert world.observer.starts == []
    world.fails = None
    await world.pass_time(1)
    await world.service.register(registration())
    assert [status for _, status, _ in await world.trail()] == ["registered"]

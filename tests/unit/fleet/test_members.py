"""What registrations, heartbeats and time do to gateways."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from stoa_gitops.errors import GatewayUnknown
from stoa_gitops.fleet.health import ErrorRules, Figures, GatewayStatus
from stoa_gitops.fleet.identity import Mode
from stoa_gitops.fleet.members import Fleet
from stoa_gitops.fleet.registration import Registration

ONLINE, DEGRADED, OFFLINE = GatewayStatus
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def registration(hostname: str = "gw-1", **changes: object) -> Registration:
    named = Registration.named(
        hostname, Mode.EDGE_MCP, "prod", version="0.9.25", admin_url="http://10.0.0.1:8080"
    )
    return replace(named, **changes)  # type: ignore[arg-type]


ONE = registration()


def at(now: float) -> datetime:
    return T0 + timedelta(seconds=now)


class World:
    """A fleet, and the seconds that have passed."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.now = 0.0

    def register(self, one: Registration = ONE) -> None:
        self.fleet.register(one, self.now, at(self.now))

    def beat(self, one: Registration = ONE, *, failed: float = 0.0, requests: int = 0) -> None:
        figures = Figures(int(self.now), requests=requests, error_rate=failed)
        self.fleet.beat(one.id, figures, self.now, at(self.now))

    def wait(self, seconds: float) -> list[tuple[str, GatewayStatus]]:
        """Let time pass, with a tick each second; return who changed."""
        moved = []
        for _ in range(int(seconds)):
            self.now += 1
            moved += [(m.name, m.after) for m in self.fleet.tick(self.now, at(self.now))]
        return moved

    def status(self, one: Registration = ONE) -> GatewayStatus:
        return self.fleet.get(one.id).status


@pytest.fixture
def world() -> World:
    return World()


def test_a_registration_makes_a_gateway_online(world: World) -> None:
    world.register()
    assert world.status() is ONLINE
    assert world.fleet.find("gw-1-edge-mcp-production") is world.fleet.get(ONE.id)


def test_the_same_gateway_again_is_the_same(world: World) -> None:
    world.register()
    changed = registration(version="0.9.26", admin_url="http://10.0.0.2:8080")
    done = world.fleet.register(changed, 5.0, at(5.0))
    assert (done.is_new, done.changed, done.transition) == (False, ("version", "admin_url"), None)
    assert len(world.fleet) == 1
    assert world.fleet.get(ONE.id).registered_at == T0
    assert world.fleet.get(ONE.id).last_registered_at == at(5.0)


def test_ninety_seconds_of_silence_are_allowed_and_no_more(world: World) -> None:
    world.register()
    assert world.wait(90) == []
    assert world.wait(1) == [(ONE.name, OFFLINE)]
    assert world.fleet.get(ONE.id).since == at(91)
    assert world.wait(100) == []


def test_a_heartbeat_brings_a_gateway_back(world: World) -> None:
    world.register()
    world.wait(100)
    world.beat()
    assert world.status() is ONLINE
    assert world.wait(90) == []


def test_errors_degrade_and_silence_is_worse(world: World) -> None:
    world.register()
    world.beat(failed=0.5, requests=10)
    assert world.status() is DEGRADED
    assert world.wait(91) == [(ONE.name, OFFLINE)]
    world.beat(failed=0.5, requests=10)  # no new requests: as before
    assert world.status() is DEGRADED
    world.beat(failed=0.05, requests=110)
    assert world.status() is ONLINE


def test_the_rules_of_a_document_count(world: World) -> None:
    world.register()
    world.fleet.use_rules(ONE.id, ErrorRules(above=0.6))
    world.beat(failed=0.5, requests=10)
    assert world.status() is ONLINE


def test_a_heartbeat_without_sense_is_a_sign_of_life(world: World) -> None:
    world.register()
    world.wait(80)
    world.fleet.beat(ONE.id, None, world.now, at(world.now))
    assert world.wait(80) == []
    assert world.fleet.get(ONE.id).figures is None


@pytest.mark.parametrize("pause", [6, 95, 3600])
def test_a_pause_of_this_process_marks_nobody(world: World, pause: int) -> None:
    world.register()
    world.wait(10)
    world.now += pause  # no tick in between: the process was stopped
    assert world.wait(30) == []
    world.beat()
    assert world.wait(90) == []


def test_after_a_pause_silence_still_counts(world: World) -> None:
    world.register()
    world.wait(10)
    world.now += 3600
    assert world.wait(31) == [(ONE.name, OFFLINE)]


def test_a_gateway_that_stops_says_so(world: World) -> None:
    world.register()
    moved = world.fleet.leave(ONE.id, 1.0, at(1))
    assert moved is not None
    assert (moved.before, moved.after) == (ONLINE, OFFLINE)
    assert world.fleet.leave(ONE.id, 2.0, at(2)) is None
    world.register()
    assert world.status() is ONLINE


def test_nobody_knows_a_gateway_that_never_registered(world: World) -> None:
    for call in (world.beat, lambda: world.fleet.leave(ONE.id, 0.0, T0), world.status):
        with pytest.raises(GatewayUnknown, match="register again"):
            call()


def test_a_restart_of_this_process_keeps_statuses_and_totals(world: World) -> None:
    world.register()
    world.register(registration("gw-2"))
    world.beat(requests=1000)
    world.wait(70)
    world.beat(requests=1000)
    world.wait(30)
    records = world.fleet.take_unsaved(world.now)
    assert [(r.registration.hostname, r.status) for r in records] == [
        ("gw-1", "ONLINE"),
        ("gw-2", "OFFLINE"),
    ] or [(r.registration.hostname, r.status) for r in records] == [
        ("gw-2", "OFFLINE"),
        ("gw-1", "ONLINE"),
    ]
    later = World()
    later.now = 5000.0
    later.fleet.restore(records, later.now, at(later.now))
    assert later.wait(90) == []
    later.beat(requests=1100, failed=10 / 1100)
    assert later.status() is DEGRADED  # ten of the last hundred
    assert later.status(registration("gw-2")) is OFFLINE


def test_records_are_written_when_something_moves_and_once_a_minute(world: World) -> None:
    def written() -> int:
        return len(world.fleet.take_unsaved(world.now))

    world.register()
    assert written() == 1
    world.beat()  # the first one: its status is from heartbeats after a restart, too
    assert written() == 1
    world.beat()
    assert written() == 0
    world.wait(59)
    world.beat()
    assert written() == 0
    world.wait(1)
    assert written() == 1
    assert written() == 0
    world.beat(failed=1.0, requests=5)  # degraded: at once
    assert written() == 1


def test_one_that_flaps_is_known_by_its_registrations(world: World) -> None:
    for _ in range(5):
        world.register()
        world.now += 5
    assert world.fleet.count_registrations(ONE.id, world.now) == 5
    world.now += 590
    assert world.fleet.count_registrations(ONE.id, world.now) == 2
    for _ in range(100):
        world.register()
    assert world.fleet.count_registrations(ONE.id, world.now) == 20, "it is bounded"


def test_records_that_could_not_be_written_come_again(world: World) -> None:
    world.register()
    records = world.fleet.take_unsaved(0.0)
    world.fleet.keep_unsaved(records)
    assert world.fleet.take_unsaved(0.0) == records
    world.fleet.keep_unsaved(records)
    world.fleet.forget(ONE.id)
    assert world.fleet.take_unsaved(0.0) == ()


def test_who_was_silent_for_a_week_may_be_forgotten(world: World) -> None:
    world.register()
    world.register(registration("gw-2"))
    world.register(registration("gw-3"))
    world.wait(91)
    two, three = registration("gw-2"), registration("gw-3")
    week = 91 + timedelta(days=7).total_seconds()
    assert world.fleet.forgettable(week) == ()
    later = week + 1
    after = {three.id: timedelta(days=8)}
    assert [m.name for m in world.fleet.forgettable(later, {two.id}, after)] == [ONE.name]
    world.fleet.forget(ONE.id)
    assert world.fleet.find(ONE.name) is None
    with pytest.raises(GatewayUnknown):
        world.beat()


def test_half_an_hour_of_a_thousand_gateways_marks_nobody_wrongly_and_the_silent_ones() -> None:
    chance, world = random.Random(7), World()
    gateways = [registration(f"gw-{number}") for number in range(1000)]
    silent = {one.id: 300 + chance.randrange(1200) for one in gateways[:50]}
    due = {one.id: chance.uniform(0, 30) for one in gateways}
    last_beat: dict[str, float] = {}
    offline: dict[str, float] = {}
    for one in gateways:
        world.register(one)
    while world.now < 1800:
        # The process is stopped for up to two minutes now and then; heartbeats wait that long.
        world.now += chance.uniform(6, 120) if chance.random() < 0.003 else 1.0
        for one in gateways:
            if due[one.id] <= world.now and world.now < silent.get(one.id, 9e9):
                world.beat(one)
                last_beat[one.id] = world.now
                due[one.id] = world.now + 30 * chance.uniform(0.8, 1.2)
        for moved in world.fleet.tick(world.now, at(world.now)):
            assert moved.after is OFFLINE
            offline[moved.id] = world.now
    assert set(offline) == set(silent)
    assert all(offline[one] - last_beat[one] > 90 for one in offline)

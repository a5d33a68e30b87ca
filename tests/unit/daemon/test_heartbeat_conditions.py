"""What heartbeats make of the conditions of registered gateways."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from stoa_gitops.daemon.heartbeat_conditions import HeartbeatConditions
from stoa_gitops.daemon.registered_gateways import RegisteredGateways
from stoa_gitops.fleet.health import Figures
from stoa_gitops.fleet.members import Fleet
from stoa_gitops.model.conditions import Condition, ConditionReason, ConditionStatus
from stoa_gitops.model.instances import GatewayAuth
from stoa_gitops.reconcile.status import StatusRegistry
from tests.unit.fleet.test_binding import EDGE, catalog_of, document, member

NOW = datetime(2026, 8, 1, tzinfo=UTC)


class World:
    """A fleet of one gateway that `edge` takes, and the status of its process."""

    def __init__(self, auth: str = "none") -> None:
        self.fleet = Fleet()
        self.registration = member("a")
        self.fleet.register(self.registration, 0.0, NOW)
        self.gateways = RegisteredGateways(lambda: (one.registration for one in self.fleet))
        catalog = catalog_of(replace(document("edge", EDGE), auth=GatewayAuth(auth)))
        expanded = self.gateways.expand(catalog)
        self.statuses = StatusRegistry(lambda: NOW)
        self.statuses.publish_catalog(expanded, expanded.gateways)
        self.saved = 0
        self.conditions = HeartbeatConditions(
            self.gateways, self.statuses, lambda: self.fleet.members, self.save
        )

    async def save(self) -> None:
        self.saved += 1

    def beat(self, requests: int, rate: float) -> None:
        self.fleet.beat(
            self.registration.id, Figures(1, requests=requests, error_rate=rate), 1, NOW
        )
        self.conditions.take(self.registration.id)

    def leave(self, at: datetime = NOW) -> None:
        self.fleet.leave(self.registration.id, 1.0, at)
        self.conditions.take(self.registration.id)

    def truths(self) -> dict[str, tuple[str, str]]:
        found = self.statuses.conditions("edge/a-edgemcp-prod")
        return {one.type: (one.status.value, one.reason) for one in found}

    def condition(self, kind: str) -> Condition:
        found = self.statuses.conditions("edge/a-edgemcp-prod")
        return next(one for one in found if one.type == kind)


def test_a_gateway_that_was_always_well_has_neither_condition() -> None:
    world = World()
    world.beat(10, 0.0)
    world.conditions.look()
    assert world.truths() == {}


def test_one_that_goes_silent_and_comes_back_says_so_and_since_when() -> None:
    world = World()
    world.beat(10, 0.0)
    later = NOW + timedelta(minutes=2)
    world.leave(later)
    assert world.truths() == {"Online": ("False", "Silent")}
    assert world.condition("Online").last_transition == later
    assert world.condition("Online").message == "no heartbeat since 2026-08-01T00:00:00+00:00"
    world.beat(20, 0.0)
    assert world.truths() == {"Online": ("True", "Heard")}


def test_one_that_never_sent_a_heartbeat_is_silent_where_it_fetches_only() -> None:
    world = World()
    world.leave()
    assert world.condition("Online").message == "no heartbeat ever came"
    pushed = World("bearer")
    pushed.leave()
    assert pushed.truths() == {}, "health checks say how it is"


def test_errors_show_until_they_are_gone_and_through_a_silence() -> None:
    world = World()
    world.beat(100, 0.5)
    assert world.truths() == {"Healthy": ("False", "ErrorRate")}
    assert world.condition("Healthy").message == "50.0% of its latest requests failed"
    world.leave()
    assert world.truths()["Healthy"] == ("False", "ErrorRate"), "nothing better is known"
    world.beat(200, 0.25)
    assert world.truths() == {"Healthy": ("True", "Recovered"), "Online": ("True", "Heard")}


async def test_what_was_restored_wrongly_is_put_right_and_stored() -> None:
    world = World()
    world.beat(10, 0.0)
    wrong = Condition("Online", ConditionStatus.FALSE, ConditionReason.SILENT, "", 0, NOW)
    world.statuses.restore_conditions("edge/a-edgemcp-prod", [wrong])
    world.conditions.pause = lambda _: asyncio.sleep(0)
    following = asyncio.ensure_future(world.conditions.follow())
    while world.saved < 1:
        await asyncio.sleep(0)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    assert world.truths() == {"Online": ("True", "Heard")}


@pytest.mark.parametrize("what", ["forgotten", "unbound", "of another process"])
def test_a_gateway_that_is_not_here_has_no_conditions(what: str) -> None:
    world = World()
    world.fleet.leave(world.registration.id, 1.0, NOW)
    if what == "forgotten":
        world.fleet.forget(world.registration.id)
    elif what == "unbound":
        world.gateways.expand(catalog_of())
    else:
        world.statuses.publish_catalog(catalog_of(), ())
    world.conditions.take(world.registration.id)
    world.conditions.look()
    assert world.truths() == {}

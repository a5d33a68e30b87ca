"""Probes: calls through the gateway after a write, which make one outcome fail and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web

from stoa_gitops.drivers.route_probe import PROBE_FAILED, ProbePolicy, Prober
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import PlanHints, Probe, Resource, SourceRef
from tests.adapters.front import listening

QUICK = ProbePolicy(in_a_row=3, seconds=5.0, answer_seconds=1.0, pause_seconds=0.0)


class FakeClock:
    """Time that passes only while the prober pauses: a slow machine fails no test."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += 1.0


def impatient(base_url: str) -> Prober:
    """Return a prober that gives up after five tries, for routes that never become live."""
    clock = FakeClock()
    return Prober(base_url, QUICK, clock=clock, sleep=clock.sleep)


def outcome(probe: Probe | None, status: Status = Status.APPLIED) -> Outcome:
    key = Key("api", "acme", "billing")
    resource = Resource(key, Spec.of({}), SourceRef("a.yaml"), PlanHints(probe=probe))
    return Outcome(Change(Action.CREATE, key, resource), status)


@asynccontextmanager
async def answering(
    status: Callable[[web.Request, int], int],
) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve statuses by the number of the call; yields the base URL and what was asked."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(f"{request.host} {request.path_qs}")
        return web.Response(status=status(request, len(asked)), headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    runner, base_url = await listening(app)
    yield base_url, asked
    await runner.cleanup()


async def test_several_good_responses_in_a_row_prove_a_route_at_its_host() -> None:
    async with answering(lambda _, __: 200) as (base_url, asked):
        probe = Probe("/apis/acme/billing/health?deep=1", 200, "api.example.com")
        (checked,) = await Prober(base_url, QUICK).check([outcome(probe)])
    assert checked.status is Status.APPLIED
    assert asked == ["api.example.com /apis/acme/billing/health?deep=1"] * 3


async def test_responses_that_alternate_are_not_believed_until_they_stop() -> None:
    """One worker has the new routes, the other has not."""
    async with answering(lambda _, n: 404 if n in (1, 3, 5) else 200) as (base_url, asked):
        (checked,) = await Prober(base_url, QUICK).check([outcome(Probe("/x"))])
    assert checked.status is Status.APPLIED
    assert len(asked) == 5 + 3


@pytest.mark.parametrize("status", [404, 302, 500])
async def test_another_status_fails_this_outcome_with_what_was_seen(status: int) -> None:
    async with answering(lambda _, __: status) as (base_url, _asked):
        good = outcome(None)
        bad, other = await impatient(base_url).check([outcome(Probe("/x")), good])
    assert (bad.status, bad.reason) == (Status.FAILED, PROBE_FAILED)
    assert f"GET /x through {base_url} was answered with {status}" in bad.message
    assert other is good


async def test_an_unreachable_gateway_fails_the_outcome_and_not_the_apply() -> None:
    (checked,) = await impatient("http://127.0.0.1:9").check([outcome(Probe("/x"))])
    assert (checked.status, checked.reason) == (Status.FAILED, PROBE_FAILED)
    assert "failed (ConnectError)" in checked.message


async def test_what_was_not_written_or_has_no_probe_is_not_called() -> None:
    given = [outcome(None), outcome(Probe("/x"), Status.FAILED)]
    async with answering(lambda _, __: 200) as (base_url, asked):
        assert await Prober(base_url, QUICK).check(given) == given
    assert asked == []
    assert await Prober("", QUICK).check([outcome(Probe("/x"))]) == [outcome(Probe("/x"))]


async def test_probes_beyond_the_time_of_all_are_left_with_a_warning() -> None:
    async with answering(lambda _, __: 200) as (base_url, asked):
        late = replace(QUICK, total_seconds=-1.0)
        (checked,) = await Prober(base_url, late).check([outcome(Probe("/x"))])
    assert checked.status is Status.APPLIED
    assert "not probed" in checked.warnings[0]
    assert asked == []

"""Probes: calls through the gateway after a write, which make one outcome fail and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from aiohttp import web

from stoa_gitops.drivers.route_probe import (
    BODY_AT_MOST,
    NOT_PROBED,
    PROBE_FAILED,
    ProbePolicy,
    Prober,
)
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import PlanHints, Probe, Resource, SourceRef
from tests.adapters.front import listening
from tests.socks import serve_socks
from tests.unit.drivers.fake_clock import FakeClock, TaskClock

QUICK = ProbePolicy(in_a_row=3, seconds=60.0, answer_seconds=30.0, pause_seconds=0.0)


def impatient(base_url: str) -> Prober:
    """Return a prober that gives up after five tries, for routes that never become live."""
    clock, policy = FakeClock(60.0), replace(QUICK, seconds=300.0, total_seconds=3600.0)
    return Prober(base_url, policy, clock=clock, sleep=clock.sleep)


def outcome(*probes: Probe, status: Status = Status.APPLIED) -> Outcome:
    key = Key("api", "acme", "billing")
    resource = Resource(key, Spec.of({}), SourceRef("a.yaml"), PlanHints(probes=probes))
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


@pytest.mark.parametrize(("scheme", "times"), [("http", 0), ("https", 1)])
async def test_whom_to_trust_is_read_once_and_where_it_matters(
    scheme: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    load = ssl.SSLContext.load_verify_locations

    def counting(context: ssl.SSLContext, *where: Any, **named: Any) -> None:
        read.append(where)
        load(context, *where, **named)

    # Tests share what httpx reads.
    monkeypatch.setattr("httpx._transports.default.create_ssl_context", httpx.create_ssl_context)
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counting)
    (checked,) = await impatient(f"{scheme}://127.0.0.1:9").check([outcome(Probe("/x"))])
    assert "failed (ConnectError)" in checked.message
    assert len(read) == times


@pytest.mark.parametrize("status", [404, 302, 500])
async def test_another_status_fails_this_outcome_with_what_was_seen(status: int) -> None:
    async with answering(lambda _, __: status) as (base_url, _asked):
        good = outcome()
        bad, other = await impatient(base_url).check([outcome(Probe("/x")), good])
    assert (bad.status, bad.reason) == (Status.FAILED, PROBE_FAILED)
    assert f"GET /x through {base_url} was answered with {status}" in bad.message
    assert other is good


async def test_an_unreachable_gateway_fails_the_outcome_and_not_the_apply() -> None:
    (checked,) = await impatient("http://127.0.0.1:9").check([outcome(Probe("/x"))])
    assert (checked.status, checked.reason) == (Status.FAILED, PROBE_FAILED)
    assert "failed (ConnectError)" in checked.message


async def test_what_was_not_written_or_has_no_probe_is_not_called() -> None:
    given = [outcome(), outcome(Probe("/x"), status=Status.FAILED)]
    async with answering(lambda _, __: 200) as (base_url, asked):
        assert await Prober(base_url, QUICK).check(given) == given
    assert asked == []
    assert await Prober("", QUICK).check([outcome(Probe("/x"))]) == [outcome(Probe("/x"))]


async def test_probes_beyond_the_time_of_all_are_left_with_a_warning() -> None:
    async with answering(lambda _, __: 200) as (base_url, asked):
        late = replace(QUICK, total_seconds=-1.0)
        (checked,) = await Prober(base_url, late).check([outcome(Probe("/x"))])
    assert (checked.status, checked.reason) == (Status.APPLIED, NOT_PROBED)
    assert "not probed" in checked.warnings[0]
    assert asked == []


async def test_every_route_has_to_answer() -> None:
    async with answering(lambda request, _: 404 if request.path == "/b" else 200) as (base_url, _):
        probes = (Probe("/a"), Probe("/b", host="api.example.com"), Probe("/c"))
        (checked,) = await impatient(base_url).check([outcome(*probes)])
    assert checked.reason == PROBE_FAILED
    assert "GET /b (Host api.example.com) through" in checked.message


async def test_a_body_without_end_is_read_in_part() -> None:
    sent = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while sent < 400 * BODY_AT_MOST:
                await response.write(b"x" * BODY_AT_MOST)
                sent += BODY_AT_MOST
        return response

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    runner, base_url = await listening(app)
    once = replace(QUICK, in_a_row=1)
    (checked,) = await Prober(base_url, once).check([outcome(Probe("/x"))])
    await runner.cleanup()
    assert checked.status is Status.APPLIED
    # Far less than all: the rest is what the sockets on both sides had taken.
    assert sent < 200 * BODY_AT_MOST


async def test_a_route_that_streams_slowly_is_known_by_its_status() -> None:
    ended = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await ended.wait()
        return response

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    runner, base_url = await listening(app)
    once = replace(QUICK, in_a_row=1, answer_seconds=1.0)
    (checked,) = await Prober(base_url, once).check([outcome(Probe("/x"))])
    ended.set()
    await runner.cleanup()
    assert checked.status is Status.APPLIED


async def test_a_route_is_called_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with answering(lambda _, __: 200) as (base_url, asked):
        port = urlsplit(base_url).port
        with serve_socks() as proxy:
            monkeypatch.setenv("ALL_PROXY", proxy.url)
            prober = Prober(f"http://gateway.example:{port}", QUICK)
            (found,) = await prober.check([outcome(Probe("/apis/acme/billing", 200))])
        assert found.status is Status.APPLIED
        assert asked == [f"gateway.example:{port} /apis/acme/billing"] * 3
        assert proxy.asked == [("gateway.example", port)] * 3


def written(tenant: str, number: int) -> Outcome:
    key = Key("api", tenant, f"a{number}")
    probe = Probe(f"/{tenant}/{number}")
    resource = Resource(key, Spec.of({}), SourceRef("a.yaml"), PlanHints(probes=(probe,)))
    return Outcome(Change(Action.CREATE, key, resource), Status.APPLIED)


# A route that fails takes two minutes of its task; the fourth uses up its tenant's share.
SHARED = replace(
    QUICK, in_a_row=1, answer_seconds=120.0, seconds=120.0, tenant_seconds=478.0,
    total_seconds=600.0,
)  # fmt: skip


@asynccontextmanager
async def hanging(shops: int) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve all routes of shop at once, and those of others only after that."""
    asked: list[str] = []
    served = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path)
        if not request.path.startswith("/shop/"):
            await served.wait()
            return web.Response(status=503)
        if sum(path.startswith("/shop/") for path in asked) == shops:
            served.set()
        return web.Response(status=200)

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    runner, base_url = await listening(app)
    yield base_url, asked
    await runner.cleanup()


def sharing(base_url: str, policy: ProbePolicy = SHARED) -> Prober:
    clock = TaskClock(60.0)
    return Prober(base_url, policy, clock=clock, sleep=clock.sleep)


async def test_a_hundred_routes_of_one_tenant_that_hang_keep_no_other_tenant_waiting() -> None:
    given = [written("evil", n) for n in range(100)] + [written("shop", n) for n in range(20)]
    async with hanging(20) as (base_url, asked):
        checked = await sharing(base_url).check(given)
    assert {o.status for o in checked[100:]} == {Status.APPLIED}
    assert not any(o.warnings for o in checked[100:])
    called = {path for path in asked if path.startswith("/evil/")}
    assert len(called) < 10
    reasons = [o.reason for o in checked[:100]]
    assert reasons.count(PROBE_FAILED) == len(called)
    assert reasons.count(NOT_PROBED) == 100 - len(called)
    late = next(o for o in checked if o.reason == NOT_PROBED)
    assert "other routes of its tenant take too long; the next cycle calls it" in late.warnings[0]


async def test_a_share_is_for_a_whole_apply_whatever_its_batches() -> None:
    async with answering(lambda request, _: 503 if "evil" in request.path else 200) as (url, asked):
        prober = sharing(url)
        await prober.check([written("evil", n) for n in range(10)])
        called = len(asked)
        evil, shop = await prober.check([written("evil", 10), written("shop", 0)])
    assert evil.reason == NOT_PROBED
    assert (shop.status, shop.reason) == (Status.APPLIED, "")
    assert len(asked) == called + 1


async def test_routes_that_answer_soon_use_up_nothing() -> None:
    async with answering(lambda _, __: 200) as (base_url, _asked):
        prober = sharing(base_url, replace(SHARED, tenant_seconds=0.001))
        checked = await prober.check([written("shop", n) for n in range(50)])
    assert {o.reason for o in checked} == {""}

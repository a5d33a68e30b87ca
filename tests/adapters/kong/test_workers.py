"""Workers of a node with a database take over routes and plugins one by one, in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import aiohttp
import pytest

from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.front import listening
from tests.adapters.kong.double import KongDouble
from tests.adapters.kong.testbed import Specs, apis, kong, policy, statuses

KEYED = policy("billing", "api_key", {"in": "header", "name": "X-API-Key", "hide": True})
FILTERED = policy("billing", "ip_filter", {"allow": ["10.0.0.0/8"], "deny": []})
CALLER = Key("application", "acme", "mobile")
SPEC: dict[str, Any] = {
    "displayName": "Mobile", "identifiers": {}, "subscriptions": [],
    "credentials": [{"type": "api_key", "key": {"$secret": "env:MOBILE_KEY"}}],
}  # fmt: skip
KEPT: Specs = {**apis("crm"), CALLER: SPEC}


async def _statuses_during(work: Awaitable[Any], url: str) -> tuple[Any, set[int]]:
    """Ask for the API without a key until the work is done, and once more."""
    task, seen = asyncio.ensure_future(work), set()
    async with aiohttp.ClientSession(url) as session:
        while True:
            is_last = task.done()
            async with session.get("/apis/acme/billing/x") as answer:
                seen.add(answer.status)
            if is_last:
                return task.result(), seen


@pytest.mark.parametrize("version", ["3.4.2", "3.9.1"])
async def test_no_api_is_open_while_it_comes_or_goes(version: str) -> None:
    """Seen on a real node: routes in force up to 80 ms before the `key-auth` written ahead."""
    double = KongDouble(version, database="postgres", worker_seconds=0.1)
    async with kong(double=double) as testbed:
        runner, url = await listening(double.proxy_app())
        try:
            await testbed.converge(KEPT)
            specs = {**KEPT, **apis("billing"), **dict([KEYED])}
            outcomes, coming = await _statuses_during(testbed.converge(specs), url)
            assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
            outcomes, going = await _statuses_during(testbed.converge(KEPT), url)
            assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        finally:
            await runner.cleanup()
        assert coming == {404, 401}
        assert going <= {401, 404}
        assert (await testbed.plan(KEPT)).is_empty


async def test_a_path_that_moves_to_another_api_is_served_all_the_time() -> None:
    """What waits for its guards must not have the other API leave the path meanwhile."""
    double = KongDouble(database="postgres", worker_seconds=0.1)
    path = [{"path": "/apis/acme/billing", "methods": [], "hosts": [], "stripPath": True}]
    async with kong(double=double) as testbed:
        runner, url = await listening(double.proxy_app())
        try:
            await testbed.converge({**KEPT, **apis("billing"), **dict([KEYED])})
            moved = {
                **KEPT,
                **apis("payment", routes=path),
                **dict([policy("payment", "api_key", KEYED[1]["config"])]),
            }
            _, seen = await _statuses_during(testbed.converge(moved), url)
        finally:
            await runner.cleanup()
        assert seen == {401}


@pytest.mark.parametrize(
    ("specs", "waits"),
    [
        ({**apis("billing"), **dict([KEYED])}, True),
        ({**apis("billing"), **dict([FILTERED])}, True),
        (apis("billing"), False),
        (
            {**apis("billing"), **dict([policy("billing", "request_size", {"max": 1024})])},
            False,
        ),
    ],
    ids=["key", "addresses", "open", "size"],
)
async def test_only_apis_that_keep_callers_out_wait(
    specs: Specs, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is how long Kong's own settings say that workers may take: 5 s and 5 s, and more."""
    waited: list[float] = []

    async def take_note(seconds: float) -> None:
        waited.append(seconds)

    double = KongDouble(database="postgres", worker_seconds=10.0)
    async with kong(double=double) as testbed:
        with monkeypatch.context() as patch:
            patch.setattr("stoa_gitops.adapters.kong.writing.settling.asyncio.sleep", take_note)
            outcomes = await testbed.converge(specs)
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
    assert bool(waited) == waits
    assert all(10.0 < one <= 12.0 for one in waited)


async def test_an_inactive_api_without_a_key_is_never_open() -> None:
    """Its plugin needs the route first (400 else), and goes with it."""
    double = KongDouble(database="postgres", worker_seconds=0.1)
    async with kong(double=double) as testbed:
        runner, url = await listening(double.proxy_app())
        try:
            await testbed.converge(KEPT)
            specs = {**KEPT, **apis("billing", active=False)}
            outcomes, coming = await _statuses_during(testbed.converge(specs), url)
            assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
            assert (await testbed.plan(specs)).is_empty
            outcomes, going = await _statuses_during(testbed.converge(KEPT), url)
            assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        finally:
            await runner.cleanup()
        assert coming == {404, 503}
        assert going <= {404, 503}
        assert (await testbed.plan(KEPT)).is_empty


async def test_an_upstream_goes_once_no_worker_sends_requests_there() -> None:
    """Seen on a real node: 503 for 4 s after several backends had become one."""
    double = KongDouble(database="postgres", worker_seconds=0.1)
    breaker = policy("billing", "circuit_breaker", {"failures": 3, "window": "1m", "reset": "2s"})
    one = {**KEPT, **apis("billing")}
    async with kong(double=double) as testbed:
        runner, url = await listening(double.proxy_app())
        try:
            await testbed.converge(one)
            await testbed.converge({**one, **dict([breaker])})
            assert testbed.double.entities["upstreams"]
            outcomes, seen = await _statuses_during(testbed.converge(one), url)
        finally:
            await runner.cleanup()
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert seen == {200}
        assert not testbed.double.entities["upstreams"]

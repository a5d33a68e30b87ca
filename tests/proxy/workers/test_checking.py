"""Backends are checked by one of several processes, and all go by what it finds."""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

import pytest
from aiohttp import web

from tests.proxy.conftest import Upstream
from tests.proxy.workers.world import Several, kill, several, until

# Each checker asks once in the time of a test, as soon as it begins.
CHECK = {"active": {"path": "/health", "interval_ms": 3_600_000, "unhealthy": 1, "healthy": 1}}


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    """Serve everything but the check."""
    return web.Response(status=503 if request.path == "/health" else 200)


def checks(*upstreams: Upstream) -> list[int]:
    return [Counter(one.target for one in upstream.seen)["/health"] for upstream in upstreams]


async def leader(api: Several) -> int:
    (found,) = [one["pid"] for one in await api.workers() if one["checks_backends"]]
    return int(found)


async def replace(api: Several, pid: int) -> None:
    """Kill a worker, and wait for the one in its place."""
    kill(pid, signal.SIGKILL)

    async def is_replaced() -> bool:
        return pid not in await api.pids() and await api.are_listening()

    await until(is_replaced)


@pytest.mark.heavy
@pytest.mark.parametrize("engine", ["aiohttp", "fast"])
async def test_one_worker_checks_and_all_know_what_it_found(
    engine: str, start_upstream: Any
) -> None:
    sick, well = await start_upstream(answer), await start_upstream()

    async def none_goes_to_the_sick_one() -> bool:
        before = len(sick.seen) - checks(sick)[0]
        await api.ask_all("/a/x")
        return len(sick.seen) - checks(sick)[0] == before

    async with several(engine=engine) as api:
        urls = [{"url": sick.url}, {"url": well.url}]
        await api.route(sick.url, upstreams=urls, health_check=CHECK)
        await until(none_goes_to_the_sick_one)

        async def are_checked() -> bool:
            return checks(sick, well) == [1, 1]

        # Nobody waits for the check of the one that is well.
        await until(are_checked)
        first = await leader(api)
        # One that begins is told; it checks nothing itself.
        (other,) = [pid for pid in await api.pids() if pid != first]
        await replace(api, other)
        assert await leader(api) == first
        await until(none_goes_to_the_sick_one)
        assert checks(sick, well) == [1, 1]
        # Another one goes on where the one that checks has ended.
        await replace(api, first)
        assert await leader(api) != first

        async def are_checked_again() -> bool:
            return checks(sick, well) == [2, 2]

        await until(are_checked_again)
        await until(none_goes_to_the_sick_one)

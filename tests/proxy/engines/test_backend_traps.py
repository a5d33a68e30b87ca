"""What the real gateway gets wrong with backends (contract §16), tried on each of several."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from tests.proxy.conftest import Api, Upstream

Start = Callable[..., Awaitable[Upstream]]


@pytest.mark.parametrize("base", ["", "/base"])
async def test_no_path_changes_the_host_of_any_backend(
    api: Api, start_upstream: Start, base: str
) -> None:
    first, second, evil = [await start_upstream() for _ in range(3)]
    urls = [{"url": f"{one.url}{base}"} for one in (first, second)]
    health = {"passive": {"failures": 0}}
    await api.route(first.url, "/t", upstreams=urls, health_check=health)
    port = evil.port
    paths = [
        f"@127.0.0.1:{port}/x", f"%40127.0.0.1:{port}/x", f":{port}/x", f".127.0.0.1:{port}",
        f"/..//127.0.0.1:{port}/x", f"/%2e%2e/%2e%2e//127.0.0.1:{port}/", f"\\@127.0.0.1:{port}",
        f"/@127.0.0.1:{port}/x", f"//127.0.0.1:{port}/x", f"?@127.0.0.1:{port}/",
    ]  # fmt: skip
    for path in paths * 2:
        answer = await api.get(f"/t{path}")
        assert answer.status in (200, 400, 404), path
    assert evil.seen == []
    targets = [one.target for upstream in (first, second) for one in upstream.seen]
    assert targets
    assert all(urlsplit(f"http://h{target}").path.startswith(base or "/") for target in targets)


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
async def test_a_get_with_a_body_arrives_whole_at_each_backend(
    api: Api, start_upstream: Start, method: str
) -> None:
    upstreams = [await start_upstream() for _ in range(2)]
    await api.route(upstreams[0].url, upstreams=[{"url": one.url} for one in upstreams])
    async with asyncio.timeout(30):
        for _ in range(4):
            assert (await api.send(method, "/a", data=b"x" * 5000)).status == 200
    assert [[one.body for one in up.seen] for up in upstreams] == [[b"x" * 5000] * 2] * 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_carries_a_credential_to_another_host(
    api: Api, start_upstream: Start, status: int
) -> None:
    elsewhere = await start_upstream()

    async def lead_away(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": f"{elsewhere.url}/x"})

    upstreams = [await start_upstream(lead_away) for _ in range(2)]
    auth = {"type": "basic", "username": "u", "password": "p"}
    await api.route(
        upstreams[0].url, upstreams=[{"url": one.url} for one in upstreams], backend_auth=auth
    )
    for method in ("GET", "POST"):
        answer = await api.send(method, "/a", {"X-Api-Key": "of-the-client"})
        assert (answer.status, answer.headers["Location"]) == (status, f"{elsewhere.url}/x")
    assert elsewhere.seen == []
    # The credential stands alone in its header, and beside none that the client sent.
    assert [len(up.seen[0].all("authorization")) for up in upstreams] == [1, 1]

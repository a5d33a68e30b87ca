"""From a commit to the changed answer of a hundred gateways of ours that fetch their table.

A whole `run` process over a repository with one document for all of them, and in a few processes a
hundred complete gateways of `stoa_proxy`, each with a listener, a state folder, heartbeats and
looks of its own. Each is asked over HTTP whenever its table was changed, and only then: a hundred
that are asked five times a second would take a core of their own. Peer: the least that could be
done, a control plane that answers each look with one document, which it makes from a file; it reads
no catalog, plans nothing and stores nothing.

    python -m benchmarks.fleet_pull [--gateways 100] [--apis 100] [--interval 5] [--commits 5]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
from aiohttp import web
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from stoa_proxy.control_plane_config import ControlPlaneConfig

from benchmarks.edit_to_answer import upstream_of_its_port
from benchmarks.figures import Lane, show
from benchmarks.fleet import KEY, Process
from benchmarks.gen_catalog import commit, generate
from benchmarks.idle import TICKS
from stoa_gitops.fleet.identity import Mode, gateway_id, identity_name

PROCESSES = 4
START_SECONDS = 600.0
CHANGE_SECONDS = 120.0
"""For the first table and for a changed one: on a machine with other work to do."""

DOCUMENT = """\
apiVersion: gostoa.dev/v1alpha1
kind: GatewayInstance
metadata: {name: main}
spec:
  gatewayType: stoa_proxy
  environment: prod
  backends: {allow: [127.0.0.0/8]}
  registration: {match: {}}
"""
API = """\
apiVersion: gostoa.dev/v1alpha1
kind: API
metadata: {name: measured}
spec:
  version: "1"
  backend: {url: "http://127.0.0.1:%d"}
  routes: [{path: /measured}]
"""
TEAMS = 37


@dataclass
class Side:
    """One control plane: how long its gateways took after each commit, and its CPU."""

    lane: Lane
    milliseconds: list[float] = field(default_factory=list)
    """CPU per gateway, of each commit; what looks and heartbeats take without one is not in it."""
    idle: float = 0.0
    """Share of a core while nothing is committed."""
    clients: list[float] = field(default_factory=list)
    """CPU per gateway, of each commit, of the gateways themselves."""
    busy: list[float] = field(default_factory=list)
    """Share that both sides had of all CPU that was used, from each commit to the last answer."""

    def line(self) -> str:
        """Return the CPU figures."""
        each, clients = sorted(self.milliseconds), sorted(self.clients)
        return (
            f"  {self.lane.name:<34} {each[len(each) // 2]:.2f} ms of CPU per gateway and commit,"
            f" {each[-1]:.2f} at most; {self.idle:.1%} of a core between commits;"
            f" the gateways {clients[len(clients) // 2]:.2f} ms each;"
            f" both had {min(self.busy):.0%} to {max(self.busy):.0%} of what was used"
        )


def tree_cpu(pid: int) -> float:
    """Return the seconds of CPU of a process, of its children and of those it waited for."""
    seconds = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if path.parent.name == str(pid):
                seconds += sum(map(int, fields[11:15])) / TICKS
            elif fields[1] == str(pid):
                seconds += sum(map(int, fields[11:13])) / TICKS
    return seconds


class Gateways:
    """Processes with gateways in them, and what each answered when."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._children: list[asyncio.subprocess.Process] = []
        self._readers: list[asyncio.Task[None]] = []
        self._answers: dict[int, tuple[str, float]] = {}
        self._changed = asyncio.Event()

    async def start(self, url: str, interval: int, state: Path) -> None:
        """Start them all."""
        for number in range(PROCESSES):
            first, end = (self.count * part // PROCESSES for part in (number, number + 1))
            arguments = (url, str(first), str(end), str(interval), str(state))
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.fleet_pull", "gateways", *arguments,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            self._children.append(child)
            self._readers.append(asyncio.create_task(self._read(child)))

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        while line := await child.stdout.readline():
            number, answer, at = json.loads(line)
            self._answers[number] = answer, at
            self._changed.set()

    async def until(self, answer: str, seconds: float) -> list[float]:
        """Wait until each gateway gives the answer; return when each did, of those that do."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(found := self._those_with(answer)) < self.count:
                    self._changed.clear()
                    await self._changed.wait()
                return found
        return self._those_with(answer)

    def _those_with(self, answer: str) -> list[float]:
        return [at for given, at in self._answers.values() if given == answer]

    def cpu(self) -> float:
        """Seconds of CPU of all of them."""
        return sum(tree_cpu(child.pid) for child in self._children)

    async def stop(self) -> None:
        """End them."""
        for child in self._children:
            assert child.stdin is not None
            child.stdin.close()
        for child in self._children:
            await asyncio.wait_for(child.wait(), 60)
        await asyncio.gather(*self._readers)


async def serve_gateways(url: str, first: int, end: int, interval: int, state: Path) -> None:
    """Run the gateways of one process until its input ends; print what each answers, and when."""
    gateways = []
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as asking:
        for number in range(first, end):
            plane = ControlPlaneConfig(
                url, KEY, instance_name=f"edge-{number}", reload_seconds=interval
            )
            folder = str(state / str(number))
            gateways.append(
                Gateway(
                    ProxyConfig(
                        port=0, environment="prod", state_dir=folder, control_plane=plane,
                        backends_allow=("127.0.0.0/8",), max_connections=50,
                    )
                )
            )  # fmt: skip
            one = gateways[-1]
            ask = partial(report, session, one, number)
            one.store.on_change["benchmark"] = lambda ask=ask: asking.create_task(ask())
            await one.start()
        await asyncio.to_thread(sys.stdin.read)
        await asyncio.gather(*(one.stop(drain_seconds=0) for one in gateways))


async def report(session: aiohttp.ClientSession, gateway: Gateway, number: int) -> None:
    """Ask one gateway whose table was changed, and print its answer with the time."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with session.get(f"{gateway.base_url}/measured") as response:
            line = [number, await response.text(), time.perf_counter()]
            print(json.dumps(line), flush=True)


async def measure(
    side: Side,
    gateways: Gateways,
    edit: Callable[[int], Awaitable[None]],
    cpu: Callable[[], float],
    backends: list[int],
    options: argparse.Namespace,
) -> None:
    """Commit in turn, and time each gateway until its answer is the changed one."""
    first = await gateways.until(str(backends[0]), START_SECONDS)
    if len(first) < gateways.count:
        raise RuntimeError(f"{gateways.count - len(first)} gateways never got a table")
    await asyncio.sleep(options.interval + 1)  # their acknowledgements, too
    used = cpu()
    await asyncio.sleep(2 * options.interval)
    side.idle = (cpu() - used) / (2 * options.interval)
    for number in range(1, options.commits + 1):
        backend = backends[number % 2]
        used, theirs, load = cpu(), gateways.cpu(), busy_cpu()
        await edit(backend)
        began = time.perf_counter()
        changed = await gateways.until(str(backend), CHANGE_SECONDS)
        both, whole = cpu() - used + gateways.cpu() - theirs, busy_cpu() - load
        side.busy.append(both / max(whole, both))
        side.lane.errors += gateways.count - len(changed)
        side.lane.seconds += [at - began for at in changed]
        await asyncio.sleep(1)  # acknowledgements of the last ones, and the cycle's end
        spent = cpu() - used - side.idle * (time.perf_counter() - began)
        side.milliseconds.append(spent / gateways.count * 1e3)
        side.clients.append((gateways.cpu() - theirs) / gateways.count * 1e3)


def busy_cpu() -> float:
    """Return the seconds of CPU that all processes of the machine used."""
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    user, nice, system = map(int, fields[:3])
    return (user + nice + system) / TICKS


async def ours(folder: Path, backends: list[int], options: argparse.Namespace) -> Side:
    """Measure a `run` process over a repository."""
    catalog = folder / "catalog"
    generate(catalog, options.apis, 4)
    (catalog / "gateways/main.yaml").write_text(DOCUMENT)
    api = catalog / "tenants/tenant-0/apis/measured/api.yaml"
    api.parent.mkdir()
    api.write_text(API % backends[0])
    commit(catalog, "first")
    side = Side(Lane(f"ours, {options.apis} APIs"))
    secrets = {f"BACKEND_{team}_KEY": "a-key" for team in range(TEAMS)}
    process = Process(folder, "--revision", "main", env=secrets)
    try:
        port = await process.port()
        async with fetching(port, folder / "gateways", options) as gateways:

            async def edit(backend: int) -> None:
                api.write_text(API % backend)
                await asyncio.to_thread(commit, catalog, "edit")

            await measure(side, gateways, edit, lambda: tree_cpu(process.pid), backends, options)
            table = await read_table(port)
        (folder / "table").write_bytes(table)
    finally:
        process.stop()
    return side


@contextlib.asynccontextmanager
async def fetching(port: int, state: Path, options: argparse.Namespace) -> AsyncIterator[Gateways]:
    """Run gateways that fetch from a port of this machine."""
    gateways = Gateways(options.gateways)
    try:
        await gateways.start(f"http://127.0.0.1:{port}", options.interval, state)
        yield gateways
    finally:
        await gateways.stop()


async def read_table(port: int) -> bytes:
    """Return the table of a gateway, as it is served."""
    one = gateway_id(identity_name("edge-0", Mode.PROXY, "prod"))
    url = f"http://127.0.0.1:{port}/v1/internal/gateways/{one}/table"
    headers = {"X-Gateway-Key": KEY}
    async with (
        aiohttp.ClientSession(headers=headers, raise_for_status=True) as session,
        session.get(url) as response,
    ):
        return await response.read()


async def peer(folder: Path, backends: list[int], options: argparse.Namespace) -> Side:
    """Measure the bare control plane, with the table that ours has served."""
    template, watched = folder / "table", folder / "backend"
    watched.write_text(str(backends[0]))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.fleet_pull", "peer", str(template), str(watched),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    side = Side(Lane("peer: one document for all"))
    try:
        port = int(await child.stdout.readline())
        async with fetching(port, folder / "peer", options) as gateways:

            async def edit(backend: int) -> None:
                watched.write_text(str(backend))

            await measure(side, gateways, edit, lambda: tree_cpu(child.pid), backends, options)
    finally:
        child.stdin.close()
        await child.wait()
    return side


async def serve_peer(template: Path, watched: Path) -> None:
    """Serve one document to all who ask, until the input ends."""
    lines = template.read_bytes().splitlines(keepends=True)[:-1]
    known: tuple[str, str, bytes] = "", "", b""

    def make(backend: str) -> tuple[str, str, bytes]:
        whole = b"".join(
            re.sub(rb"http://127\.0\.0\.1:\d+", f"http://127.0.0.1:{backend}".encode(), line)
            for line in lines
        )
        digest = hashlib.sha256(whole).hexdigest()
        return backend, f'"{digest}"', whole + json.dumps({"sha256": digest}).encode() + b"\n"

    async def register(request: web.Request) -> web.Response:
        host = (await request.json())["hostname"]
        ids = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, host)),
            "name": f"{host}-proxy-prod",
            "status": "online",
        }
        return web.json_response(ids, status=201)

    async def table(request: web.Request) -> web.Response:
        nonlocal known
        backend = watched.read_text()
        if backend and backend != known[0]:
            known = make(backend)
        _, etag, document = known
        headers = {"ETag": etag}
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=document, headers=headers)

    async def take(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=204)

    application = web.Application(client_max_size=1 << 22)
    base = "/v1/internal/gateways"
    application.router.add_post(f"{base}/register", register)
    application.router.add_get(f"{base}/{{id}}/table", table)
    for path in ("heartbeat", "table-ack"):
        application.router.add_post(f"{base}/{{id}}/{path}", take)
    application.router.add_delete(f"{base}/{{id}}", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


async def main() -> None:
    """Print both lanes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gateways", type=int, default=100)
    parser.add_argument("--apis", type=int, default=100)
    parser.add_argument("--interval", type=int, default=5, help="seconds between two looks")
    parser.add_argument("--commits", type=int, default=5)
    options = parser.parse_args()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-pull-")))
        backends = [await stack.enter_async_context(upstream_of_its_port()) for _ in "ab"]
        sides = [await ours(folder, backends, options), await peer(folder, backends, options)]
    most = (options.interval + 1) * 1e3
    title = f"commit to answer, {options.gateways} gateways that look every {options.interval} s"
    show(title, [side.lane for side in sides], f"p99 <= {most:.0f} ms")
    print("CPU of the control plane   (to reach: 20 ms per gateway)")
    for side in sides:
        print(side.line(), flush=True)


if __name__ == "__main__":
    role, *given = [*sys.argv[1:], ""]
    if role == "gateways":
        plane, first_one, end_one, pause, where = given[:5]
        asyncio.run(serve_gateways(plane, int(first_one), int(end_one), int(pause), Path(where)))
    elif role == "peer":
        asyncio.run(serve_peer(Path(given[0]), Path(given[1])))
    else:
        asyncio.run(main())

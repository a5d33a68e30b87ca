"""Files of 5 MB in shapes that parsers take long for: CPU of `validate`, and what callers notice.

Peer: PyYAML's safe loader in a process of its own that is ended after a time. Meanwhile the data
plane of a `run` process answers others; its worst answer stands beside the worst one while nothing
is read, measured in turn on the same machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from benchmarks.edit_to_answer import (
    API,
    DEADLINE,
    listening,
    process,
    upstream_of_its_port,
    wait_for,
    write_catalog,
)
from benchmarks.hostile_shapes import DOCUMENTS, OPENAPI
from benchmarks.validate_many import Run, run

SIZE = 5_000_000
PEER_SECONDS = 10
PAUSE = 0.01  # seconds between two requests: some 100 a second
QUIET = 2.0  # seconds of the measurement beside each shape

SHAPES = {
    **{name: (DOCUMENTS[name], "api.yaml") for name in (
        "a long value", "many words", "digits", "many integers", "markers", "valid documents",
        "broken documents", "stairs of mappings", "dashes", "nested lists", "a wide list",
        "a wide mapping", "a long key", "unknown fields", "aliases", "comments between",
        "quoted lines", "JSON on a line",
    )},
    **{f"OpenAPI: {name}": (OPENAPI[name], "openapi.yaml") for name in (
        "paths", "references", "a broken end", "a pattern that backtracks", "patterns",
        "long aliases",
    )},
}  # fmt: skip

PLAIN = "import sys, yaml; list(yaml.safe_load_all(open(sys.argv[1], 'rb')))"
EVIL_TENANT = """\
apiVersion: gostoa.dev/v1alpha1
kind: Tenant
metadata: {name: evil}
spec: {displayName: Evil}
"""


def evil_folder(root: Path) -> Path:
    """Add a tenant with an API; return the folder of the API."""
    folder = root / "tenants/evil/apis/x"
    folder.mkdir(parents=True)
    (root / "tenants/evil/tenant.yaml").write_text(EVIL_TENANT)
    return folder


def place(folder: Path, name: str, data: bytes, port: int) -> None:
    """Put one hostile file where the tenant may put it."""
    for old in folder.iterdir():
        old.unlink()
    if name != "api.yaml":
        (folder / "api.yaml").write_text((API % port).replace("name: demo", "name: x"))
    (folder / f".{name}").write_bytes(data)
    (folder / f".{name}").rename(folder / name)


def limited(command: list[str]) -> Run:
    """Run one process, at most so long."""
    return run(["timeout", "-k", "1", str(PEER_SECONDS), *command])


class Caller:
    """Asks the data plane again and again; keeps the slowest answer and counts errors."""

    def __init__(self, session: aiohttp.ClientSession, url: str, answer: str) -> None:
        self._session, self._url, self._answer = session, url, answer
        self.errors = 0

    async def worst(self, until: asyncio.Event) -> float:
        """Return the slowest answer in seconds until the event is set."""
        slowest = 0.0
        while not until.is_set():
            start = time.perf_counter()
            try:
                async with self._session.get(self._url) as response:
                    self.errors += await response.text() != self._answer
            except aiohttp.ClientError:
                self.errors += 1
            slowest = max(slowest, time.perf_counter() - start)
            await asyncio.sleep(PAUSE)
        return slowest


async def worst_while(caller: Caller, seconds: float) -> float:
    """Return the slowest answer in so many seconds."""
    until = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, until.set)
    return await caller.worst(until)


def cpu_lines(folder: Path, port: int) -> None:
    """Print CPU and memory of `validate`, and of the peer, for each shape."""
    program = str(Path(sys.executable).parent / "stoa-gitops")
    root = folder / "cpu"
    write_catalog(root, port)
    evil = evil_folder(root)
    print(f"{'shape':<36} {'validate':>9} {'peak':>9}   PyYAML (ended after {PEER_SECONDS} s)")
    for title, (shape, name) in SHAPES.items():
        place(evil, name, shape(SIZE), port)
        ours = run([program, "validate", "--catalog", str(root)])
        peer = limited([sys.executable, "-c", PLAIN, str(evil / name)])
        note = " or more" if peer.code == 124 else ""
        print(
            f"{title:<36} {ours.cpu:7.2f} s {ours.peak:5.0f} MiB   {peer.cpu:6.2f} s{note}",
            flush=True,
        )


async def answer_lines(folder: Path, port: int) -> None:
    """Print the worst answer while each shape is read, and while nothing is."""
    root, state = folder / "run", folder / "state"
    write_catalog(root, port)
    evil = evil_folder(root)
    place(evil, "api.yaml", (API % port).replace("name: demo", "name: x").encode(), port)
    listen = ("--control-listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0")
    arguments = ("stoa_gitops", "run", "--catalog", str(root), "--state", str(state), *listen)
    async with process(*arguments, env={}), aiohttp.ClientSession() as session:
        url = f"{await listening(state)}/apis/acme/demo"
        if not await wait_for(session, url, str(port)):
            raise RuntimeError(f"the first answer never came in {DEADLINE:g} s")
        caller = Caller(session, url, str(port))
        print(f"{'shape':<36} {'beside it':>12} {'idle':>12}   errors")
        for title, (shape, name) in SHAPES.items():
            data = shape(SIZE)
            idle = await worst_while(caller, QUIET)
            await asyncio.to_thread(place, evil, name, data, port)
            beside = await worst_while(caller, 2 * QUIET)
            print(
                f"{title:<36} {beside * 1e3:9.1f} ms {idle * 1e3:9.1f} ms   {caller.errors}",
                flush=True,
            )


async def main() -> None:
    print("hostile files of 5 MB   (to reach: validate <= 3 s CPU each, answers within 50 ms)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        async with upstream_of_its_port() as port:
            with contextlib.suppress(subprocess.SubprocessError):
                await asyncio.to_thread(cpu_lines, folder, port)
            await answer_lines(folder, port)


if __name__ == "__main__":
    asyncio.run(main())

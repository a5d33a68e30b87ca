"""A real `stoa-gitops` process on loopback, and waiting for what it does."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.children import Child, environment, fork, run_in_turn

T = TypeVar("T")
PROGRAM = ("stoa_gitops",)
Process = Child | asyncio.subprocess.Process
DEADLINE = 90.0
"""Seconds after which waiting is given up; generous, because machines are shared."""


async def until(look: Callable[[], Awaitable[T | None]], what: str) -> T:
    """Return the first result of `look` that is not None; fails with `what` at the deadline."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        found = await look()
        if found is not None:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited {DEADLINE:.0f} s in vain for {what}")


@dataclass
class Running:
    """A process that is up: `gateway` and `control` are base URLs."""

    process: Process
    state: Path
    log: Path
    gateway: str
    control: str
    control_token: str
    admin_token: str

    async def get(self, path: str, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=30) as client:
            return await client.get(self.gateway + path, headers=headers)

    async def admin(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        async with httpx.AsyncClient(timeout=30) as client:
            return (await client.get(f"{self.gateway}/admin{path}", headers=headers)).json()

    async def answers(self, path: str, check: Callable[[httpx.Response], bool]) -> httpx.Response:
        """Wait until an answer of the gateway passes the check."""

        async def look() -> httpx.Response | None:
            response = await self.get(path)
            return response if check(response) else None

        return await until(look, f"the answer at {path}")


def command(*arguments: str) -> list[str]:
    """The command line started as people start it, for what is about the start or the streams."""
    return [sys.executable, "-m", "stoa_gitops", *arguments]


@asynccontextmanager
async def running(  # type: ignore[no-untyped-def]
    catalog: str | Path,
    state: Path,
    *arguments: str,
    stdout: int | None = None,
    program: tuple[str, ...] = PROGRAM,
    control: str = "127.0.0.1:0",
    **variables: str,
):
    """Start `run`, wait until it is ready, and stop it with SIGTERM at the end.

    It takes free ports but for the address of `control` where one is given. stdout goes into the
    log like stderr, or to a file descriptor; `program` is a module with its first arguments.
    """
    log = state.parent / f"{state.name}.log"
    with log.open("wb") as stderr:
        words = (
            *program,
            "run",
            *("--catalog", str(catalog), "--state", str(state)),
            *("--control-listen", control, "--gateway-listen", "127.0.0.1:0"),
            *arguments,
        )
        streams: dict[str, Any] = {
            "stdout": stderr if stdout is None else stdout,
            "stderr": stderr,
            "env": environment(**variables),
        }
        process: Process
        if program == PROGRAM:
            process = fork(*words, **streams)
        else:
            # It changes what the program will import, which the server has imported.
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, **streams)
    try:
        yield await _ready(process, state, log)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), DEADLINE)


async def _ready(process: Process, state: Path, log: Path) -> Running:
    async def look() -> Running | None:
        assert process.returncode is None, f"it ended with {process.returncode}:\n{log.read_text()}"
        try:
            found = json.loads((state / "runtime.json").read_text())
            async with httpx.AsyncClient(timeout=30) as client:
                answer = await client.get(found["control"] + "/ready")
        except (OSError, ValueError, httpx.HTTPError):
            return None
        if answer.status_code != 200 or found["pid"] != process.pid:
            return None
        # what was read before it was ready may be from before the gateway listened
        found = json.loads((state / "runtime.json").read_text())
        del found["pid"]
        return Running(process, state, log, **found)

    return await until(look, f"readiness; the log is {log}")


async def run_command(
    *arguments: str, cwd: Path | None = None, **variables: str
) -> tuple[int, str, str]:
    """Run a command to its end; return exit code, stdout and stderr."""
    done = await run_in_turn("stoa_gitops", *arguments, cwd=cwd, env=environment(**variables))
    return done.returncode, done.stdout, done.stderr

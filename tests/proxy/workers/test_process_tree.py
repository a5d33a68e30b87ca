"""The processes of a gateway that is started by a command: signals, ends, and nothing left over."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from stoa_proxy.__main__ import main

from tests.proxy.conftest import TOKEN, route_body
from tests.proxy.workers.world import LIMIT, is_alive, kill, until


class Command:
    """A running `python -m stoa_proxy`, with the lines that it has written."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.url = ""

    async def read_until(self, words: str) -> str:
        assert self.process.stderr is not None
        async with asyncio.timeout(LIMIT):
            while True:
                line = (await self.process.stderr.readline()).decode()
                assert line, self.lines
                self.lines.append(line)
                if words in line:
                    return line

    async def admin(self, method: str, path: str, body: object = None) -> Any:
        connector = aiohttp.TCPConnector(force_close=True)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(connector=connector, headers=headers) as session,
            session.request(method, self.url + path, json=body) as answer,
        ):
            return await answer.json() if answer.status < 300 else answer.status

    async def pids(self) -> list[int]:
        return [worker["pid"] for worker in await self.admin("GET", "/admin/workers")]


@asynccontextmanager
async def command(*words: str, **env: str) -> AsyncIterator[Command]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stoa_proxy", *words,
        env={**os.environ, "STOA_ADMIN_API_TOKEN": TOKEN, "STOA_PORT": "0", **env},
        stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    started = Command(process)
    try:
        line = await started.read_until(" listening url=")
        started.url = line.partition("url=")[2].split()[0]
        yield started
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        assert process.stderr is not None
        async with asyncio.timeout(LIMIT):
            await process.stderr.read()  # all that have it are gone then
            await process.wait()


async def until_gone(pids: Sequence[int]) -> None:
    async def are_gone() -> bool:
        return not any(map(is_alive, pids))

    await until(are_gone)


@pytest.mark.parametrize(
    ("engine", "number", "status"),
    [("fast", signal.SIGTERM, 0), ("aiohttp", signal.SIGINT, 130)],
)
async def test_a_signal_ends_all_processes_in_order(
    engine: str, number: signal.Signals, status: int
) -> None:
    async with command("--workers", "2", STOA_PROXY_ENGINE=engine) as started:
        pids = await started.pids()
        assert len(set(pids)) == 2
        kill(started.process.pid, number)
        async with asyncio.timeout(LIMIT):
            assert await started.process.wait() == status
        assert not any(map(is_alive, pids))


@pytest.mark.heavy
async def test_workers_end_when_their_parent_is_killed() -> None:
    async with command(STOA_PROXY_WORKERS="2", STOA_DRAIN_SECONDS="1") as started:
        pids = await started.pids()
        started.process.kill()
        await until_gone(pids)


@pytest.mark.heavy
async def test_workers_that_stood_still_when_their_parent_was_killed_end_when_they_go_on() -> None:
    async with command(STOA_PROXY_WORKERS="2", STOA_DRAIN_SECONDS="0") as started:
        pids = await started.pids()
        for pid in pids:
            kill(pid, signal.SIGSTOP)
        try:
            started.process.kill()
        finally:
            for pid in pids:
                kill(pid, signal.SIGCONT)
        await until_gone(pids)


@pytest.mark.heavy
async def test_lines_of_workers_are_written_by_their_parent_in_its_form() -> None:
    async with command("--workers", "2", STOA_LOG_LEVEL="debug") as started:
        await started.admin("POST", "/admin/apis", route_body("builtin:echo"))
        await started.admin("GET", "/a")
        line = await started.read_until("logger=stoa_proxy.access ")
        assert "level=DEBUG" in line
        assert line.rstrip().endswith(("worker=1", "worker=2"))
        (first, _) = await started.pids()
        kill(first, signal.SIGTERM)
        assert "status=0" in await started.read_until("a worker has ended worker=1")


@pytest.mark.parametrize("words", ["0", "129", "two", "-1", ""])
def test_a_number_of_workers_that_cannot_be_ends_the_start(
    words: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.environ", {})
    assert main([f"--workers={words}"]) == 1
    assert f"--workers must be a number from 1 to 128, or auto, not '{words}'" in caplog.text

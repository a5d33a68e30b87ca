"""A gateway of several processes, and requests until each of them has answered one."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.proxy.conftest import TOKEN, Api, running

LIMIT = 60.0
"""Seconds for what takes well under one on an idle machine."""

Answer = tuple[int, Mapping[str, str], bytes]


async def until(is_true: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(LIMIT):
        while not await is_true():
            await asyncio.sleep(0.02)


class Several(Api):
    """A client of a gateway of several workers; each request has a connection of its own.

    The kernel gives a connection to one of them by a hash of its port, so enough connections reach
    all; no test may know which.
    """

    async def workers(self) -> list[dict[str, Any]]:
        answer = await self.administer("GET", "/admin/workers")
        assert isinstance(answer, list)
        return answer

    async def administer(self, method: str, path: str, body: object = None) -> Any:
        """Call the admin API inside the parent; return what it says, None without a body."""
        sent = b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        status, _, parts = await self.gateway.administer(method, path, headers, sent)
        content = b"".join([part async for part in parts])
        assert status < 300, content
        return json.loads(content) if content else None

    async def pids(self) -> list[int]:
        return [worker["pid"] for worker in await self.workers()]

    async def are_listening(self) -> bool:
        return all(worker["state"] == "listening" for worker in await self.workers())

    async def ask(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request on a new connection, and again where a killed worker had it."""
        async with asyncio.timeout(LIMIT):
            while True:
                connector = aiohttp.TCPConnector(force_close=True)
                try:
                    async with (
                        aiohttp.ClientSession(connector=connector) as session,
                        session.get(self.gateway.base_url + path, headers=headers) as answer,
                    ):
                        return answer.status, answer.headers, await answer.read()
                except (aiohttp.ClientError, ConnectionError):
                    await asyncio.sleep(0.02)

    async def ask_all(self, path: str, headers: Mapping[str, str] | None = None) -> Counter[int]:
        """Send requests to a route until each worker has answered one; return their statuses."""
        before = {one["number"]: one["requests"] for one in await self.workers()}
        statuses: Counter[int] = Counter()
        async with asyncio.timeout(LIMIT):
            while True:
                for _ in range(4):
                    statuses[(await self.ask(path, headers))[0]] += 1
                now = {one["number"]: one["requests"] for one in await self.workers()}
                if all(now[number] > before[number] for number in now):
                    return statuses

    async def metric(self, name: str) -> float:
        """Return the sum of a metric's values as `/metrics` shows them to an operator."""
        _, _, content = await self.ask("/metrics", {"Authorization": f"Bearer {TOKEN}"})
        lines = [line for line in content.decode().splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)


@asynccontextmanager
async def several(workers: int = 2, **config: Any) -> AsyncIterator[Several]:
    """A gateway of so many processes."""
    async with running(workers=workers, **config) as api:
        yield Several(api.gateway, api.session)


def is_alive(pid: int) -> bool:
    """Whether a process is there that is no zombie."""
    try:
        with Path(f"/proc/{pid}/stat").open() as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill(pid: int, number: int) -> None:
    """Send a signal to a process that this test has started."""
    os.kill(pid, number)

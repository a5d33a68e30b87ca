"""Serves a double of the tests in a process of its own, and counts what it is asked by method."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import Any, Protocol

from aiohttp import web

TOKEN = "benchmark"


class Double(Protocol):
    """What the doubles of gateways have in common."""

    requests: list[str]
    bodies: list[Any]

    def app(self) -> web.Application:
        """Return its application."""


async def serve(double: Double) -> None:
    """Print the port, and serve until standard input ends; `/counts` begins anew."""

    async def counts(_: web.Request) -> web.Response:
        found = Counter(line.split(" ", 1)[0] for line in double.requests[:-1])
        double.requests.clear()
        double.bodies.clear()
        return web.json_response(found)

    app = double.app()
    app.router.add_get("/counts", counts)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()

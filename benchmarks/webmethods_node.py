"""A webMethods 11 in a process of its own: the double of the tests, which counts what it is asked.

`python -m benchmarks.webmethods_node` prints its port and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

from aiohttp import web

from tests.adapters.webmethods.double import WebMethodsDouble

TOKEN = "benchmark"


async def main() -> None:
    double = WebMethodsDouble("11", tokens={TOKEN: "Administrator"})

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


if __name__ == "__main__":
    asyncio.run(main())

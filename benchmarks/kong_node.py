"""A node without a database that takes whatever it is sent, in a process of its own so that its
work is not ours.

It keeps the posted text, answers its MD5 as the hash, and gives what it holds by pages of top-level
lists. It refuses, with a 500 and without a word, a document with a service of the name in the
second argument. It validates nothing else: what is measured is our side of the wire. `python -m
benchmarks.kong_node PORT NAME` ends with its standard input.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from typing import Any

from aiohttp import web

PLUGINS = ("acl", "cors", "key-auth", "rate-limiting", "request-transformer", "jwt")
PATHS = {"keyauth_credentials": "key-auths", "jwt_secrets": "jwts", "key_sets": "key-sets"}


class NodeInfo:
    """What was posted last, and counts of what was asked."""

    def __init__(self, cursed: str) -> None:
        self._cursed = f'"name":"{cursed}"' if cursed else ""
        self._held: dict[str, list[Any]] = {}
        self._hash = "0" * 32
        self._counts = {"gets": 0, "posts": 0}

    async def handle(self, request: web.Request) -> web.Response:
        headers = {"Server": "kong/3.9.1"}
        if request.path == "/counts":
            counts, self._counts = self._counts, {"gets": 0, "posts": 0}
            return web.json_response({**counts, "services": len(self._held.get("services", ()))})
        if request.method == "POST":
            return await self._post(request)
        self._counts["gets"] += 1
        return web.json_response(self._get(request), headers=headers)

    def _get(self, request: web.Request) -> dict[str, Any]:
        if request.path == "/status":
            return {"configuration_hash": self._hash}
        if request.path == "/":
            plugins = {name: {"version": "3.9.1", "priority": 1} for name in PLUGINS}
            return {
                "version": "3.9.1", "edition": "community", "configuration": {"database": "off"},
                "plugins": {"available_on_server": plugins},
            }  # fmt: skip
        if request.path == "/endpoints":
            return {"data": []}
        names = {path: name for name, path in PATHS.items()}
        path = request.path.strip("/")
        held = self._held.get(names.get(path, path), [])
        start = int(request.query.get("offset", "0"))
        end = start + int(request.query.get("size", "100"))
        link = f"/{path}?offset={end}" if end < len(held) else None
        return {"data": held[start:end], "next": link}

    async def _post(self, request: web.Request) -> web.Response:
        self._counts["posts"] += 1
        text = (await request.json())["config"]
        if self._cursed and self._cursed in text:
            return web.json_response({"message": "An unexpected error occurred"}, status=500)
        document = json.loads(text)
        self._held = {name: held for name, held in document.items() if isinstance(held, list)}
        self._hash = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        # Kong answers with two to three times of what it got (contract R.3).
        return web.Response(status=201, body=b"{" + b" " * (2 * len(text)) + b"}")


async def main(port: int, cursed: str) -> None:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", NodeInfo(cursed).handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))

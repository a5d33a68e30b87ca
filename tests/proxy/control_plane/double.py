"""A control plane on loopback: registrations, heartbeats, tables and acknowledgements in memory.

Written from STOA's guide of registration and the recordings of STOA gateway 0.9.25 (its paths, its
statuses, its key); `/table` and `DELETE` are additions of this project. `answers` makes any call go
wrong; `loses_registrations` is a control plane that was restarted without its store.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "gw_dev_0123456789abcdef"
PREFIX = "/v1/internal/gateways"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Call:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


def reply(status: int, body: Any = None, **headers: str) -> Answer:
    """An answer of any status: JSON, text or bytes."""

    async def answer(request: web.Request) -> web.StreamResponse:
        content = body if isinstance(body, bytes) else b"" if body is None else _encode(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=content, headers=named)

    return answer


def _encode(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def document(objects: Iterable[tuple[str, dict[str, Any]]], generation: int = 1) -> bytes:
    """A table as `/table` answers it: header, one line for each object, and the SHA-256 of all."""
    lines = [{"stoa_proxy_table": 1, "generation": generation}]
    lines += [{kind: values} for kind, values in objects]  # type: ignore[dict-item]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return content + json.dumps({"sha256": hashlib.sha256(content).hexdigest()}).encode() + b"\n"


@dataclass
class ControlPlane:
    """State of one control plane; `url` while it serves."""

    url: str = ""
    keys: tuple[str, ...] = (KEY,)
    calls: list[Call] = field(default_factory=list)
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    beats: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    acks: list[dict[str, Any]] = field(default_factory=list)
    left: set[str] = field(default_factory=set)
    usage: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, bytes] = field(default_factory=dict)
    routes: list[dict[str, Any]] | None = None
    has_tables: bool = True
    answers: dict[str, list[Answer]] = field(default_factory=dict)

    def on(self, what: str, *answers: Answer) -> None:
        """Answer the next calls of one kind (`register`, `heartbeat`, `table`, …) in these ways."""
        self.answers.setdefault(what, []).extend(answers)

    def publish(self, *objects: tuple[str, dict[str, Any]], generation: int = 1) -> None:
        """Give all gateways this table from now on."""
        self.tables["*"] = document(objects, generation)

    def loses_registrations(self) -> None:
        self.members.clear()

    def of(self, what: str) -> list[Call]:
        """The calls of one kind."""
        return [call for call in self.calls if _kind(call.method, call.path) == what]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; at most 30 s."""
        async with asyncio.timeout(30):
            while not holds():
                await asyncio.sleep(0.005)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        call = Call(
            request.method,
            request.path,
            dict(request.query),
            {name.lower(): value for name, value in request.headers.items()},
            json.loads(raw) if raw else None,
        )
        self.calls.append(call)
        kind = _kind(call.method, call.path)
        if self.answers.get(kind):
            return await self.answers[kind].pop(0)(request)
        if kind == "health":
            return web.json_response({"status": "ok"})
        if call.headers.get("x-gateway-key") not in self.keys:
            return web.json_response({"detail": "Invalid gateway key"}, status=401)
        return self._respond(kind, call)

    def _respond(self, kind: str, call: Call) -> web.Response:
        if kind == "register":
            return self._register(call.body)
        if kind == "routes" and self.routes is not None:
            return web.json_response(self.routes)
        member_id = call.path.removeprefix(f"{PREFIX}/").partition("/")[0]
        if kind == "usage" and member_id in self.left:
            self.usage.append(call.body)
            return web.Response(status=204)
        if member_id not in self.members or (kind == "table" and not self.has_tables):
            return web.json_response({"detail": "Not Found"}, status=404)
        if kind == "heartbeat":
            self.beats.setdefault(member_id, []).append(call.body)
            return web.Response(status=204)
        if kind == "usage":
            self.usage.append(call.body)
            return web.Response(status=204)
        if kind in ("table-ack", "route-sync-ack"):
            self.acks.append(call.body)
            return web.json_response({"processed": 1, "not_found": 0})
        if kind == "delete":
            del self.members[member_id]
            self.left.add(member_id)
            return web.Response(status=204)
        return self._table(member_id, call) if kind == "table" else web.Response(status=404)

    def _register(self, body: dict[str, Any]) -> web.Response:
        mode = body["mode"].replace("-", "")
        name = f"{body['hostname']}-{mode}-{body['environment']}"
        member = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), "name": name, "status": "online",
            "gateway_type": "stoa_proxy", "environment": body["environment"],
        }  # fmt: skip
        self.members[member["id"]] = body
        return web.json_response(member, status=201)

    def _table(self, member_id: str, call: Call) -> web.Response:
        content = self.tables.get(member_id, self.tables.get("*"))
        if content is None:
            return web.json_response(
                {"title": "Not published"}, status=503, headers={"Retry-After": "5"}
            )
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        if call.headers.get("if-none-match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        return web.Response(
            body=content, headers={"ETag": etag}, content_type="application/x-ndjson"
        )


def _kind(method: str, path: str) -> str:
    if method == "DELETE":
        return "delete"
    return path.rpartition("/")[2]


@asynccontextmanager
async def serving(plane: ControlPlane, port: int = 0) -> AsyncIterator[ControlPlane]:
    """Serve a control plane; the same `port` again is one that was restarted."""
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", plane.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
    await site.start()
    plane.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield plane
    finally:
        await runner.cleanup()

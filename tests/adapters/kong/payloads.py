"""How tests reach the double, and small payloads for it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

from tests.adapters.kong.initial_documents import recorded_id

Connect = Callable[[web.Application], Awaitable[aiohttp.ClientSession]]


def payload(*names: str, **sections: list[dict[str, Any]]) -> dict[str, Any]:
    """Services with a route each, named and addressed alike."""
    services = [{"name": name, "host": "h", "id": recorded_id(name)} for name in names]
    routes = [
        {"name": name, "paths": [f"/{name}"], "service": name, "id": recorded_id(f"r{name}")}
        for name in names
    ]
    return {"_format_version": "3.0", "services": services, "routes": routes, **sections}


async def post(
    admin: aiohttp.ClientSession, document: dict[str, Any], query: str = ""
) -> tuple[int, Any]:
    body = {"config": json.dumps(document)}
    async with admin.post(f"/config{query}", json=body) as answer:
        return answer.status, await answer.json()


async def read(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as answer:
        return await answer.json()

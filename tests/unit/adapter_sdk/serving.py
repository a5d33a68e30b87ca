"""A scripted server on loopback and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.http.transport import Limits
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.model.instances import GatewayAuth, GatewayInstance, GatewayTls
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.model.secret import Secret
from tests.adapters.front import listening

NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def connection(
    base_url: str = "http://gateway.example",
    *,
    auth: GatewayAuth | None = None,
    credentials: dict[str, str] | None = None,
    tls: dict[str, str] | None = None,
    server_name: str = "",
    gateway_type: str = "stoa",
    name: str = "gw",
    **instance: Any,
) -> Connection:
    made = GatewayInstance(
        name,
        gateway_type,
        "dev",
        base_url,
        SourceRef("gateways/gw.yaml"),
        auth=auth or GatewayAuth(),
        tls=GatewayTls(server_name=server_name),
        **instance,
    )
    secrets = {role: Secret(value) for role, value in (credentials or {}).items()}
    material = {role: Secret(value) for role, value in (tls or {}).items()}
    return Connection(made, base_url, "default", secrets, material)


@dataclass
class Served:
    """The client, what it asked, and how long it would have paused."""

    client: AdminClient
    base_url: str
    requests: list[web.Request] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)


@asynccontextmanager
async def served(
    handler: Handler,
    *,
    limits: Limits | None = None,
    chance: float = 0.5,
    path: str = "",
    **link: Any,
) -> AsyncIterator[Served]:
    found: list[Served] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        found[0].requests.append(request)
        return await handler(request)

    async def sleep(seconds: float) -> None:
        found[0].pauses.append(seconds)

    app = web.Application(client_max_size=1 << 27)
    app.router.add_route("*", "/{tail:.*}", handle)
    runner, base_url = await listening(app)
    client = AdminClient(
        connection(base_url + path, **link),
        limits=limits,
        sleep=sleep,
        chance=lambda: chance,
        now=lambda: NOW,
    )
    found.append(Served(client, base_url))
    try:
        yield found[0]
    finally:
        await client.aclose()
        await runner.cleanup()


def answering(*answers: Callable[[], web.Response]) -> Handler:
    """Answer with one after another, the last for ever."""
    left = list(answers)

    async def handler(request: web.Request) -> web.Response:
        return (left.pop(0) if len(left) > 1 else left[0])()

    return handler

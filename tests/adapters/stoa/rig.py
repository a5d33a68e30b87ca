"""Rigs of the STOA adapter: our data plane, and doubles of it and of the real gateway 0.9.25."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig

from stoa_gitops.adapter_sdk.contract import GatewayAdapter
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.stoa.adapter import StoaAdapter
from stoa_gitops.adapters.stoa.client import StoaClient, classify
from stoa_gitops.adapters.stoa.pace import AdminPace
from tests.adapters.front import listening
from tests.adapters.stoa.double import Dialect, StoaDouble
from tests.contract.rig import TOKEN, Rig, RigBuilders, fronted

FOREIGN_ROUTE = {
    "id": "theirs-1", "name": "feed", "tenant_id": "other", "path_prefix": "/apis/other/feed",
    "backend_url": "https://feed.example/", "methods": ["get"], "spec_hash": "?", "activated": True,
    "classification": "VH",
}  # fmt: skip


def build_stoa(link: Connection, http: AdminClient) -> GatewayAdapter:
    return StoaAdapter(link.owner, StoaClient(http))


@asynccontextmanager
async def stoa_rig(double: StoaDouble, pace: AdminPace | None = None) -> AsyncIterator[Rig]:
    runner, base_url = await listening(double.app())
    name = f"stoa-{double.dialect.name.lower()}"

    async def add_foreign() -> None:
        double.routes["theirs-1"] = dict(FOREIGN_ROUTE)

    def build(link: Connection, http: AdminClient) -> GatewayAdapter:
        return StoaAdapter(link.owner, StoaClient(http, pace))

    async def foreign_bytes() -> bytes:
        return json.dumps(double.routes["theirs-1"]).encode()

    try:
        async with fronted(
            name, "stoa_edge_mcp", base_url, build, add_foreign, foreign_bytes, classify
        ) as rig:
            yield rig
    finally:  # what a failed test leaves open is blamed on whichever test runs when it is collected
        await runner.cleanup()


@asynccontextmanager
async def data_plane_rig() -> AsyncIterator[Rig]:
    gateway = Gateway(ProxyConfig(port=0, admin_api_token=TOKEN, drain_seconds=0))
    await gateway.start()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        async with httpx.AsyncClient(
            timeout=30, base_url=gateway.base_url, headers=headers
        ) as person:

            async def add_foreign() -> None:
                answer = await person.post("/admin/apis", json=FOREIGN_ROUTE)
                answer.raise_for_status()

            async def foreign_bytes() -> bytes:
                return (await person.get("/admin/apis/theirs-1")).raise_for_status().content

            async with fronted(
                "stoa-embedded",
                "stoa",
                gateway.base_url,
                build_stoa,
                add_foreign,
                foreign_bytes,
                classify,
            ) as rig:
                yield rig
    finally:
        await gateway.stop(0)


RIGS: RigBuilders = {
    "embedded": data_plane_rig,
    "double": lambda: stoa_rig(StoaDouble(Dialect.OURS, TOKEN)),
    "real": lambda: stoa_rig(StoaDouble(Dialect.REAL, TOKEN)),
}

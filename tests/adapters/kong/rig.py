"""Rigs of the Kong adapter: doubles of 3.4 and 3.9, with and without a database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import httpx

from stoa_gitops.adapter_sdk.contract import GatewayAdapter
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.kong.adapter import KongAdapter
from stoa_gitops.adapters.kong.api.client import KongClient
from tests.adapters.front import listening
from tests.adapters.kong.double import KongDouble
from tests.contract.rig import Rig, RigBuilders, fronted

FOREIGN_SERVICE = {
    "id": "7f7e4f2c-5a39-4b5e-9a55-0d5c3f6f2c11", "name": "other.feed", "host": "feed.example",
    "path": "/x", "created_at": 1700000000,
}  # fmt: skip


def build_kong(link: Connection, http: AdminClient) -> GatewayAdapter:
    return KongAdapter(link, KongClient(http))


@asynccontextmanager
async def kong_rig(version: str, database: Literal["off", "postgres"]) -> AsyncIterator[Rig]:
    double = KongDouble(version, database=database)
    runner, base_url = await listening(double.app())
    path = f"/services/{FOREIGN_SERVICE['id']}"
    async with httpx.AsyncClient(timeout=30, base_url=base_url) as person:

        async def add_foreign() -> None:
            if database == "off":
                double.load({"_format_version": "3.0", "services": [FOREIGN_SERVICE]})
            else:
                (await person.put(path, json=FOREIGN_SERVICE)).raise_for_status()

        async def foreign_bytes() -> bytes:
            held = (await person.get(path)).raise_for_status().json()
            return json.dumps({n: v for n, v in held.items() if n != "updated_at"}).encode()

        name = f"kong-{version}-{database}"
        async with fronted(name, "kong", base_url, build_kong, add_foreign, foreign_bytes) as rig:
            rig.reads_first = database == "off"
            yield rig
    await runner.cleanup()


RIGS: RigBuilders = {
    "3.4-document": lambda: kong_rig("3.4.2", "off"),
    "3.4-database": lambda: kong_rig("3.4.2", "postgres"),
    "3.9-document": lambda: kong_rig("3.9.1", "off"),
    "3.9-database": lambda: kong_rig("3.9.1", "postgres"),
}

"""Rigs of the Gravitee adapter: the three ways, by doubles of the versions that have them."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import httpx

from stoa_gitops.adapter_sdk.contract import GatewayAdapter
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.gravitee.adapter import GraviteeAdapter
from stoa_gitops.adapters.gravitee.api.client import classify
from stoa_gitops.model.canonical import JsonObject
from tests.adapters.front import listening
from tests.adapters.gravitee.double import GraviteeDouble
from tests.contract.rig import TOKEN, Rig, RigBuilders, fronted

FOREIGN = {
    "name": "Other feed",
    "apiVersion": "1",
    "definitionVersion": "V4",
    "type": "PROXY",
    "listeners": [
        {
            "type": "HTTP",
            "paths": [{"path": "/other/feed"}],
            "entrypoints": [{"type": "http-proxy"}],
        }
    ],
    "endpointGroups": [
        {
            "name": "feed",
            "type": "http-proxy",
            "endpoints": [
                {"name": "one", "type": "http-proxy", "configuration": {"target": "http://feed/x"}}
            ],
        }
    ],
}
APIS = "/management/v2/environments/DEFAULT/apis"


def build_gravitee(
    link: Connection,
    http: AdminClient,
    settings: JsonObject | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> GatewayAdapter:
    if settings is not None:
        link = replace(link, instance=replace(link.instance, options=settings))
    return GraviteeAdapter(link, http, clock)


@asynccontextmanager
async def gravitee_rig(
    double: GraviteeDouble,
    name: str,
    settings: JsonObject | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Rig]:
    """Yield the rig of a double; `settings` are `spec.options` of its document."""
    runner, base_url = await listening(double.app())
    headers = {"Authorization": f"Bearer {TOKEN}"}
    foreign: dict[str, Any] = {}
    build = partial(build_gravitee, settings=settings, clock=clock)
    try:
        async with httpx.AsyncClient(timeout=30, base_url=base_url, headers=headers) as person:

            async def add_foreign() -> None:
                made = (await person.post(APIS, json=FOREIGN)).raise_for_status().json()
                foreign["id"] = made["id"]

            async def foreign_bytes() -> bytes:
                answer = await person.get(f"{APIS}/{foreign['id']}")
                return json.dumps(answer.raise_for_status().json()).encode()

            async with fronted(
                f"gravitee-{name}", "gravitee", base_url, build, add_foreign,
                foreign_bytes, classify,
            ) as rig:  # fmt: skip
                # An API is looked up before it is written, but where the server numbers new ones.
                rig.reads_first = name != "4.1-classic"
                yield rig
    finally:
        await runner.cleanup()


RIGS: RigBuilders = {
    "4.12": lambda: gravitee_rig(GraviteeDouble("4.12.12"), "4.12"),
    "4.10": lambda: gravitee_rig(GraviteeDouble("4.10.8"), "4.10"),
    "4.6-import": lambda: gravitee_rig(GraviteeDouble("4.6.0", has_automation=False), "4.6-import"),
    "4.1-classic": lambda: gravitee_rig(
        GraviteeDouble("4.1.0", has_automation=False, has_import=False), "4.1-classic"
    ),
}

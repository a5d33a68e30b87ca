"""Rigs of the memory adapter: written object by object, and as a document."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stoa_gitops.adapters.memory.server import Fault, MemoryGateway, drop_gateway, gateway_named
from stoa_gitops.adapters.registry import info_for
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import Key
from tests.adapters.front import Trouble
from tests.contract.rig import Rig, RigBuilders, api, connection, driver_with

_MEMORY_FAULTS = {
    Trouble.TIMEOUT: Fault.TIMEOUT,
    Trouble.REFUSED_CONNECTION: Fault.REFUSED_CONNECTION,
    Trouble.UNAUTHORIZED: Fault.UNAUTHORIZED,
    Trouble.CONFLICT: Fault.CONFLICT,
    Trouble.BUSY: Fault.BUSY,
    Trouble.SERVER_ERROR: Fault.SERVER_ERROR,
    Trouble.MALFORMED: Fault.MALFORMED,
    Trouble.HTML: Fault.MALFORMED,
    Trouble.HALF_WRITTEN: Fault.HALF_WRITTEN,
}
_MEMORY_CALLS = {"read": ("list",), "write": ("put", "delete", "write")}


@asynccontextmanager
async def memory_rig(granularity: str) -> AsyncIterator[Rig]:
    name = f"memory-{granularity}"
    server: MemoryGateway = gateway_named(name)
    link = connection(name, "memory", "memory:", granularity=granularity)
    info = info_for("memory")
    driver, adapter = driver_with(info, info.factory, link)
    foreign_id = "foreign-1"

    def fail(trouble: Trouble, side: str) -> None:
        for call in _MEMORY_CALLS[side]:
            server.fail(_MEMORY_FAULTS[trouble], call, times=1000)

    async def add_foreign() -> None:
        server.add_foreign(Key("api", "other", "feed"), Spec.of(api("feed")), foreign_id)

    async def foreign_bytes() -> bytes:
        held = server.objects[foreign_id]
        return json.dumps([str(held.key), held.spec.raw.decode(), held.mark]).encode()

    yield Rig(name, driver, adapter, fail, server.heal, add_foreign, foreign_bytes)
    await driver.aclose()
    drop_gateway(name)


RIGS: RigBuilders = {
    "resource": lambda: memory_rig("resource"),
    "document": lambda: memory_rig("document"),
}

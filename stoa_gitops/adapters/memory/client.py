"""The wire that is not there: gives way to other tasks, so that races are races here, too."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from stoa_gitops.adapters.memory.server import Held, MemoryGateway


class MemoryClient:
    """Asynchronous calls of one MemoryGateway; raises the GatewayError of a planned fault."""

    def __init__(self, server: MemoryGateway) -> None:
        self.server = server

    async def health(self) -> str:
        """Return the version."""
        await asyncio.sleep(0)
        return self.server.health()

    async def listed(self, kind: str) -> dict[str, Held]:
        """Return the objects of one kind by id."""
        await asyncio.sleep(0)
        return self.server.listed(kind)

    async def put(self, gateway_id: str, held: Held) -> None:
        """Create or replace one object."""
        await asyncio.sleep(0)
        self.server.put(gateway_id, held)

    async def delete(self, gateway_id: str) -> None:
        """Remove one object."""
        await asyncio.sleep(0)
        self.server.delete(gateway_id)

    async def read(self) -> dict[str, Held]:
        """Return the whole document."""
        await asyncio.sleep(0)
        return self.server.read()

    async def write(self, document: Mapping[str, Held]) -> None:
        """Replace the whole document."""
        await asyncio.sleep(0)
        self.server.write(document)

"""Fake transport: awaits once per call, so that concurrency bugs show up as over a network."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from stoa_gitops.adapters.memory.server import MemoryGateway, StoredObject


class MemoryClient:
    """Asynchronous calls of one MemoryGateway. Raises the GatewayError of a planned fault."""

    def __init__(self, server: MemoryGateway) -> None:
        self.server = server

    async def health(self) -> str:
        """Return the version."""
        # One turn of the event loop, as a request has at least one.
        await asyncio.sleep(0)
        return self.server.health()

    async def list_kind(self, kind: str) -> dict[str, StoredObject]:
        """Return the objects of one kind by id."""
        await asyncio.sleep(0)
        return self.server.list_kind(kind)

    async def put(self, gateway_id: str, stored: StoredObject) -> None:
        """Create or replace one object."""
        await asyncio.sleep(0)
        self.server.put(gateway_id, stored)

    async def delete(self, gateway_id: str) -> None:
        """Remove one object."""
        await asyncio.sleep(0)
        self.server.delete(gateway_id)

    async def read_document(self) -> dict[str, StoredObject]:
        """Return the whole document."""
        await asyncio.sleep(0)
        return self.server.read_document()

    async def write_document(self, document: Mapping[str, StoredObject]) -> None:
        """Replace the whole document."""
        await asyncio.sleep(0)
        self.server.write_document(document)

"""What one client tried with true numbers: a real process, and real tables of counters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from stoa_proxy.core.counters import RateCounters
from stoa_proxy.core.limits import Limit
from stoa_proxy.foundation.clock import SystemClock

from tests.e2e.catalogs import CatalogFolder, upstream
from tests.e2e.running import running

pytestmark = pytest.mark.heavy

UPLOAD = b"POST /apis/acme/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx"


@asynccontextmanager
async def connections(base_url: str, count: int, sent: bytes = b"") -> AsyncIterator[None]:
    """Connections of one client that stay open."""
    port = int(base_url.rpartition(":")[2])
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    try:
        for _, writer in opened:
            writer.write(sent)
        yield
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def status(base_url: str, path: str, address: str = "127.0.0.1") -> int:
    transport = httpx.AsyncHTTPTransport(local_address=address)
    async with httpx.AsyncClient(base_url=base_url, transport=transport, timeout=10) as client:
        return (await client.get(path)).status_code


async def test_neither_uploads_nor_idle_connections_of_one_client_stop_others(
    tmp_path: Path,
) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    async with upstream("here") as backend:
        catalog.api("demo", backend)
        variables = {"STOA_MAX_CONNECTIONS": "341"}
        async with running(catalog.root, tmp_path / "state", **variables) as process:
            async with connections(process.gateway, 345, UPLOAD):
                assert await status(process.gateway, "/health") == 200
                assert await status(process.gateway, "/apis/acme/demo", "127.0.0.2") == 200
            async with connections(process.control, 260):
                assert await status(process.control, "/health") == 200
                assert await status(process.control, "/ready", "127.0.0.2") == 200
            head = b"GET /health HTTP/1.1\r\nHost: "
            async with connections(process.control, 260, head):
                assert await status(process.control, "/health") == 200


def test_225_000_header_values_of_one_tenant_reset_no_quota() -> None:
    counters = RateCounters(SystemClock())
    quota = Limit(1000, 3600.0)
    mine = ("policy", "quota", "api", "w", "consumer", "mobile")
    while counters.hit("acme", [(mine, quota)]).allowed:
        pass
    for value in range(225_000):
        made_up = ("policy", "by-header", "other-api", "w", "header", str(value))
        counters.hit("evil", [(made_up, quota)])
    assert not counters.hit("acme", [(mine, quota)]).allowed
    assert len(counters) <= 10_001

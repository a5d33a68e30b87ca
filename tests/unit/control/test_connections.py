"""Many clients at once: those who show a gateway key, and those who send nothing whole."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from stoa_gitops.control.api.health import get_health
from stoa_gitops.control.auth import Access
from tests.unit.control.conftest import KEY, Served, serving

KEYED = replace(get_health, path="/v1/internal/sign", access=Access.GATEWAY_KEY, is_probe=False)
OPEN = replace(get_health, path="/open", is_probe=False)
ASK = f"GET /v1/internal/sign HTTP/1.1\r\nHost: control-plane-api\r\nX-Gateway-Key: {KEY}\r\n\r\n"


async def say(served: Served, text: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(text.encode())
    return reader, writer


async def head_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(30):
        return await reader.readuntil(b"\r\n\r\n")


async def test_connections_that_showed_a_key_are_of_no_client_s_share() -> None:
    async with serving(per_client=2, routes=(KEYED, OPEN)) as served:
        gateways = []
        for _ in range(6):
            reader, writer = await say(served, ASK)
            assert (await head_of(reader)).startswith(b"HTTP/1.1 200")
            await reader.readexactly(len(b'{"status": "ok"}'))
            gateways.append((reader, writer))
        for reader, writer in gateways:
            writer.write(ASK.encode())
            assert (await head_of(reader)).startswith(b"HTTP/1.1 200"), "it stayed open"
            writer.close()


async def test_a_wrong_key_leaves_a_connection_in_its_client_s_share() -> None:
    async with serving(per_client=2, routes=(KEYED, OPEN)) as served:
        strangers = [await say(served, ASK.replace(KEY, "wrong")) for _ in range(4)]
        heads = []
        for reader, writer in strangers:
            try:
                heads.append(await head_of(reader))
            except (asyncio.IncompleteReadError, ConnectionError):
                heads.append(b"closed for another")
            writer.close()
        assert sum(b" 401 " in head for head in heads) >= 2
        assert not any(b" 200 " in head for head in heads)


@pytest.mark.parametrize(
    "sent", ["", "GET /health HT", "GET /open HTTP/1.1\r\nHost: x\r\nX-Slow: "]
)
async def test_requests_that_never_end_keep_nobody_from_health(sent: str) -> None:
    async with serving(connections=50, per_client=40, routes=(get_health, OPEN)) as served:
        slow = [await say(served, sent) for _ in range(120)]
        for _ in range(5):
            assert (await served.get("/health")).status_code == 200
        for _, writer in slow:
            writer.close()

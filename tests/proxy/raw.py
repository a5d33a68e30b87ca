"""Bytes on a socket: what no well-behaved client sends, and servers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.streams import Talk, stream_server


async def exchange(port: int, sent: bytes, address: str = "127.0.0.1") -> bytes:
    """Send bytes from a loopback address and read until the other end closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    writer.write(sent)
    received = b""
    try:
        async with asyncio.timeout(30):
            while block := await reader.read(65536):
                received += block
    except ConnectionResetError:
        # A response that was early: what was sent beyond it is never read (RFC 9112, 9.6).
        if not received:
            raise
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return received


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[str]:
    """The URL of a server that does on each connection what `talk` says."""
    async with stream_server(talk) as port:
        yield f"http://127.0.0.1:{port}"


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """The next head on a connection."""
    return await reader.readuntil(b"\r\n\r\n")

"""Servers of bytes on loopback that leave no connection behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def stream_server(talk: Talk, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Serve a port, which is yielded, and do on each connection what `talk` says, then close it.

    Clients that vanish are no error. At the end of the block all connections are closed: one that
    the event loop ends with is a ResourceWarning, and fails whichever test runs when it is
    collected.
    """
    opened: list[tuple[asyncio.Task[None], asyncio.StreamWriter]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        opened.append((task, writer))
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(0)  # what was accepted last has begun
        for task, writer in opened:
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*(task for task, _ in opened), return_exceptions=True)
        await asyncio.gather(*(one.wait_closed() for _, one in opened), return_exceptions=True)
        await server.wait_closed()

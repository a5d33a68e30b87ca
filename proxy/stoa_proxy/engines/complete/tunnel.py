"""A WebSocket between a client and an upstream: bytes both ways until one end goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any, cast

import aiohttp

from stoa_proxy.engines.complete import aiohttp_private
from stoa_proxy.http.websocket import GOING_AWAY, FrameRefused, Frames, close_frame

_log = logging.getLogger("stoa_proxy.engine")
# Per direction; above twice of it an end is not read from.
_BUFFER = 64 * 1024
# How long both ends have to answer a Close and to go (RFC 6455, 7.1.1).
_FAREWELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class TunnelRules:
    """`max_message` in bytes; `idle_seconds` without a byte in either direction end a tunnel."""

    max_message: int
    idle_seconds: float


class _Parser:
    """Takes the bytes that a connection receives after its upgrade, as aiohttp's parsers do."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._stream.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._stream.feed_eof()


class _End:
    """One end of a tunnel: what it sends can be read, what is written goes to it."""

    def __init__(self, link: Any, frames: Frames) -> None:
        self._link = cast(aiohttp_private.Link, link)
        self.frames = frames
        loop = asyncio.get_running_loop()
        self.incoming = aiohttp.StreamReader(link, _BUFFER, loop=loop)

    async def write(self, data: bytes) -> None:
        """Write, and wait while the end reads slowly. Raises ConnectionError."""
        if self._link.transport is None:
            raise ConnectionResetError("the other end is gone")
        self._link.transport.write(data)
        await aiohttp_private.drain(self._link)

    def write_now(self, data: bytes) -> None:
        """Write without waiting; nothing happens when the end is gone."""
        if data and self._link.transport is not None:
            self._link.transport.write(data)


class Tunnel:
    """A tunnel over the connections of a client and an upstream that have upgraded; `run` it once.

    `client` and `upstream` are aiohttp's protocols of the two connections.
    """

    def __init__(self, client: Any, upstream: Any, rules: TunnelRules) -> None:
        limit = rules.max_message
        self._client = _End(client, Frames(masked=True, max_message=limit))
        self._upstream = _End(upstream, Frames(masked=False, max_message=limit))
        self._idle_seconds = rules.idle_seconds
        client.set_parser(_Parser(self._client.incoming))
        upstream.set_parser(_Parser(self._upstream.incoming), self._upstream.incoming)

    async def run(self, draining: asyncio.Event) -> None:
        """Carry bytes until an end goes, both are silent for too long, or `draining` is set."""
        loop = asyncio.get_running_loop()
        ending = loop.create_task(draining.wait())
        pumps: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(self._idle_seconds) as idle:
                pumps = [
                    loop.create_task(self._pump(self._client, self._upstream, idle)),
                    loop.create_task(self._pump(self._upstream, self._client, idle)),
                ]
                await asyncio.wait([ending, *pumps], return_when=asyncio.FIRST_COMPLETED)
            code = GOING_AWAY if ending.done() else _close_code(pumps)
        except TimeoutError:
            code = GOING_AWAY
        finally:
            await _cancel([ending, *pumps])
        if code is not None:
            await self._close(code)

    async def _pump(self, source: _End, sink: _End, idle: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        while data := await source.incoming.readany():
            idle.reschedule(loop.time() + self._idle_seconds)
            try:
                data = source.frames.feed(data)
            except FrameRefused as refused:
                await sink.write(refused.before)
                raise
            await sink.write(data)

    async def _close(self, code: int) -> None:
        """Send a Close to both ends, where a frame may begin, and let them go first."""
        if self._upstream.frames.is_between:
            self._client.write_now(close_frame(code, masked=False))
        if self._client.frames.is_between:
            self._upstream.write_now(close_frame(code, masked=True))
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, ConnectionError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                for end in (self._client, self._upstream):
                    while await end.incoming.readany():
                        pass  # too late to be passed on, but it must be read for the end to go


def _close_code(pumps: list[asyncio.Task[None]]) -> int | None:
    """Return the code to close with: that of a refused frame; None when an end has gone."""
    for pump in pumps:
        error = pump.exception() if pump.done() and not pump.cancelled() else None
        if isinstance(error, FrameRefused):
            _log.debug("a tunnel is closed: %s", error)
            return error.code
    return None


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

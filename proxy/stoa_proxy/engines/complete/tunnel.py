"""A WebSocket between a caller and an upstream: bytes both ways until one end goes."""

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
_BUFFER = 64 * 1024
# How long both ends have to take a Close and to go.
_FAREWELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class TunnelRules:
    """`max_message` in bytes; `idle_seconds` without a byte in either direction end a tunnel."""

    max_message: int
    idle_seconds: float


class _Feed:
    """Takes the bytes that a connection receives after its upgrade."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._stream.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._stream.feed_eof()


class _End:
    """One end: what it sends can be read, what is written goes to it."""

    def __init__(self, link: Any, frames: Frames) -> None:
        self._link = cast(aiohttp_private.Link, link)
        self.frames = frames
        loop = asyncio.get_running_loop()
        self.incoming = aiohttp.StreamReader(link, _BUFFER, loop=loop)

    async def write(self, data: bytes) -> None:
        """Write, and wait while the end is slower than we are. Raises ConnectionError."""
        if self._link.transport is None:
            raise ConnectionResetError("the other end is gone")
        self._link.transport.write(data)
        await aiohttp_private.drain(self._link)

    def write_now(self, data: bytes) -> None:
        """Write without waiting; nothing happens when the end is gone."""
        if data and self._link.transport is not None:
            self._link.transport.write(data)


class Tunnel:
    """Made when the upstream has agreed and the caller was told so; `run` it once.

    `caller` and `upstream` are aiohttp's protocols of the two connections.
    """

    def __init__(self, caller: Any, upstream: Any, rules: TunnelRules) -> None:
        limit = rules.max_message
        self._caller = _End(caller, Frames(masked=True, max_message=limit))
        self._upstream = _End(upstream, Frames(masked=False, max_message=limit))
        self._idle_seconds = rules.idle_seconds
        caller.set_parser(_Feed(self._caller.incoming))
        upstream.set_parser(_Feed(self._upstream.incoming), self._upstream.incoming)

    async def run(self, draining: asyncio.Event) -> None:
        """Carry bytes until an end goes, nothing was sent for too long, or `draining` is set."""
        loop = asyncio.get_running_loop()
        ending = loop.create_task(draining.wait())
        pumps: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(self._idle_seconds) as idle:
                pumps = [
                    loop.create_task(self._pump(self._caller, self._upstream, idle)),
                    loop.create_task(self._pump(self._upstream, self._caller, idle)),
                ]
                await asyncio.wait([ending, *pumps], return_when=asyncio.FIRST_COMPLETED)
            code = GOING_AWAY if ending.done() else _code_of(pumps)
        except TimeoutError:
            code = GOING_AWAY
        finally:
            await _cancel([ending, *pumps])
        if code is not None:
            await self._farewell(code)

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

    async def _farewell(self, code: int) -> None:
        """Close towards both ends, where a frame may begin, and let them go first."""
        if self._upstream.frames.is_between:
            self._caller.write_now(close_frame(code, masked=False))
        if self._caller.frames.is_between:
            self._upstream.write_now(close_frame(code, masked=True))
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, ConnectionError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                for end in (self._caller, self._upstream):
                    while await end.incoming.readany():
                        pass  # too late to be passed on


def _code_of(pumps: list[asyncio.Task[None]]) -> int | None:
    """The code to close with when a pump ended: that of a refused frame; None when an end went."""
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

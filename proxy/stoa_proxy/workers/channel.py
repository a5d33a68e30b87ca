"""Messages between two processes of one gateway, over a socket that nobody else has."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from struct import Struct
from typing import Any, Final, NamedTuple

from stoa_proxy.errors import WorkerGone

_LENGTHS: Final = Struct(">II")
# Far more than a table of 100,000 APIs takes: a length beyond it is no length.
_MOST_BYTES: Final = 1024 * 1024 * 1024
_REPLY: Final = "reply"


class Message(NamedTuple):
    """What one process says to the other: its kind, values that JSON has, and bytes.

    One that has a `call` is awaited by the other side until `Channel.reply`.
    """

    kind: str
    values: Mapping[str, Any] = {}
    content: bytes = b""
    call: int = 0


class Channel:
    """One end, until it `is_gone`. All methods are for its event loop.

    channel = await Channel.open(connected)
    channel.send(Message("report", {...}))
    answer = await channel.call(Message("collect"), seconds=2)
    await channel.run(handle)   # until the other end is gone
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self.is_gone = False

    @classmethod
    async def open(cls, connected: socket.socket) -> Channel:
        """Return the channel over one of a pair of sockets, which it closes at its end."""
        connected.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=connected)
        return cls(reader, writer)

    @staticmethod
    def read_first(connected: socket.socket) -> bytes | None:
        """Return the content of the first message, before there is an event loop."""
        with connected.makefile("rb", buffering=0) as file:
            head = _read_exactly(file, _LENGTHS.size)
            if head is None:
                return None
            of_head, of_content = _LENGTHS.unpack(head)
            _read_exactly(file, of_head)
            return _read_exactly(file, of_content)

    def send(self, message: Message) -> None:
        """Send a message, in the order of the calls; nothing where the other end is gone."""
        if self.is_gone or self._writer.is_closing():
            return
        head = json.dumps(
            [message.kind, message.values, message.call], separators=(",", ":")
        ).encode()
        self._writer.write(_LENGTHS.pack(len(head), len(message.content)) + head)
        if message.content:
            self._writer.write(message.content)

    async def drain(self) -> None:
        """Wait until the other end has taken most of what was sent. Raises WorkerGone."""
        try:
            await self._writer.drain()
        except OSError:
            raise WorkerGone from None

    async def call(self, message: Message, seconds: float) -> Message:
        """Send a message and return its answer. Raises WorkerGone, TimeoutError."""
        if self.is_gone:
            raise WorkerGone
        number = next(self._numbers)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self.send(message._replace(call=number))
            async with asyncio.timeout(seconds):
                return await future
        finally:
            del self._waiting[number]

    def reply(self, message: Message, values: Mapping[str, Any], content: bytes = b"") -> None:
        """Answer a message."""
        self.send(Message(_REPLY, values, content, message.call))

    async def run(self, handle: Callable[[Message], Awaitable[None]]) -> None:
        """Hand each message to `handle`, one after the other, until the other end is gone.

        What `handle` waits for must not be a message of the other end.
        """
        try:
            while (message := await self._read()) is not None:
                if message.kind == _REPLY:
                    future = self._waiting.get(message.call)
                    if future is not None and not future.done():
                        future.set_result(message)
                else:
                    await handle(message)
        finally:
            self.is_gone = True
            self._writer.close()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(WorkerGone())

    def close(self) -> None:
        """Close this end."""
        self._writer.close()

    async def _read(self) -> Message | None:
        """Return the next message, None at the end or for what is no message."""
        try:
            lengths = _LENGTHS.unpack(await self._reader.readexactly(_LENGTHS.size))
            if sum(lengths) > _MOST_BYTES:
                return None
            kind, values, call = json.loads(await self._reader.readexactly(lengths[0]))
            return Message(kind, values, await self._reader.readexactly(lengths[1]), call)
        except (asyncio.IncompleteReadError, OSError):
            return None


def _read_exactly(file: socket.SocketIO, size: int) -> bytes | None:
    """Return so many bytes; None at the end. Not one more: those are for the event loop."""
    content = b""
    while len(content) < size:
        part = file.read(size - len(content))
        if not part:
            return None
        content += part
    return content

"""Listening sockets: connections are accepted here, so that a failure to do so stays quiet.

The event loop's own way logs a traceback for each try, many times a second, as long as there are
no file descriptors left.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.throttled_log import ThrottledLog

_log = logging.getLogger("stoa_proxy.engine")
# Callers that come at once wait here; beyond it they are not heard and try again after a second.
_BACKLOG = 1024
# So few at once, that the bound of connections is not passed by far before it is looked at.
_ACCEPTS = 8
_PAUSE_SECONDS = 1.0
_NOT_HERE = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class Listener:
    """Accepts connections for protocols that `factory` makes.

    `relieve` is called when none can be accepted for want of descriptors or memory; it is tried
    again after `pause_seconds`.
    """

    def __init__(
        self,
        factory: Callable[[], asyncio.Protocol],
        relieve: Callable[[], None],
        clock: Clock,
        *,
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        self._factory = factory
        self._relieve = relieve
        self._pause_seconds = pause_seconds
        self._seldom = ThrottledLog(_log, clock)
        self._sockets: list[socket.socket] = []
        self._timers: dict[socket.socket, asyncio.TimerHandle] = {}
        self._begun: set[asyncio.Task[object]] = set()

    async def open(self, host: str, port: int) -> int:
        """Listen on all addresses of a host; the port, which for 0 is a free one. Raises OSError."""
        self._sockets = await _bind(host, port)
        for one in self._sockets:
            one.listen(_BACKLOG)
            self._go_on(one)
        bound: int = self._sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Accept no more."""
        loop = asyncio.get_running_loop()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for one in self._sockets:
            loop.remove_reader(one)
            one.close()
        self._sockets = []
        await asyncio.gather(*self._begun, return_exceptions=True)

    def _go_on(self, listening: socket.socket) -> None:
        self._timers.pop(listening, None)
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS):
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(listening, error)
                return
            accepted.setblocking(False)
            loop = asyncio.get_running_loop()
            begun = loop.create_task(self._begin(accepted))
            self._begun.add(begun)
            begun.add_done_callback(self._begun.discard)

    async def _begin(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self._factory, accepted)
        except OSError as error:  # it is gone already
            _log.debug("a connection did not begin: %r", error)
            accepted.close()

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """Stay away for a while: the socket would report itself ready at once."""
        self._seldom.warning("no connection can be accepted: %s", error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        self._timers[listening] = loop.call_later(self._pause_seconds, self._go_on, listening)
        self._relieve()


async def _bind(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to the addresses of a host that this machine has. Raises OSError."""
    infos = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    bound: list[socket.socket] = []
    refused: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(infos):
        try:
            bound.append(_bind_one(family, address))
        except OSError as error:
            refused = error
            if error.errno not in _NOT_HERE:
                break
    if bound and (refused is None or refused.errno in _NOT_HERE):
        return bound
    for one in bound:
        one.close()
    raise refused or OSError(errno.EADDRNOTAVAIL, "the host has no address")


def _bind_one(family: int, address: tuple[object, ...]) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one

"""Listening sockets that survive running out of file descriptors.

asyncio's own way to accept logs a traceback for each try, many times a second, for as long as no
descriptor is free.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import select
import socket
from collections.abc import Callable
from typing import Protocol

from stoa_proxy.engines.complete.beginnings import Beginnings
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.throttled_log import ThrottledLog

_log = logging.getLogger("stoa_proxy.engine")
# Clients that come at once wait in the kernel; beyond it they are not heard and retry after 1 s.
_BACKLOG = 1024
# So few in one turn that the bound of connections is not passed by far before it is checked.
_ACCEPTS = 8
_PAUSE_SECONDS = 1.0
_NO_SUCH_ADDRESS = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class Acceptor(Protocol):
    """Accepts connections for a listener."""

    def prepare(self, listening: socket.socket) -> None:
        """Set what its connections are to begin with."""
        ...

    def accept(self, listening: socket.socket) -> None:
        """Accept and begin one. Raises OSError, as the socket does where there is none."""
        ...


class _PlainAcceptor:
    """Gives each connection a protocol by `beginnings`."""

    def __init__(
        self, beginnings: Beginnings, make_protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        self._beginnings = beginnings
        self._make_protocol = make_protocol

    def prepare(self, listening: socket.socket) -> None:
        """Set nothing."""

    def accept(self, listening: socket.socket) -> None:
        """Accept one. Raises OSError."""
        accepted, address = listening.accept()
        accepted.setblocking(False)
        self._beginnings.begin(accepted, address[0], self._make_protocol)


class Listener:
    """Accepts connections and gives each a protocol of `make_protocol`, by `beginnings`.

    `close_idle` is called when none can be accepted for want of descriptors or memory; it is tried
    again after `pause_seconds`. An `acceptor` accepts in another way. Of a client that takes
    nothing in `write_seconds` the system ends the connection, where it can.
    """

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.Protocol],
        close_idle: Callable[[], None],
        clock: Clock,
        *,
        beginnings: Beginnings | None = None,
        acceptor: Acceptor | None = None,
        pause_seconds: float = _PAUSE_SECONDS,
        write_seconds: float | None = None,
    ) -> None:
        self._write_seconds = write_seconds
        self._close_idle = close_idle
        self._pause_seconds = pause_seconds
        self._throttled_log = ThrottledLog(_log, clock)
        self._sockets: list[socket.socket] = []
        self._timers: dict[socket.socket, asyncio.TimerHandle] = {}
        self._beginnings = beginnings or Beginnings(clock)
        self._acceptor: Acceptor = (
            _PlainAcceptor(self._beginnings, make_protocol) if acceptor is None else acceptor
        )

    async def open(self, host: str, port: int, *, shares_port: bool = False) -> int:
        """Listen on all addresses of a host; return the port, which for 0 is a free one.

        With `shares_port` other processes of this user may listen there, too. Raises OSError.
        """
        self._sockets = await bind(host, port, shares_port=shares_port)
        for listening in self._sockets:
            self._acceptor.prepare(listening)
            self._bound_silence(listening)
            listening.listen(_BACKLOG)
            self._resume(listening)
        self._beginnings.start()
        bound: int = self._sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Accept no more."""
        loop = asyncio.get_running_loop()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for listening in self._sockets:
            loop.remove_reader(listening)
            listening.close()
        self._sockets = []
        await self._beginnings.stop()

    def _bound_silence(self, listening: socket.socket) -> None:
        """End connections whose client takes nothing, also those that are closed already.

        A transport waits without end for what is left to send, and says so (`SlowClientGuard`) of
        more than 64 KiB only. Accepted sockets have the options of the one that listens.
        """
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None and self._write_seconds is not None:
            milliseconds = min(max(1, round(self._write_seconds * 1000)), 2**31 - 1)
            listening.setsockopt(socket.IPPROTO_TCP, option, milliseconds)

    def _resume(self, listening: socket.socket) -> None:
        self._timers.pop(listening, None)
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS):
            try:
                self._acceptor.accept(listening)
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Without a descriptor the system fails before it looks whether anybody waits, so
                # the last one that was free would cost another client its connection.
                if _has_waiting(listening):
                    self._pause(listening, error)
                return

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """Stop accepting for a while: the socket would report itself ready at once."""
        self._throttled_log.warning("no connection can be accepted: %s", error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        self._timers[listening] = loop.call_later(self._pause_seconds, self._resume, listening)
        self._close_idle()


async def bind(host: str, port: int, *, shares_port: bool = False) -> list[socket.socket]:
    """Return sockets bound to those addresses of a host that this machine has. Raises OSError."""
    infos = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    bound: list[socket.socket] = []
    refused: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(infos):
        try:
            bound.append(_bind_one(family, address, shares_port=shares_port))
        except OSError as error:
            refused = error
            if error.errno not in _NO_SUCH_ADDRESS:
                break
    if bound and (refused is None or refused.errno in _NO_SUCH_ADDRESS):
        return bound
    for opened in bound:
        opened.close()
    raise refused or OSError(errno.EADDRNOTAVAIL, "the host has no address")


def _has_waiting(listening: socket.socket) -> bool:
    """Whether a connection waits to be accepted."""
    poll = select.poll()
    poll.register(listening, select.POLLIN)
    return bool(poll.poll(0))


def _bind_one(family: int, address: tuple[object, ...], *, shares_port: bool) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        # A restart binds while connections of before are in TIME_WAIT.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # Else `::` would take the IPv4 port, too, and the second bind would fail.
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
    except OSError:
        opened.close()
        raise
    return opened

"""What comes before a connection's first request: a PROXY header, a handshake of TLS.

No share counts a connection before both have ended, so they have bounds of their own.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from stoa_proxy.errors import ProxyHeaderInvalid
from stoa_proxy.foundation.address_guard import Network
from stoa_proxy.foundation.client_network import client_network
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.server_certificates import ServerCertificates
from stoa_proxy.foundation.throttled_log import ThrottledLog
from stoa_proxy.http.forwarded import is_proxy
from stoa_proxy.http.proxy_protocol import LONGEST, ProxyHeader, read_proxy_header

_log = logging.getLogger("stoa_proxy.engine")

_SECONDS = 10.0
_AT_ONCE = 1024
_STOP_SECONDS = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.5
PER_CLIENT = 64
"""Connections of one client, of load balancers more, that have not begun yet."""

LOOK_SECONDS = 5.0
"""How often the files of certificates are looked at."""


class Announced(Protocol):
    """A protocol that is told its client's address."""

    announced: str | None


class Beginnings:
    """Begins connections.

    certificates      loaded before; None for plain HTTP
    proxies           addresses of load balancers, whose handshakes are those of many clients
    expects_header    whether connections begin with a header of the PROXY protocol, which only
                      `proxies` may send; others are closed
    """

    def __init__(
        self,
        clock: Clock,
        certificates: ServerCertificates | None = None,
        proxies: tuple[Network, ...] = (),
        *,
        expects_header: bool = False,
    ) -> None:
        self._certificates = certificates
        self._proxies = proxies
        self._expects_header = expects_header
        self._counts: Counter[str] = Counter()
        self._throttled_log = ThrottledLog(_log, clock)
        self._looking: asyncio.Task[None] | None = None
        # Those that wait for what a client sends, and all.
        self._waiting: set[asyncio.Task[object]] = set()
        self._running: set[asyncio.Task[object]] = set()

    def start(self) -> None:
        """Follow the files of certificates from now on."""
        if self._certificates is not None:
            self._looking = asyncio.create_task(self._look(self._certificates))

    async def stop(self) -> None:
        """Begin no more, and close what has not begun."""
        looking = [self._looking] if self._looking else []
        # No others at first: uvloop loses a connection whose task is cancelled while it is made,
        # and never ends the task of one that is closed meanwhile.
        for task in [*self._waiting, *looking]:
            task.cancel()
        left = [*self._running, *looking]
        if left:
            left = [*(await asyncio.wait(left, timeout=_STOP_SECONDS))[1]]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self._looking = None

    def begin(
        self, accepted: socket.socket, peer: str, make_protocol: Callable[[], asyncio.Protocol]
    ) -> asyncio.Task[None]:
        """Give an accepted connection a protocol, or close it, in the task that is returned."""
        waits = self._certificates is not None or self._expects_header
        task = asyncio.get_running_loop().create_task(
            self._begin(accepted, peer, make_protocol)
            if waits
            else self._open(accepted, make_protocol)
        )
        self._running.add(task)
        if waits:
            self._waiting.add(task)

        def end(ended: asyncio.Task[object]) -> None:
            self._running.discard(ended)
            self._waiting.discard(ended)
            if ended.cancelled():  # perhaps before its first step
                accepted.close()

        task.add_done_callback(end)
        return task

    async def _begin(
        self, accepted: socket.socket, peer: str, make_protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        is_balancer = is_proxy(peer, self._proxies)
        if self._expects_header and not is_balancer:
            self._throttled_log.warning(
                "a connection that is not from STOA_TRUSTED_PROXIES is closed peer=%s",
                peer,
                subject="peer",
            )
            accepted.close()
            return
        counted, client = "" if is_balancer else client_network(peer), None
        if self._expects_header:
            with self._counted(counted) as is_within:
                header = await self._take(accepted, peer) if is_within else None
            if header is None:
                accepted.close()
                return
            client = header.client
            if client is not None and not is_proxy(client, self._proxies):
                # One client behind a load balancer must not take the handshakes of all others.
                counted = client_network(client)
        with self._counted(counted) as is_within:
            if is_within:
                if self._certificates is None and (task := asyncio.current_task()) is not None:
                    self._waiting.discard(task)  # for nothing more
                await self._open(accepted, lambda: _announce(make_protocol(), client))
            else:
                accepted.close()

    async def _take(self, accepted: socket.socket, peer: str) -> ProxyHeader | None:
        """Take the header off a connection; None, and a warning, where none comes."""
        try:
            async with asyncio.timeout(_SECONDS):
                return await _take_header(accepted)
        except (OSError, TimeoutError, ProxyHeaderInvalid) as error:
            self._throttled_log.warning(
                "a connection without a header of the PROXY protocol is closed peer=%s: %s",
                peer,
                str(error) or "timeout",
                subject="header",
            )
            return None

    async def _open(
        self, accepted: socket.socket, make_protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        loop, certificates = asyncio.get_running_loop(), self._certificates
        try:
            if certificates is None:
                await loop.connect_accepted_socket(make_protocol, accepted)
            else:
                await loop.connect_accepted_socket(
                    make_protocol,
                    accepted,
                    ssl=certificates.context,
                    ssl_handshake_timeout=_SECONDS,
                )
        except OSError as error:  # the client is gone already, or speaks no TLS
            _log.debug("a connection could not be set up: %r", error)
            accepted.close()

    @contextmanager
    def _counted(self, client: str) -> Iterator[bool]:
        """Count a beginning, and tell whether it is within the bounds."""
        bound = PER_CLIENT if client else _AT_ONCE
        if self._counts[client] >= bound or self._counts.total() >= _AT_ONCE:
            yield False
            return
        self._counts[client] += 1
        try:
            yield True
        finally:
            self._counts[client] -= 1
            if not self._counts[client]:
                del self._counts[client]

    async def _look(self, certificates: ServerCertificates) -> None:
        """Take over files of certificates that have changed, for as long as this listens."""
        trouble: str | None = None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            found = await asyncio.to_thread(certificates.reload)
            if found is not None and found != trouble:
                _log.warning("the certificates stay as they were: %s", found)
            trouble = found


def _announce(protocol: asyncio.Protocol, client: str | None) -> asyncio.Protocol:
    cast("Announced", protocol).announced = client
    return protocol


async def _take_header(accepted: socket.socket) -> ProxyHeader:
    """Take the header off a connection, and not a byte more. Raises OSError, ProxyHeaderInvalid."""
    known = -1
    while True:
        data = await _peek(accepted, known)
        header = read_proxy_header(data)
        if header is not None:
            accepted.recv(header.size)
            return header
        if len(data) == known or len(data) >= LONGEST:
            raise ProxyHeaderInvalid("a header that does not end")
        known = len(data)


async def _peek(accepted: socket.socket, known: int) -> bytes:
    """Return what has come, which stays there: more than `known` bytes, unless no more comes."""
    pause = _FIRST_PAUSE
    while True:
        await _wait_readable(accepted)
        data = accepted.recv(LONGEST, socket.MSG_PEEK)
        if len(data) > known or not data:
            return data
        if _has_ended(accepted):
            return accepted.recv(LONGEST, socket.MSG_PEEK)  # with what came just before the end
        # What is there is ready at once: wait for more of it, without a busy loop. The rest of a
        # header comes soon or not at all, and a thousand that do not come must not take a core.
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE, pause * 2)


def _has_ended(accepted: socket.socket) -> bool:
    """Whether the other side sends nothing more, which peeking does not tell behind data."""
    number = getattr(socket, "TCP_INFO", None)
    if number is None:
        return False  # not Linux: the timeout ends it
    # The first byte of struct tcp_info is the state (linux/tcp.h), and 8 is TCP_CLOSE_WAIT.
    return accepted.getsockopt(socket.IPPROTO_TCP, number, 1) == b"\x08"


async def _wait_readable(accepted: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(accepted, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(accepted)

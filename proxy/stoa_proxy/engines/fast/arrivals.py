"""Accepts connections, and waits for what they bring: one file descriptor for all of them.

An event loop makes an object, and a system call or two, for each socket that it watches. Here all
that have no transport yet are watched by one `epoll`, which the event loop watches in their stead.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Callable
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final

from stoa_proxy.engines.complete.beginnings import Beginnings
from stoa_proxy.engines.fast.arrival import LOOK_SECONDS, Arrival, Queue
from stoa_proxy.engines.fast.connection import FastConnection
from stoa_proxy.http.forwarded import is_proxy

if TYPE_CHECKING:
    from stoa_proxy.engines.fast.engine import FastEngine

IS_SUPPORTED: Final = hasattr(select, "epoll")
"""Whether the system has what this needs: it is Linux."""

# So many connections are read, or looked at, in one turn of the event loop.
_MOST_AT_ONCE = 64
# Ends of connections that are used again.
_MOST_FREE = 256


class Arrivals:
    """The connections of an engine that have no transport yet.

    `accept` one where a listening socket has one; `end` it once none is left. What grows is begun
    by `beginnings`.
    """

    def __init__(self, engine: FastEngine, beginnings: Beginnings) -> None:
        self.engine = engine
        self.beginnings = beginnings
        self.now = 0.0
        self._loop = engine.loop
        self._known: dict[int, Arrival] = {}
        self._growing: set[Arrival] = set()
        self._free: list[Arrival] = []
        # Each is in one of these, the one that is in it longest first; `working` has a request.
        self._waiting: Queue = {}
        self._resting: Queue = {}
        self.working: Queue = {}
        self._look: asyncio.TimerHandle | None = None
        self._epoll = select.epoll()
        self._loop.add_reader(self._epoll.fileno(), self._read)

    @property
    def is_empty(self) -> bool:
        """Whether each has ended or has a transport."""
        return not self._known and not self._growing

    def all(self) -> list[Arrival]:
        """Return those that have neither ended nor a transport."""
        return [*self._known.values(), *self._growing]

    def end(self) -> None:
        """End them all, and watch no more."""
        for arrival in self.all():
            arrival.abort()
        if self._look is not None:
            self._look.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def prepare(self, listening: socket.socket) -> None:
        """Let what is sent last leave in one packet with the end of its connection.

        Connections have this from the socket that they are accepted from.
        """
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)

    def accept(self, listening: socket.socket) -> None:
        """Accept a connection. Raises OSError, as the socket does where there is none."""
        # Without a socket object, which takes longer than all else here.
        number, address = listening._accept()  # type: ignore[attr-defined] # noqa: SLF001 - as `socket.accept` does it
        try:
            os.set_blocking(number, False)
            if self.engine.proxies and is_proxy(address[0], self.engine.proxies):
                # What a proxy says of its clients differs from request to request.
                self._begin(number, address[0])
                return
            self._epoll.register(number, select.EPOLLIN)
        except OSError:
            os.close(number)
            raise
        arrival = self._free.pop() if self._free else Arrival(self)
        self._known[number] = arrival
        arrival.start(number, address[0], self._waiting, self._loop.time())
        if self._look is None:
            self._look = self._loop.call_later(LOOK_SECONDS, self._look_through)
        self.engine.shares.admit(arrival)

    def _begin(self, number: int, peer: str) -> None:
        self.beginnings.begin(_uncorked(number), peer, lambda: FastConnection(self.engine))

    def _read(self) -> None:
        self.now = self._loop.time()
        known = self._known
        for number, _ in self._epoll.poll(0, _MOST_AT_ONCE):
            arrival = known.get(number)
            if arrival is None:
                continue  # one of those before it was closed for another
            try:
                arrival.read()
            except Exception as error:  # noqa: BLE001 - the boundary where it becomes a response
                arrival.fail(error)

    # What an arrival wants.

    def rest(self, arrival: Arrival) -> None:
        """Let one wait for its next request."""
        uncorked = _uncorked(arrival.number)
        uncorked.detach()
        arrival.enter(self._resting, self._loop.time())
        self.engine.shares.touch(arrival)

    def close(self, arrival: Arrival) -> None:
        """Close one, and use it again."""
        os.close(arrival.number)  # of `epoll` it is no more with that
        del self._known[arrival.number]
        arrival.finish()
        if len(self._free) < _MOST_FREE:
            self._free.append(arrival)
        if not self._known:
            self.engine.note_end()

    def release(self, arrival: Arrival) -> socket.socket:
        """Let one grow; return its socket."""
        self._epoll.unregister(arrival.number)
        del self._known[arrival.number]
        self._growing.add(arrival)
        return _uncorked(arrival.number)

    def forget(self, arrival: Arrival) -> None:
        """Know one no more, which has grown or could not."""
        self._growing.discard(arrival)
        self.engine.note_end()

    # What takes too long.

    def _look_through(self) -> None:
        engine = self.engine
        self.now = self._loop.time()
        is_done = self._end_time(
            self._waiting, engine.head_seconds, Arrival.close
        ) and self._end_time(self._resting, engine.keepalive_seconds, Arrival.close)
        for arrival in [one for one in self.working if one.deadline <= self.now]:
            arrival.grow()  # to be answered
        pause = LOOK_SECONDS if is_done else 0
        self._look = self._loop.call_later(pause, self._look_through) if self._known else None

    def _end_time(self, queue: Queue, seconds: float, act: Callable[[Arrival], None]) -> bool:
        """Do with those that are in a queue for so long what is due; return whether it is done."""
        until = self.now - seconds
        over = list(islice(takewhile(lambda one: one.since <= until, queue), _MOST_AT_ONCE))
        for arrival in over:
            act(arrival)
        return len(over) < _MOST_AT_ONCE


def _uncorked(number: int) -> socket.socket:
    """Return the socket of a connection, which sends what it is given at once."""
    found = socket.socket(fileno=number)
    try:
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    except OSError:
        found.detach()  # whoever has the number closes it, once
        raise
    return found

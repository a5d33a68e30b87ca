"""Connections of a listener, bounded in all and for each client.

::

    shares = ConnectionShares(ShareBounds(connections=1000, per_client=250), log)
    shares.admit(connection)   # may close another, or this one
    shares.touch(connection)   # its client sent something
    shares.refusal(connection) # why the next request on it is refused, if it is
    shares.remove(connection)  # it is closed
"""

from __future__ import annotations

import logging
import sys
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from ipaddress import ip_address
from typing import Generic, Protocol, TypeVar

from stoa_proxy.foundation.address_guard import Network, is_in_any, unmap
from stoa_proxy.foundation.client_network import client_network
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.throttled_log import ThrottledLog

SPARE = 8
"""Connections beyond a bound, for whoever asks for health or administers while all are at work."""

# Of the connections that were heard longest ago, how many are looked at for an idle one: with
# 10,000 at work each new one would cost 3 ms otherwise. Those at work go to the end of the queue.
_SEARCHED = 64


class Held(Protocol):
    """A connection as its listener counts it; `is_spare` while it is beyond a bound."""

    client_address: str
    is_spare: bool

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress."""
        ...

    @property
    def has_unsent(self) -> bool:
        """Whether a response waits for the client to read it."""
        ...

    def drop(self) -> None:
        """Close at once; calls `ConnectionShares.remove`."""
        ...


class Excess(Enum):
    """Which bound a connection is beyond."""

    CLIENT = "client"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class ShareBounds:
    """`connections` in all and `per_client`: an address or an IPv6 /64.

    Peers in `exempt` are proxies, whose connections carry requests of many clients: for them there
    is only the bound of all.
    """

    connections: int
    per_client: int
    exempt: tuple[Network, ...] = ()


C = TypeVar("C", bound=Held)


@dataclass(slots=True)
class _Group(Generic[C]):
    """Connections in the order in which they were heard last.

    In the group of all, each with the group of its client, or None for one that is exempt. `spares`
    are those beyond this bound, the oldest first, and few.
    """

    bound: int
    name: str = ""
    connections: OrderedDict[C, _Group[C] | None] = field(default_factory=OrderedDict)
    spares: list[C] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return len(self.connections) > self.bound

    def add_spare(self, new: C) -> C | None:
        """Count one more beyond the bound; return the one that is too many, if one is."""
        self.spares = [one for one in self.spares if one.is_spare and one in self.connections]
        new.is_spare = True
        others, self.spares = self.spares, [*self.spares, new]
        if len(self.connections) <= self.bound + SPARE:
            return None
        # All of them are looked at: among those at work a search of few may not come to one.
        idle = [one for one in others if one.is_idle]
        return next((one for one in idle if not one.has_unsent), idle[0] if idle else new)

    def find_idle(self, new: C | None = None) -> C | None:
        """Return the one that is idle longest, other than `new`.

        One whose client still reads a response only when there is no other.
        """
        reading = None
        for _ in range(min(_SEARCHED, len(self.connections))):
            connection = next(iter(self.connections))
            is_other = connection is not new and not connection.is_spare
            if is_other and connection.is_idle:
                if not connection.has_unsent:
                    return connection
                reading = reading or connection
            self.connections.move_to_end(connection)
        return reading


class ConnectionShares(Generic[C]):
    """Counts connections. Beyond a bound the one that is idle longest is closed for a new one.

    When none is idle, SPARE more are kept: `refusal` says so while the bound is exceeded, so that
    they get health and nothing else. What one client has too much is taken from that client.
    """

    def __init__(self, bounds: ShareBounds, log: logging.Logger, clock: Clock) -> None:
        self._bounds = bounds
        self._all: _Group[C] = _Group(bounds.connections)
        self._clients: dict[str, _Group[C]] = {}
        self._throttled_logs = {excess: ThrottledLog(log, clock) for excess in Excess}
        self.refused: Counter[Excess] = Counter(dict.fromkeys(Excess, 0))

    def __len__(self) -> int:
        return len(self._all.connections)

    @property
    def clients(self) -> int:
        """How many different clients have connections."""
        return len(self._clients)

    def admit(self, new: C) -> None:
        """Count a new connection, and close an idle one, or this one, where that is too many."""
        group = self._group_of(new.client_address)
        connections, clients = self._all.connections, group.connections
        connections[new] = group
        clients[new] = None
        if len(clients) > group.bound:
            self._make_room(group, new, Excess.CLIENT)
        if len(connections) <= self._all.bound:
            return
        if new.is_spare:
            # Beyond its own share: nothing of others is closed for it.
            self._drop(new, Excess.ALL)
            return
        self._make_room(self._all, new, Excess.ALL)

    def touch(self, connection: C) -> None:
        """Note that a connection's client sent something."""
        connections = self._all.connections
        try:
            connections.move_to_end(connection)
        except KeyError:
            return  # it is dropped, and not closed yet
        group = connections[connection]
        if group is not None:
            group.connections.move_to_end(connection)

    def replace(self, old: C, new: C, *, has_spoken: bool = True) -> None:
        """Count `new` in the place of `old`: the same connection with another protocol.

        One whose client has not spoken yet is now the one that was heard longest ago.
        """
        if old not in self._all.connections:
            return  # it is dropped, and not closed yet
        group = self._all.connections.pop(old)
        new.is_spare = old.is_spare
        for held in (self._all, group):
            if held is not None and old in held.spares:
                held.spares[held.spares.index(old)] = new
        self._all.connections[new] = group
        if group is not None:
            del group.connections[old]
            group.connections[new] = None
        if not has_spoken:
            self._all.connections.move_to_end(new, last=False)
            if group is not None:
                group.connections.move_to_end(new, last=False)

    def exempt(self, connection: C) -> None:
        """Count a connection in the bound of all only: it proved that it is no stranger's."""
        group = self._all.connections.get(connection)
        if group is not None:
            self._all.connections[connection] = None
            self._leave(group, connection)
            connection.is_spare = connection.is_spare and self._all.is_over

    def remove(self, connection: C) -> None:
        """Count a connection no more."""
        group = self._all.connections.pop(connection, None)
        if group is not None:
            self._leave(group, connection)

    def close_idle(self) -> None:
        """Make room by closing the connection that is idle longest, where one is."""
        idle = self._all.find_idle()
        if idle is not None:
            idle.drop()

    def refusal(self, connection: C) -> Excess | None:
        """Return the bound that keeps a connection from being served, and count a refusal."""
        if not connection.is_spare:
            return None
        group = self._all.connections.get(connection)
        is_over = group is not None and group.is_over
        excess = Excess.CLIENT if is_over else Excess.ALL if self._all.is_over else None
        if excess is None:
            connection.is_spare = False
        else:
            self.refused[excess] += 1
        return excess

    def _leave(self, group: _Group[C], connection: C) -> None:
        del group.connections[connection]
        if not group.connections:
            del self._clients[group.name]

    def _group_of(self, address: str) -> _Group[C]:
        name, is_exempt = _name_of(address, self._bounds.exempt)
        group = self._clients.get(name)
        if group is None:
            bound = sys.maxsize if is_exempt else self._bounds.per_client
            group = self._clients[name] = _Group(bound, name)
        return group

    def _make_room(self, group: _Group[C], new: C, excess: Excess) -> None:
        self._warn(group, new, excess)
        idle = group.find_idle(new)
        if idle is not None:
            idle.drop()
            return
        excessive = group.add_spare(new)
        if excessive is not None:
            self._drop(excessive, excess)

    def _drop(self, connection: C, excess: Excess) -> None:
        self.refused[excess] += 1
        connection.drop()

    def _warn(self, group: _Group[C], new: C, excess: Excess) -> None:
        log = self._throttled_logs[excess]
        if excess is Excess.ALL:
            message = "all %d client connections are in use: idle ones are closed for new ones"
            log.warning(message, group.bound)
        else:
            message = "all %d connections that one client may have are in use client=%s"
            log.warning(message, group.bound, new.client_address, subject=new.client_address)


@lru_cache(maxsize=4096)
def _name_of(address: str, exempt: tuple[Network, ...]) -> tuple[str, bool]:
    """Return the name that a peer is counted under, and whether it is exempt."""
    try:
        is_exempt = is_in_any(unmap(ip_address(address.partition("%")[0])), exempt)
    except ValueError:
        is_exempt = False
    # A proxy may be in the /64 of clients that are none.
    return (f"proxy {address}", True) if is_exempt else (client_network(address), False)

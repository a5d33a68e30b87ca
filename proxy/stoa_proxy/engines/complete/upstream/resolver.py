"""Addresses of upstreams by name, looked up on threads of their own.

The system's resolver takes as long as it likes and cannot be stopped. On the threads that asyncio
shares among everything, six slow names would keep all others from being found.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.in_flight import InFlight
from stoa_proxy.foundation.throttled_log import ThrottledLog

_log = logging.getLogger("stoa_proxy.upstream")

FRESH_SECONDS: Final = 10.0
"""How long addresses are used without asking again; the system does not tell their TTL."""

STALE_SECONDS: Final = 600.0
"""How long they are used when asking again fails or takes long (RFC 8767).

Not after the answer that there is no such name.
"""

PATIENCE_SECONDS: Final = 1.0
"""How long asking again may take before the addresses of last time are used."""

LOOKUP_SECONDS: Final = 5.0
"""How long a first lookup is waited for; later requests fail at once while it still runs."""

FAILED_SECONDS: Final = 1.0
"""How long a name that could not be looked up is not asked for again."""

_MAX_NAMES = 4096
_MAX_THREADS = 256
_NO_SUCH_NAME = frozenset(
    code for code in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None)) if code is not None
)

AddressInfo = tuple[Any, Any, int, str, Any]
LookUp = Callable[[str, socket.AddressFamily], list[AddressInfo]]


def look_up(host: str, family: socket.AddressFamily) -> list[AddressInfo]:
    """Ask the system for the addresses of a name. Raises OSError; blocks."""
    return socket.getaddrinfo(
        host, None, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
    )


@dataclass(slots=True)
class _Name:
    """What is known of one name: its addresses, or why there are none."""

    addresses: tuple[AddressInfo, ...] = ()
    fresh_until: float = 0.0
    usable_until: float = 0.0
    retry_at: float = 0.0
    started: float = 0.0
    error: str = ""
    turn: int = 0
    is_queued: bool = False
    lookup: asyncio.Future[None] | None = None


class Resolver(AbstractResolver):
    """Resolves names for one event loop; `current_tenant` tells whose request asks.

    Each name is looked up once at a time, and of one tenant `per_tenant` names; others wait.
    """

    def __init__(
        self,
        clock: Clock,
        current_tenant: Callable[[], str],
        per_tenant: int,
        look_up: LookUp = look_up,
    ) -> None:
        self._clock = clock
        self._current_tenant = current_tenant
        self._look_up = look_up
        self._names: OrderedDict[tuple[str, int], _Name] = OrderedDict()
        self._threads = 0
        self._queues: dict[str, deque[Callable[[], None]]] = {}
        log = ThrottledLog(_log, clock)
        self.running: InFlight[str] = InFlight(per_tenant, "lookups that one tenant may have", log)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name, each time another one first. Raises OSError."""
        name = self._find(host, family)
        now = self._clock.monotonic()
        if now >= name.fresh_until:
            if name.lookup is None and now >= name.retry_at:
                self._start(name, host, family)
            if name.lookup is not None:
                await self._wait(name, now)
            if self._clock.monotonic() >= name.usable_until:
                if name.is_queued:
                    self.running.refuse(self._current_tenant())
                raise OSError(None, f"{host}: {name.error}")
        return _results(name, host, port)

    async def close(self) -> None:
        """Do nothing: lookups that run end by themselves."""

    def _find(self, host: str, family: int) -> _Name:
        key = (host, family)
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = _Name()
            while len(self._names) > _MAX_NAMES:
                self._names.popitem(last=False)
        self._names.move_to_end(key)
        return name

    async def _wait(self, name: _Name, now: float) -> None:
        """Wait for a lookup, less where there are addresses of last time."""
        assert name.lookup is not None
        seconds = PATIENCE_SECONDS if now < name.usable_until else LOOKUP_SECONDS
        left = name.started + seconds - now
        if left > 0:
            await asyncio.wait([name.lookup], timeout=left)

    def _start(self, name: _Name, host: str, family: socket.AddressFamily) -> None:
        """Look a name up, as soon as its tenant has a place for it."""
        tenant = self._current_tenant()
        name.lookup = asyncio.get_running_loop().create_future()
        name.started = self._clock.monotonic()
        name.error = "too many names are being looked up"
        name.is_queued = True
        queue = self._queues.setdefault(tenant, deque())
        queue.append(lambda: self._run(name, host, family, tenant))
        self._start_queued(tenant)

    def _start_queued(self, tenant: str) -> None:
        queue = self._queues.get(tenant)
        while queue and self._threads < _MAX_THREADS and not self.running.is_full(tenant):
            queue.popleft()()
        if not queue:
            self._queues.pop(tenant, None)

    def _run(self, name: _Name, host: str, family: socket.AddressFamily, tenant: str) -> None:
        self.running.enter(tenant)
        self._threads += 1
        name.is_queued = False
        name.started = self._clock.monotonic()
        name.error = "the lookup takes too long"
        loop = asyncio.get_running_loop()

        def run() -> None:
            found: list[AddressInfo] | OSError
            try:
                found = self._look_up(host, family)
            except (OSError, UnicodeError) as error:  # UnicodeError: no host name by IDNA
                found = error if isinstance(error, OSError) else OSError(None, "no host name")
            # RuntimeError: the loop is closed, and nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._finish, name, tenant, found)

        # A daemon: the end of the process does not wait for it.
        threading.Thread(target=run, name="lookup", daemon=True).start()

    def _finish(self, name: _Name, tenant: str, found: list[AddressInfo] | OSError) -> None:
        self._threads -= 1
        self.running.leave(tenant)
        now = self._clock.monotonic()
        if isinstance(found, OSError):
            name.retry_at = now + FAILED_SECONDS
            name.error = found.strerror or str(found)
            if found.errno in _NO_SUCH_NAME:
                name.usable_until = 0.0
        else:
            name.addresses = tuple(found)
            name.fresh_until, name.usable_until = now + FRESH_SECONDS, now + STALE_SECONDS
        assert name.lookup is not None
        name.lookup.set_result(None)
        name.lookup = None
        for waiting in (tenant, *self._queues):
            self._start_queued(waiting)


def _results(name: _Name, host: str, port: int) -> list[ResolveResult]:
    first = name.turn % len(name.addresses)
    name.turn += 1
    addresses = (*name.addresses[first:], *name.addresses[:first])
    return [
        ResolveResult(
            hostname=host,
            host=_text(address),
            port=port,
            family=family,
            proto=proto,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for family, _, proto, _, address in addresses
    ]


def _text(address: Any) -> str:
    """Return an address as text; one that is valid on a link only has its zone (RFC 4007, 11)."""
    return f"{address[0]}%{address[3]}" if len(address) == 4 and address[3] else str(address[0])

"""Listening addresses, and the control listener."""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stoa_proxy.errors import ConfigInvalid
from stoa_proxy.foundation.address_guard import Network
from stoa_proxy.foundation.clock import SystemClock
from stoa_proxy.foundation.connection_shares import ConnectionShares, ShareBounds
from stoa_proxy.foundation.descriptors import bounded_by_descriptors

from stoa_gitops.control.api import ROUTES
from stoa_gitops.control.app import build
from stoa_gitops.control.context import ApiContext
from stoa_gitops.control.hosts import HostNames
from stoa_gitops.control.route_table import PUBLIC_ROUTES
from stoa_gitops.control.server import ControlProtocol, ControlServer
from stoa_gitops.errors import StoaGitopsError, UsageError
from stoa_gitops.reconcile.metrics import Metric, Sample, counter, gauge

_log = logging.getLogger(__name__)


MAX_CONNECTIONS: Final = 5_000
"""Of a thousand gateways with the three connections that each has, and of people beside them."""

CLIENT_PART: Final = 2
"""Two clients are needed to take all connections. A thousand gateways behind one address that start
at once fit: each shows its key with its first request, and is then of no client's part."""

_LEAST_SHARE: Final = 16

_DESCRIPTORS_PART: Final = 4
"""Of the descriptors for one listener of control: the data plane may take two thirds of them."""


class ListenFailed(StoaGitopsError):
    """An address cannot be listened on."""

    reason = "ListenFailed"


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, flag: str) -> Address:
        """Read HOST:PORT or [IPV6]:PORT; UsageError names the flag."""
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise UsageError(f"{flag} {text!r}: write HOST:PORT, as 127.0.0.1:8000")
        return cls(host, int(port))

    def url(self, port: int) -> str:
        """Return the base URL under which this machine reaches the listener."""
        # S104 warns of binding to all addresses; here they are only recognised.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        # RFC 3986 §3.2.2: an IPv6 address stands in brackets.
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@dataclass(frozen=True, slots=True)
class ControlBounds:
    """Who may call the control listener, and what of it one client may take.

    `hosts` are names that it is called by beside localhost and addresses. Connections of `proxies`,
    and those on which a right gateway key came, have only the bound of all.
    """

    max_connections: int = MAX_CONNECTIONS
    max_connections_per_client: int = MAX_CONNECTIONS // CLIENT_PART
    hosts: tuple[str, ...] = ()
    proxies: tuple[Network, ...] = ()

    @classmethod
    def of(
        cls,
        connections: int | None,
        per_client: int | None,
        *,
        hosts: tuple[str, ...] = (),
        proxies: tuple[Network, ...] = (),
    ) -> ControlBounds:
        """Return bounds; None takes as many connections as the descriptors of the process permit.

        Raises UsageError for more connections than it may open files.
        """
        try:
            most = bounded_by_descriptors(connections, MAX_CONNECTIONS, _DESCRIPTORS_PART)
        except ConfigInvalid as error:
            raise UsageError(f"STOA_CONTROL_MAX_CONNECTIONS {error}") from None
        share = max(_LEAST_SHARE, most // CLIENT_PART) if per_client is None else per_client
        return cls(most, share, hosts, proxies)


class ControlListener:
    """Serves the control API; a public one has no routes below `/v1/internal/`."""

    def __init__(
        self,
        context: ApiContext,
        address: Address,
        bounds: ControlBounds,
        *,
        is_public: bool = False,
    ) -> None:
        shares = ShareBounds(
            bounds.max_connections, bounds.max_connections_per_client, bounds.proxies
        )
        self.shares: ConnectionShares[ControlProtocol] = ConnectionShares(
            shares, _log, SystemClock()
        )
        names = HostNames((*bounds.hosts, address.host))
        routes = PUBLIC_ROUTES if is_public else ROUTES
        self._server = ControlServer(build(context, names, self.shares, routes), self.shares)
        self._address = address
        self._name = "public" if is_public else "control"

    async def start(self) -> str:
        """Listen and return the base URL; raises ListenFailed."""
        try:
            port = await self._server.start(self._address.host, self._address.port)
        except OSError as error:
            raise ListenFailed(_message(f"--{self._name}-listen", self._address, error)) from error
        return self._address.url(port)

    def metrics(self) -> Iterator[Metric]:
        """Yield the figures of its connections."""
        yield gauge(
            f"stoa_gitops_{self._name}_connections",
            "Connections to this listener.",
            [Sample(len(self.shares))],
        )
        refused: Counter[tuple[str, ...]] = Counter(
            {(bound.value,): count for bound, count in self.shares.refused.items()}
        )
        yield counter(
            f"stoa_gitops_{self._name}_connections_refused_total",
            "Connections and requests refused by a bound: of one client, of all.",
            ("bound",),
            refused,
        )

    async def stop(self) -> None:
        """Close connections; requests in flight have two seconds."""
        await self._server.stop()


class ControlListeners:
    """The control listener, and the public one beside it if there is one."""

    def __init__(self) -> None:
        self._listeners: list[ControlListener] = []

    async def start(
        self, context: ApiContext, control: Address, public: Address | None, bounds: ControlBounds
    ) -> str:
        """Listen, and return the base URL of control; raises ListenFailed, and then none does."""
        first = ControlListener(context, control, bounds)
        url = await first.start()
        self._listeners.append(first)
        if public is not None:
            second = ControlListener(context, public, bounds, is_public=True)
            try:
                _log.info("public listener, without /v1/internal: %s", await second.start())
            except ListenFailed:
                await self.stop()
                raise
            self._listeners.append(second)
        return url

    def metrics(self) -> Iterator[Metric]:
        """Yield the figures of the connections of each."""
        for listener in self._listeners:
            yield from listener.metrics()

    async def stop(self) -> None:
        """Close connections; requests in flight have two seconds."""
        for listener in self._listeners:
            await listener.stop()


def _message(flag: str, address: Address, error: OSError) -> str:
    """Return why an address cannot be listened on, and what to do."""
    where = f"{address.host}:{address.port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use by another program: stop it, or choose another {flag}"
    return f"{where} cannot be listened on ({error.strerror or error}): choose another {flag}"

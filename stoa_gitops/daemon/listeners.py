"""Listening addresses, and the control listener."""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from stoa_proxy.foundation.address_guard import Network
from stoa_proxy.foundation.clock import SystemClock
from stoa_proxy.foundation.connection_shares import ConnectionShares, ShareBounds

from stoa_gitops.control.app import build
from stoa_gitops.control.context import ApiContext
from stoa_gitops.control.hosts import HostNames
from stoa_gitops.control.server import ControlProtocol, ControlServer
from stoa_gitops.errors import StoaGitopsError, UsageError
from stoa_gitops.reconcile.metrics import Metric, Sample, counter, gauge

_log = logging.getLogger(__name__)


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

    `hosts` are names that it is called by beside localhost and addresses. Connections of `proxies`
    have only the bound of all.
    """

    max_connections: int = 256
    max_connections_per_client: int = 64
    hosts: tuple[str, ...] = ()
    proxies: tuple[Network, ...] = ()


class ControlListener:
    """Serves the control API."""

    def __init__(self, context: ApiContext, address: Address, bounds: ControlBounds) -> None:
        shares = ShareBounds(
            bounds.max_connections, bounds.max_connections_per_client, bounds.proxies
        )
        self.shares: ConnectionShares[ControlProtocol] = ConnectionShares(
            shares, _log, SystemClock()
        )
        names = HostNames((*bounds.hosts, address.host))
        self._server = ControlServer(build(context, names, self.shares), self.shares)
        self._address = address

    async def start(self) -> str:
        """Listen and return the base URL; raises ListenFailed."""
        try:
            port = await self._server.start(self._address.host, self._address.port)
        except OSError as error:
            raise ListenFailed(_message("--control-listen", self._address, error)) from error
        return self._address.url(port)

    def metrics(self) -> Iterator[Metric]:
        """Yield the figures of its connections."""
        yield gauge(
            "stoa_gitops_control_connections",
            "Connections to this listener.",
            [Sample(len(self.shares))],
        )
        refused: Counter[tuple[str, ...]] = Counter(
            {(bound.value,): count for bound, count in self.shares.refused.items()}
        )
        yield counter(
            "stoa_gitops_control_connections_refused_total",
            "Connections and requests refused by a bound: of one client, of all.",
            ("bound",),
            refused,
        )

    async def stop(self) -> None:
        """Close connections; requests in flight have two seconds."""
        await self._server.stop()


def _message(flag: str, address: Address, error: OSError) -> str:
    """Return why an address cannot be listened on, and what to do."""
    where = f"{address.host}:{address.port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use by another program: stop it, or choose another {flag}"
    return f"{where} cannot be listened on ({error.strerror or error}): choose another {flag}"

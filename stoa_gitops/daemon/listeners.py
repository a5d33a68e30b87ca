"""Listening addresses, and the control listener."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from aiohttp import web

from stoa_gitops.control.server import ControlServer
from stoa_gitops.errors import StoaGitopsError, UsageError


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


class ControlListener:
    """Serves the control application."""

    def __init__(self, application: web.Application, address: Address) -> None:
        self._server = ControlServer(application)
        self._address = address

    async def start(self) -> str:
        """Listen and return the base URL; raises ListenFailed."""
        try:
            port = await self._server.start(self._address.host, self._address.port)
        except OSError as error:
            raise ListenFailed(_message("--control-listen", self._address, error)) from error
        return self._address.url(port)

    async def stop(self) -> None:
        """Close connections; requests in flight have two seconds."""
        await self._server.stop()


def _message(flag: str, address: Address, error: OSError) -> str:
    """Return why an address cannot be listened on, and what to do."""
    where = f"{address.host}:{address.port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use by another program: stop it, or choose another {flag}"
    return f"{where} cannot be listened on ({error.strerror or error}): choose another {flag}"

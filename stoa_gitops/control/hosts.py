"""Which names the control listener is called by: protection from DNS rebinding.

A page in somebody's browser may let its own name lead to 127.0.0.1, and is then of one origin with
this listener. Such requests carry the name of the page in `Host`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final

from aiohttp import web

from stoa_gitops.control.admission import Refusal
from stoa_gitops.control.problems import problem

_REFUSED: Final = (
    "the name in Host is none of this listener, which is called by localhost, by addresses and by "
    "what STOA_CONTROL_HOSTS lists"
)


class HostNames:
    """Names of a listener: localhost and all below it, any address, and those that are `listed`.

    A listed name may be `*.example.com` for all below it, or `*` for any.
    """

    def __init__(self, listed: Iterable[str] = ()) -> None:
        names = {name.strip().lower().removesuffix(".") for name in listed}
        self._is_open = "*" in names
        self._names = names | {"localhost"}
        suffixes = [name[1:] for name in names if name.startswith("*.")]
        self._suffixes = (".localhost", *suffixes)

    def allows(self, host: str) -> bool:
        """Whether a request with this `Host` is meant for the listener; none at all is."""
        if self._is_open or not host:
            return True
        name = _name_of(host)
        # No page has an address for its name but the one that it was loaded from.
        return name in self._names or name.endswith(self._suffixes) or _is_address(name)


def misdirected(names: HostNames, is_exempt: Callable[[web.Request], bool]) -> Refusal:
    """Return what refuses requests by other names, but for those that are exempt."""

    def find(request: web.Request) -> web.Response | None:
        if is_exempt(request) or names.allows(request.headers.get("Host", "")):
            return None
        # RFC 9110, 15.5.20.
        return problem(421, "Misdirected Request", _REFUSED)

    return find


def _name_of(host: str) -> str:
    """Return the name of `name:port` or `[address]:port`, in small letters."""
    if host.startswith("["):
        name, _, _ = host[1:].partition("]")
        return name
    return host.partition(":")[0].strip().lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

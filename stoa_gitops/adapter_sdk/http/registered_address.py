"""Checks the address that a gateway registered itself with, before anything is sent there.

Whoever has a gateway key chooses that address, and the admin token of the document goes along with
each request: so only networks that the document names are called, and the very address that was
checked. A name that resolves to another address a moment later gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

import httpcore

from stoa_gitops.adapter_sdk.http.connections import Wire
from stoa_gitops.errors import GatewayAddressRefused, GatewayUnreachable

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host name, as texts; raises OSError."""

FIELD: Final = "spec.registration.networks"

_SPECIAL: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        # This host and its links (RFC 6890, RFC 4291).
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
        "::/128", "::1/128", "fe80::/10", "ff00::/8",
        # Addresses that carry another one: IPv4-compatible, NAT64 (RFC 6052, RFC 8215), 6to4.
        "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16",
        # Shared by the customers of a provider (RFC 6598).
        "100.64.0.0/10",
        # Metadata and agents of clouds: AWS, GCP, Azure and Oracle share the first; AWS, Alibaba,
        # Azure, Oracle.
        "169.254.169.254/32", "fd00:ec2::254/128", "100.100.100.200/32", "168.63.129.16/32",
        "192.0.0.192/32",
    )
)  # fmt: skip
"""Networks in which a gateway is only where a document names them or a part of them.

`10.0.0.0/8` means what it says; `0.0.0.0/0` does not mean this machine.
"""


async def resolve_host(host: str, port: int) -> tuple[str, ...]:
    """Return the addresses of a host by the resolver of the system; raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedAddresses:
    """Sends requests to addresses within `networks` only; `inner` sends them.

    The host is resolved for each request, all of its addresses are checked, and the request goes to
    one of these as a literal, so that nothing below resolves the name again. `Host`, SNI and the
    name in the certificate stay those of the URL.
    """

    def __init__(
        self,
        inner: Wire,
        networks: Iterable[str],
        seconds: float,
        resolve: Resolve = resolve_host,
    ) -> None:
        self._inner = inner
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in networks)
        self._seconds = seconds
        self._resolve = resolve

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; raises GatewayAddressRefused, GatewayUnreachable, errors of httpcore."""
        url = request.url
        host = url.host.decode("ascii")
        addresses = await self._checked(host, url.port or (443 if url.scheme == b"https" else 80))
        # The certificate is for the name, unless a document names another one.
        extensions = {"sni_hostname": host, **request.extensions}
        for number, address in enumerate(addresses, start=1):
            sent = httpcore.Request(
                request.method,
                httpcore.URL(
                    scheme=url.scheme, host=str(address), port=url.port, target=url.target
                ),
                headers=request.headers,
                content=request.stream,
                extensions=extensions,
            )
            try:
                return await self._inner.handle_async_request(sent)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                # Nothing was sent. A host of both families may be reachable by one of them.
                if number == len(addresses):
                    raise
        raise AssertionError("the last address returns or raises")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def _checked(self, host: str, port: int) -> tuple[Address, ...]:
        """Return all addresses of a host; raises GatewayAddressRefused if one may not be called."""
        if "%" in host:
            # A zone (RFC 4007) names an interface of this machine; anything else is an escape.
            raise GatewayAddressRefused(
                f"the registered admin URL has the host {host[:100]!r}: a name or an address"
                " without escapes and zones is needed (STOA_ADVERTISE_URL of the gateway)"
            )
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._resolve(host, port)
        except TimeoutError:
            raise GatewayUnreachable(
                f"{host}, where the gateway registered itself, was not resolved in"
                f" {self._seconds:g} s"
            ) from None
        except (OSError, UnicodeError):
            raise GatewayUnreachable(
                f"{host}, where the gateway registered itself, has no address"
            ) from None
        if not found:
            raise GatewayUnreachable(f"{host}, where the gateway registered itself, has no address")
        return tuple(self._check(host, text) for text in found)

    def _check(self, host: str, text: str) -> Address:
        try:
            address = plain_address(text)
        except ValueError:
            address = None
        if address is not None and is_within(address, self._networks):
            return address
        what = text if text == host else f"{text}, the address of {host},"
        if not self._networks:
            raise GatewayAddressRefused(
                f"{what} is where the gateway registered itself, and no network is allowed:"
                f" name those of such gateways in {FIELD}"
            )
        allowed = ", ".join(map(str, self._networks[:5]))
        raise GatewayAddressRefused(
            f"{what} is where the gateway registered itself, and lies outside of {FIELD}"
            f" ({allowed}{', …' if len(self._networks) > 5 else ''}): name its network there, or"
            " correct STOA_ADVERTISE_URL of the gateway"
        )


def plain_address(text: str) -> Address:
    """Return an address, an IPv4 one for IPv4 inside IPv6 (`::ffff:10.0.0.1`).

    Raises ValueError for another text, and for an address with a zone.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    if address.scope_id is not None:
        raise ValueError("a zone names an interface of this machine")
    return address.ipv4_mapped or address


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether an address lies in one of the networks.

    One of a special network does so only in a network that lies within the special one.
    """
    special = [network for network in _SPECIAL if address in network]
    return any(
        address in network and all(_is_part(network, one) for one in special)
        for network in networks
    )


def _is_part(network: Network, of: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(of, IPv4Network) and network.subnet_of(of)
    return isinstance(of, IPv6Network) and network.subnet_of(of)

"""Address rules for backends, against requests to the gateway's own network (SSRF).

Literal addresses are checked when they are configured, every address when it is connected to: a
name may resolve to something else the next time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Shared address space of providers, RFC 6598; Python counts it as neither private nor global.
_CGNAT = IPv4Network("100.64.0.0/10")
# IPv6 forms that carry an IPv4 address: RFC 6052 (NAT64), RFC 4291, 2.5.5.1 (deprecated).
_NAT64 = IPv6Network("64:ff9b::/96")
_V4_COMPATIBLE = IPv6Network("::/96")

EVERYWHERE: tuple[Network, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
"""All addresses there are."""


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """Allowed and denied networks. Denied wins; allowed lifts the built-in refusals."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()

    def refusal(self, address: str) -> str | None:
        """Return why `address` may not be called; None when it may.

        `address` is a literal; a zone id is ignored (RFC 4007, 11).
        """
        try:
            ip = unmap(ip_address(address.partition("%")[0]))
        except ValueError:
            return "not an address"
        if is_in_any(ip, self.deny):
            return "denied by configuration"
        embedded = _embedded(ip)
        if embedded is not None and is_in_any(embedded, self.deny):
            return "denied by configuration"
        if is_in_any(ip, self.allow):
            return None
        if embedded is not None:
            return None if is_in_any(embedded, self.allow) else _category(embedded)
        return _category(ip)


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse CIDRs or single addresses. Raises ValueError, which names the wrong one."""
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(ip_network(text.strip()))
        except ValueError as error:
            raise ValueError(f"{text!r} is not a network such as 10.0.0.0/8: {error}") from None
    return tuple(networks)


def is_in_any(ip: Address, networks: tuple[Network, ...]) -> bool:
    """Whether one of the networks holds the address."""
    return any(ip.version == net.version and ip in net for net in networks)


class NetworkSet:
    """Networks that are looked up by their prefix lengths: in no time, however many they are."""

    __slots__ = ("_by_length",)

    def __init__(self, networks: Iterable[Network]) -> None:
        # By IP version and mask: the first addresses of the networks with that mask.
        self._by_length: dict[tuple[int, int], set[int]] = {}
        for network in networks:
            key = network.version, int(network.netmask)
            self._by_length.setdefault(key, set()).add(int(network.network_address))

    def __contains__(self, ip: Address) -> bool:
        version, number = ip.version, int(ip)
        return any(
            (number & mask) in firsts
            for (of_version, mask), firsts in self._by_length.items()
            if of_version == version
        )


def unmap(ip: Address) -> Address:
    """Return the IPv4 address that an IPv4-mapped IPv6 address means; others as they are."""
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


def _embedded(ip: Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to this IPv6 address are delivered to, if any."""
    if isinstance(ip, IPv4Address):
        return None
    # RFC 3056 (6to4) and RFC 4380 (Teredo): the second of Teredo's two addresses is the client.
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    # Above 1: `::` and `::1` are addresses of their own.
    if ip in _NAT64 or (ip in _V4_COMPATIBLE and int(ip) > 1):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return None


def _category(ip: Address) -> str | None:
    checks = (
        (ip.is_unspecified, "unspecified"),
        (ip.is_loopback, "loopback"),
        (ip.is_link_local, "link-local"),
        (ip.is_multicast, "multicast"),
        (isinstance(ip, IPv4Address) and ip in _CGNAT, "shared address space"),
        (ip.is_private, "private"),
        (ip.is_reserved, "reserved"),
        (isinstance(ip, IPv6Address) and ip.is_site_local, "private"),
        (not ip.is_global, "not global"),
    )
    return next((name for applies, name in checks if applies), None)

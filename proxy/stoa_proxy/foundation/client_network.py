"""The network that a client is counted by."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

from stoa_proxy.foundation.address_guard import unmap


@lru_cache(maxsize=4096)
def client_network(address: str) -> str:
    """Return an address, or the /64 of an IPv6 one: one host can have all of its addresses.

    What is no address is returned as it is.
    """
    try:
        ip = unmap(ip_address(address.partition("%")[0]))
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        return str(IPv6Network((int(ip) >> 64 << 64, 64)))
    return str(ip)

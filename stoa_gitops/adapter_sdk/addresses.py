"""Addresses and networks in policies, for gateways that keep them as lists. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from stoa_gitops.model.losses import Loss


def usual_spelling(address: str) -> str:
    """Return the usual spelling of an address or network: `10.9.8.7/8` is `10.0.0.0/8`.

    Gateways take no `/08`, for one. What is neither comes back as it is.
    """
    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return address
    return str(network) if "/" in address else str(network.network_address)


def address_losses(addresses: Iterable[str]) -> Iterator[Loss]:
    """Yield a loss for each text that is neither an address nor a network."""
    for address in addresses:
        try:
            ipaddress.ip_network(address, strict=False)
        except ValueError:
            yield Loss(f"{address} is no address and no network", at=("config",))

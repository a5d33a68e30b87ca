"""`ip_filter` as Kong's ip-restriction plugin. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.mapping.plugin_mapping import Config, single_plugin
from stoa_gitops.model.losses import Loss

_LISTS: Final = ("allow", "deny")


def _write(config: Config, _: NodeInfo) -> JsonTree:
    return {name: config[name] for name in _LISTS if config[name]}


def _stored(config: Config) -> JsonTree:
    return {name: sorted(map(_normal, config[name])) for name in _LISTS}


def _normal(address: str) -> str:
    """Return the usual spelling of an address or network: Kong takes no `/08`, for one."""
    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return address
    return str(network) if "/" in address else str(network.network_address)


def _read(config: Config) -> JsonTree:
    return {name: sorted(map(_normal, config.get(name) or ())) for name in _LISTS}


def _losses(config: Config) -> Iterator[Loss]:
    addresses = [*config["allow"], *config["deny"]]
    if not addresses:
        # Kong: "at least one of these fields must be non-empty: 'config.allow', 'config.deny'".
        yield Loss("it names no address, and Kong has no form for that")
    for address in addresses:
        try:
            ipaddress.ip_network(address, strict=False)
        except ValueError:
            yield Loss(f"{address} is no address and no network", at=("config",))


MAPPING: Final = single_plugin(
    "ip_filter",
    "ip-restriction",
    write=_write,
    read=_read,
    losses=_losses,
    stored=_stored,
    whole_fields=frozenset(_LISTS),
)

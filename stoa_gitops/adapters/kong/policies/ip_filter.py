"""`ip_filter` as Kong's ip-restriction plugin. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stoa_gitops.adapter_sdk.addresses import address_losses, usual_spelling
from stoa_gitops.adapters.kong.entities.entity import JsonTree, NodeInfo
from stoa_gitops.adapters.kong.mapping.plugin_mapping import Config, single_plugin
from stoa_gitops.model.losses import Loss

_LISTS: Final = ("allow", "deny")


def _write(config: Config, _: NodeInfo) -> JsonTree:
    return {name: config[name] for name in _LISTS if config[name]}


def _stored(config: Config) -> JsonTree:
    return {name: sorted(map(usual_spelling, config[name])) for name in _LISTS}


def _read(config: Config) -> JsonTree:
    return {name: sorted(map(usual_spelling, config.get(name) or ())) for name in _LISTS}


def _losses(config: Config) -> Iterator[Loss]:
    addresses = [*config["allow"], *config["deny"]]
    if not addresses:
        # Kong: "at least one of these fields must be non-empty: 'config.allow', 'config.deny'".
        yield Loss("it names no address, and Kong has no form for that")
    yield from address_losses(addresses)


MAPPING: Final = single_plugin(
    "ip_filter",
    "ip-restriction",
    write=_write,
    read=_read,
    losses=_losses,
    stored=_stored,
    whole_fields=frozenset(_LISTS),
)

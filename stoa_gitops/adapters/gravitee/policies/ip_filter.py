"""`ip_filter` as Gravitee's ip-filtering policy. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.addresses import address_losses, usual_spelling
from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.flows import make_flow, make_step, steps_of
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.model.losses import Loss

_TYPE: Final = "ip_filter"
_PLUGIN: Final = "ip-filtering"
_LISTS: Final = {"allow": "whitelistIps", "deny": "blacklistIps"}


def _write(definition: JsonTree, config: Config, _: Place) -> None:
    lists = {theirs: config[ours] for ours, theirs in _LISTS.items() if config[ours]}
    step = make_step(_TYPE, _PLUGIN, {**lists, "matchAllFromXForwardedFor": False})
    definition["flows"].append(make_flow(_TYPE, [step]))


def _stored(config: Config) -> JsonTree:
    return {name: sorted(map(usual_spelling, config[name])) for name in _LISTS}


def _read(definition: Mapping[str, Any], place: Place) -> JsonTree | None:
    for step in steps_of(definition, "request", _PLUGIN, _TYPE, is_ours=place.is_ours):
        configuration = step.get("configuration") or {}
        return {
            ours: sorted(map(usual_spelling, configuration.get(theirs) or ()))
            for ours, theirs in _LISTS.items()
        }
    return None


def _losses(config: Config) -> Iterator[Loss]:
    addresses = [*config["allow"], *config["deny"]]
    if not addresses:
        yield Loss("it names no address, so Gravitee would let everybody in")
    yield from address_losses(addresses)


MAPPING: Final = PolicyMapping(
    policy_type=_TYPE,
    plugins=(_PLUGIN,),
    rank=10,
    write=_write,
    read=_read,
    stored=_stored,
    losses=_losses,
)

"""`api_key` as the security of plans; where the key is, is often the gateway's own setting. Pure.

The plans themselves are made by `mapping.plans`, which looks for this policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.marks import read_memory
from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.mapping.policy_mapping import Config, Place, PolicyMapping
from stoa_gitops.model.losses import Loss

_TYPE: Final = "api_key"
_SECURITY: Final = "API_KEY"


def _write(definition: JsonTree, config: Config, place: Place) -> None:
    """Leave it to the plans."""


def _read(definition: Mapping[str, Any], place: Place) -> JsonTree | None:
    if place.is_ours:
        held = read_memory(place.marks, _TYPE)
        return held if isinstance(held, dict) else None
    for plan in definition.get("plans") or ():
        security = plan.get("security") or {}
        if security.get("type") == _SECURITY:
            configuration = security.get("configuration") or {}
            options = place.info.options
            is_query = configuration.get("source") == "QUERY_PARAMETER"
            return {
                "in": "query" if is_query else "header",
                "name": options.key_query
                if is_query
                else str(configuration.get("apiKeyHeader") or options.key_header),
                "hide": not configuration.get("propagateApiKey", False),
            }
    return None


def _losses(_: Config) -> Iterator[Loss]:
    return iter(())


def _node_losses(config: Config, info: GatewayInfo) -> Iterator[Loss]:
    options = info.options
    known = options.key_header if config["in"] == "header" else options.key_query
    is_known = config["name"].lower() == known.lower()
    if is_known or (config["in"] == "header" and info.chooses_key_place):
        return
    setting = ("header", "apiKeyHeader") if config["in"] == "header" else ("param", "apiKeyQuery")
    yield Loss(
        f"the {config['in']} {config['name']}: this gateway takes keys from {known} "
        f"(policy.api-key.{setting[0]} of its gravitee.yml). Write that name, or set it there and "
        f"in options.{setting[1]}",
        is_partial=True,
        at=("config", "name"),
    )


MAPPING: Final = PolicyMapping(
    policy_type=_TYPE,
    plugins=("api-key",),
    write=_write,
    read=_read,
    losses=_losses,
    node_losses=_node_losses,
    has_memory=True,
)

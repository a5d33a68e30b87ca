"""The form of a policy type's mapping: everything that Gravitee's adapter must know of it. Pure.

Each module of `policies` exports one `MAPPING`; capabilities, losses, projection, what is written,
what is read back and who answers for a flow are derived from these values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.model.losses import Loss

Config = Mapping[str, Any]
"""The canonical config of a policy."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a policy is written or read: the API's hrid, the gateway, all policies of the API.

    api      the API itself, when writing; None while only policies are written
    marks    what our marks say, when reading
    is_ours  the API carries our marks (of any catalog)
    """

    hrid: str
    info: GatewayInfo
    policies: Mapping[str, Config] = field(default_factory=dict)
    api: Mapping[str, Any] | None = None
    marks: Mapping[str, str] = field(default_factory=dict)
    is_ours: bool = True


def keep_config(config: Config) -> JsonTree:
    """Return all of a config: Gravitee stores every field of it."""
    return dict(config)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyMapping:
    """How one policy type of the catalog is written on Gravitee, and read back.

    policy_type  the type's name in the catalog
    write        (definition, config, place): put it into a definition under construction
    read         (definition, place) -> canonical config, None where there is none
    losses       what Gravitee does not do of a config; decided before any call
    plugins      policies of Gravitee that must be installed
    resources    types of resources that must be installed
    rank         position of its flow among those of the API: what refuses comes first
    stored       what of a config comes back: the form in which specs are compared
    node_losses  what a gateway of some version or settings does not do besides
    has_memory   the config is kept in a mark, for Gravitee has no field for all of it
    fields       fields of a definition, beside its flow, that it answers for
    """

    policy_type: str
    write: Callable[[JsonTree, Config, Place], None]
    read: Callable[[Mapping[str, Any], Place], JsonTree | None]
    losses: Callable[[Config], Iterator[Loss]]
    plugins: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    rank: int = 50
    stored: Callable[[Config], JsonTree] = keep_config
    node_losses: Callable[[Config, GatewayInfo], Iterator[Loss]] | None = None
    has_memory: bool = False
    fields: tuple[str, ...] = ()

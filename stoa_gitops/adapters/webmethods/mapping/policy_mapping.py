"""The form of a policy type's mapping: everything that webMethods' adapter must know of it. Pure.

Each module of `policies` exports one `MAPPING`; capabilities, losses, what is written and which
action belongs to which policy are derived from these values. What was written of each policy is
kept in the memory of its API, so that only foreign ones are read from actions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stoa_gitops.adapters.webmethods.entities.actions import Action
from stoa_gitops.adapters.webmethods.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.model.losses import Loss

Config = Mapping[str, Any]
"""The canonical config of a policy."""

HeldActions = Sequence[Mapping[str, Any]]
"""Actions as the gateway holds them, each `{id, templateKey, parameters, …}` with its `stage`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a policy is written: the gateway, and all policies of the API."""

    info: GatewayInfo
    policies: Mapping[str, Config] = field(default_factory=dict)


def keep_config(config: Config) -> JsonTree:
    """Return all of a config: nothing of it gets lost."""
    return dict(config)


def no_losses(_: Config) -> Iterator[Loss]:
    """Yield nothing."""
    return iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyMapping:
    """How one policy type of the catalog is written on webMethods.

    policy_type  the type's name in the catalog
    write        (config, place) -> its actions; that of stage IAM is made for all together
    losses       what webMethods does not do of a config; decided before any call
    read         (actions of a foreign API) -> canonical config, None where there is none
    stored       what of a config is kept: the form in which specs are compared
    node_losses  what a gateway of some settings does not do besides
    """

    policy_type: str
    write: Callable[[Config, Place], list[Action]]
    losses: Callable[[Config], Iterator[Loss]] = no_losses
    read: Callable[[HeldActions, GatewayInfo], JsonTree | None] | None = None
    stored: Callable[[Config], JsonTree] = keep_config
    node_losses: Callable[[Config, GatewayInfo], Iterator[Loss]] | None = None


def actions_of(actions: HeldActions, template: str) -> list[Mapping[str, Any]]:
    """Return the actions of one template, in their order."""
    return [one for one in actions if one.get("templateKey") == template]

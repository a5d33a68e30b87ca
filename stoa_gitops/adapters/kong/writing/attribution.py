"""Whose change it is that a node refuses: from entities back to the objects of the catalog. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoa_gitops.adapters.kong.entities.entity import Entity
from stoa_gitops.adapters.kong.node.edit import PendingChange
from stoa_gitops.adapters.kong.node.snapshot import EntityGroup
from stoa_gitops.adapters.kong.policies.compose import plugins_of
from stoa_gitops.adapters.kong.writing.config_errors import Culprits
from stoa_gitops.model.keys import POLICY, Key


def attribute_errors(
    blamed: Culprits, units: Mapping[Key, EntityGroup], pending: Sequence[PendingChange]
) -> Mapping[PendingChange, str]:
    """Return whom the node's words concern among the changes; `units` are those of the refused document.

    An application that was only made anew because its API moved is the affair of the API.
    """
    found: dict[PendingChange, str] = {}
    by_unit: dict[Key, list[PendingChange]] = {}
    for wish in pending:
        by_unit.setdefault(wish.unit, []).append(wish)
    for key, unit in units.items():
        wishes = by_unit.get(key) or [w for api in unit.uses for w in by_unit.get(api, ())]
        for entity in unit.entities if wishes else ():
            message = blamed.get((entity.type, entity.id))
            if message is not None:
                for wish in _behind(entity, wishes):
                    found.setdefault(wish, f"{entity.type}: {message}")
    return found


def _behind(entity: Entity, wishes: Sequence[PendingChange]) -> Sequence[PendingChange]:
    """Return the changes that an entity comes from: a plugin's policies, else the API or application itself."""
    if entity.type == "plugins":
        name = entity.tree.get("name")
        policies = [
            wish
            for wish in wishes
            if wish.key.kind == POLICY and name in plugins_of(wish.key.policy_type)
        ]
        if policies:
            return policies
    roots = [wish for wish in wishes if wish.key.kind != POLICY]
    return roots or wishes

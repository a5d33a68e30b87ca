"""Attributes Kong's errors about entities to the changes that caused them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoa_gitops.adapters.kong.entities.entity import Entity
from stoa_gitops.adapters.kong.mapping.plugins import plugins_of
from stoa_gitops.adapters.kong.node.edit import PendingChange
from stoa_gitops.adapters.kong.node.snapshot import EntityGroup
from stoa_gitops.adapters.kong.writing.config_errors import EntityErrors
from stoa_gitops.model.keys import POLICY, Key


def attribute_errors(
    errors: EntityErrors, groups: Mapping[Key, EntityGroup], pending: Sequence[PendingChange]
) -> Mapping[PendingChange, str]:
    """Return the error of each change; `groups` are those of the refused document.

    An application that was only compiled anew because its API changed is attributed to the API.
    """
    found: dict[PendingChange, str] = {}
    by_group: dict[Key, list[PendingChange]] = {}
    for change in pending:
        by_group.setdefault(change.group, []).append(change)
    for key, group in groups.items():
        changes = by_group.get(key) or [w for api in group.uses for w in by_group.get(api, ())]
        for entity in group.entities if changes else ():
            message = errors.get((entity.type, entity.id))
            if message is not None:
                for change in _changes_of(entity, changes):
                    found.setdefault(change, f"{entity.type}: {message}")
    return found


def _changes_of(entity: Entity, changes: Sequence[PendingChange]) -> Sequence[PendingChange]:
    """Return the changes behind an entity: a plugin's policies, else API or application."""
    if entity.type == "plugins":
        name = entity.tree.get("name")
        policies = [
            change
            for change in changes
            if change.key.kind == POLICY and name in plugins_of(change.key.policy_type)
        ]
        if policies:
            return policies
    roots = [change for change in changes if change.key.kind != POLICY]
    return roots or changes

"""Filters changes by the write policy of a gateway: what it forbids becomes a skip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from stoa_gitops.model.changes import Action, Change, Skip, SkipReason
from stoa_gitops.model.instances import WritePolicy
from stoa_gitops.planning.inputs import GatewayPlanInput

_ALLOWED: Final[Mapping[WritePolicy, frozenset[Action]]] = {
    WritePolicy.FULL: frozenset(Action),
    WritePolicy.NO_DELETE: frozenset({Action.CREATE, Action.UPDATE, Action.ADOPT}),
    # Adopting overwrites what is there, so it is no creation.
    WritePolicy.CREATE_ONLY: frozenset({Action.CREATE}),
    WritePolicy.OBSERVE_ONLY: frozenset(),
}
_MESSAGES: Final = {
    Action.CREATE: "would be created",
    Action.UPDATE: "differs and would be updated",
    Action.DELETE: "would be deleted",
    Action.ADOPT: "would be adopted",
}


def split_by_policy(
    changes: Iterable[Change], gateway: GatewayPlanInput
) -> tuple[list[Change], list[Skip]]:
    """Split changes into those that the policy of the gateway allows, and skips for the others."""
    allowed = _ALLOWED[gateway.policy]
    kept: list[Change] = []
    skipped: list[Skip] = []
    for change in changes:
        if change.action in allowed:
            kept.append(change)
            continue
        policy = f"the policy of {gateway.name} is {gateway.policy.value}"
        message = f"{_MESSAGES[change.action]}, but {policy}"
        is_new = change.action is Action.CREATE
        meanwhile = "nothing of it is live meanwhile" if is_new else "it stays live as it is"
        skip = Skip(change.key, SkipReason.POLICY, message, change.source, meanwhile=meanwhile)
        skipped.append(skip)
    return kept, skipped

"""Brings the policy of an API to the actions that it should have.

An action does nothing until a policy has it, and is detached before it is deleted: the other order
leaves a reference to nothing, which ends the activation of its API (contract webmethods.md 0.4,
A.4). Actions are never shared between policies.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stoa_gitops.adapters.webmethods.api.answers import created_id
from stoa_gitops.adapters.webmethods.api.client import WebMethodsClient
from stoa_gitops.adapters.webmethods.entities.actions import STAGES, Action, differences
from stoa_gitops.adapters.webmethods.entities.marks import localised
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.errors import GatewayError, StoaGitopsError
from stoa_gitops.model.redaction import reveal

log = logging.getLogger(__name__)


class PolicyWriter:
    """Writes policies and policy actions of one gateway."""

    def __init__(self, client: WebMethodsClient) -> None:
        self._client = client

    async def write(
        self,
        policy: JsonTree,
        held: Sequence[Mapping[str, Any]],
        wanted: Sequence[Action],
        memory: str,
        mark: str,
        *,
        kept: Collection[str] = (),
        strays: Collection[str] = (),
    ) -> tuple[JsonTree, tuple[JsonTree, ...]]:
        """Write the difference, and return the policy and its actions as they are then.

        Raises GatewayError; actions made in vain are deleted.

        policy   as the gateway holds it now, in full
        held     its actions, each with its `stage`
        memory   description of the policy
        kept     ids of actions that another policy has too: they are detached and stay
        strays   ids of actions of ours that no policy has
        """
        left = list(held)
        placed: list[tuple[str, str]] = []
        changed: list[tuple[str, Action]] = []
        posted: list[str] = []
        try:
            for action in wanted:
                found = _match(left, action)
                if found is None or str(found.get("id")) in kept:
                    action_id = await self._create(action, mark)
                    posted.append(action_id)
                else:
                    left.remove(found)
                    action_id = str(found["id"])
                    if any(differences(action.parameters, found.get("parameters"), "")):
                        changed.append((action_id, action))
                placed.append((action.stage, action_id))
            policy = await self._place(policy, placed, memory)
        except StoaGitopsError:
            await self._drop(posted)
            raise
        for action_id, action in changed:
            # Enveloped and with its id: anything else is answered 200 and stores nothing (0.5).
            path, body = f"/policyActions/{action_id}", action.body(mark, action_id)
            await self._client.write("PUT", path, f"writing {_name_of(action)}", body, reads=False)
        gone = [str(one.get("id")) for one in left if str(one.get("id")) not in kept]
        # A list that misses the policy makes strays of actions that it has.
        used = {action_id for _, action_id in placed}
        for action_id in (*gone, *(one for one in strays if one not in used)):
            await self._client.delete("/policyActions", action_id, f"deleting action {action_id}")
        return policy, tuple(
            _as_held(action, action_id)
            for action, (_, action_id) in zip(wanted, placed, strict=True)
        )

    async def _create(self, action: Action, mark: str) -> str:
        what = f"writing {_name_of(action)}"
        found = await self._client.write("POST", "/policyActions", what, action.body(mark))
        return created_id(found, "policyAction")

    async def _place(
        self, policy: JsonTree, placed: Sequence[tuple[str, str]], memory: str
    ) -> JsonTree:
        """Put actions into a policy: a PUT replaces it whole, so that all stages are sent."""
        enforcements = enforcements_of(placed)
        wanted = {**policy, "policyEnforcements": enforcements, "descriptions": localised(memory)}
        if wanted != policy:
            path, what = f"/policies/{policy['id']}", f"writing policy {policy['id']}"
            await self._client.write("PUT", path, what, {"policy": wanted}, reads=False)
        return wanted

    async def _drop(self, actions: Sequence[str]) -> None:
        """Delete actions that no policy has, as far as the gateway lets us."""
        for action_id in actions:
            try:
                await self._client.delete("/policyActions", action_id, f"deleting {action_id}")
            except GatewayError as error:
                # The next read finds it by its mark.
                log.warning("policy action %s stays without a policy: %s", action_id, error)


def enforcements_of(placed: Sequence[tuple[str, str]]) -> list[JsonTree]:
    """Return the stages of a policy for (stage, action) pairs in the order in which they run."""
    by_stage: dict[str, list[str]] = {}
    for stage, action_id in placed:
        by_stage.setdefault(stage, []).append(action_id)
    return [
        {
            "stageKey": stage,
            "enforcements": [
                {"enforcementObjectId": action_id, "order": str(order)}
                for order, action_id in enumerate(by_stage[stage])
            ],
        }
        for stage in STAGES
        if stage in by_stage
    ]


def _match(held: Sequence[Mapping[str, Any]], action: Action) -> Mapping[str, Any] | None:
    """Return the held action that stands for one: names are no help, the server changes them."""
    return next(
        (
            one
            for one in held
            if one.get("templateKey") == action.template and one.get("stage") == action.stage
        ),
        None,
    )


def _as_held(action: Action, action_id: str) -> JsonTree:
    """Return an action as a read shows it, secrets in clear."""
    found: Any = reveal({"parameters": list(action.parameters)}, [])
    return {"id": action_id, "stage": action.stage, "templateKey": action.template, **found}


def _name_of(action: Action) -> str:
    return f"policy action {action.template} ({action.source})"

"""Writes global policies: inactive until whole, and never over APIs of somebody else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from stoa_gitops.adapter_sdk.contract import AdapterResult, ListItem, ObjectSpec
from stoa_gitops.adapter_sdk.http.responses import RequestRefused
from stoa_gitops.adapter_sdk.results import ok
from stoa_gitops.adapters.webmethods.api.answers import created_id
from stoa_gitops.adapters.webmethods.api.client import WebMethodsClient
from stoa_gitops.adapters.webmethods.entities.marks import Mark, text_of
from stoa_gitops.adapters.webmethods.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.webmethods.mapping.global_policies import (
    TENANT,
    actions_for,
    empty_policy,
    memory_of,
    policy_name,
    read_global,
    read_item,
    scope_for,
)
from stoa_gitops.adapters.webmethods.mapping.rules import refuse_unsupported
from stoa_gitops.adapters.webmethods.node.gathering import enforced, held_actions
from stoa_gitops.adapters.webmethods.node.snapshot import Snapshot
from stoa_gitops.adapters.webmethods.writing.policies import PolicyWriter
from stoa_gitops.errors import GatewayError, ObjectConflict
from stoa_gitops.model.keys import Key
from stoa_gitops.model.kinds import GLOBAL_POLICY

log = logging.getLogger(__name__)


class GlobalPolicies:
    """Global policies of one gateway. Public methods raise StoaGitopsError."""

    def __init__(
        self, client: WebMethodsClient, owner: str, known_id: Callable[[Key], str]
    ) -> None:
        self._client, self._owner, self._known_id = client, owner, known_id
        self._policies = PolicyWriter(client)

    async def list_objects(self, info: GatewayInfo) -> list[ListItem]:
        """Return the global policies that catalogs wrote; others are no document's matter."""
        listed = [one for one in await self._client.global_policies() if read_global(one)]
        ids = [action_id for policy in listed for _, action_id in enforced(policy)]
        found = await self._client.policy_actions(ids) if ids else []
        actions = {str(one.get("id")): one for one in found}
        items = (
            read_item(policy, *held_actions(policy, actions), self._owner, info)
            for policy in listed
        )
        return [item for item in items if item is not None]

    async def upsert(self, spec: ObjectSpec, snapshot: Snapshot) -> AdapterResult:
        """Write a global policy and activate it.

        It is inactive again, and ObjectConflict says why, where it clashes with a policy of an API
        or would reach an API that is not of its tenant.
        """
        refusal = refuse_unsupported(spec, snapshot.info)
        if refusal is not None:
            return refusal
        value: Any = spec.value
        policy_id = await self._write(spec.key, value, snapshot)
        await self._activate(policy_id, spec.key, value, snapshot)
        return ok(policy_id)

    async def _write(self, key: Key, value: Mapping[str, Any], snapshot: Snapshot) -> str:
        wanted = actions_for(value, snapshot.info)
        memory = memory_of(key, self._owner, value)
        mark = Mark(self._owner, key, (("kind", GLOBAL_POLICY),)).text
        held = await self._find(key)
        if held is None:
            body = empty_policy(key, self._owner, str(value[TENANT]))
            body["descriptions"] = [{"value": memory, "locale": "en"}]
            what = f"writing global policy {key.name}"
            made = await self._client.write("POST", "/policies", what, {"policy": body})
            held = {**body, **(made.get("policy") or {}), "id": created_id(made, "policy")}
        ids = [action_id for _, action_id in enforced(held)]
        found = await self._client.policy_actions(ids) if ids else []
        actions, _ = held_actions(held, {str(one.get("id")): one for one in found})
        scope = scope_for(self._owner, str(value[TENANT]))
        if held.get("scope") != scope:
            held = {**held, "scope": scope}
            path, what = f"/policies/{held['id']}", f"writing global policy {key.name}"
            await self._client.write("PUT", path, what, {"policy": held}, reads=False)
        await self._policies.write(
            held, actions, wanted, memory, mark, kept=snapshot.shared_actions
        )
        return str(held["id"])

    async def _find(self, key: Key) -> JsonTree | None:
        """Return our policy of this key, in full; raises ObjectConflict for a foreign one."""
        for policy in await self._client.global_policies():
            found = read_global(policy)
            if found is not None and found[:2] == (self._owner, key):
                return await self._client.find_policy(str(policy.get("id")))
            if text_of(policy.get("names")) == policy_name(key):
                raise ObjectConflict(
                    f"the gateway has a global policy {policy_name(key)} that this catalog did not "
                    "write: give one of them another name"
                )
        # A list may miss what was applied.
        ident = self._known_id(key)
        held = await self._client.find_policy(ident) if ident else None
        found = read_global(held) if held is not None else None
        return held if found is not None and found[:2] == (self._owner, key) else None

    async def _activate(
        self, policy_id: str, key: Key, value: Mapping[str, Any], snapshot: Snapshot
    ) -> None:
        policy = await self._client.find_policy(policy_id) or {}
        what = f"activating global policy {key.name}"
        try:
            if policy.get("active") is not True:
                await self._client.write(
                    "GET", f"/policies/{policy_id}/conflicts", what, reads=False
                )
                await self._client.write("PUT", f"/policies/{policy_id}/activate", what)
        except GatewayError as error:
            if error.reason != GatewayError.reason:
                raise
            # Conflicts are told by a 500 (contract A.4).
            raise ObjectConflict(
                f"{error}: an API or another global policy has an action that may occur once; take "
                "it from the API's own policies, or from this one"
            ) from None
        await self._check_reach(policy_id, key, str(value[TENANT]), snapshot)

    async def _check_reach(self, policy_id: str, key: Key, tenant: str, snapshot: Snapshot) -> None:
        """Deactivate a policy that reaches an API which is not of its tenant."""
        own = {group.root for group in snapshot.groups.values()
               if snapshot.is_own(group.root) and group.key.tenant == tenant}  # fmt: skip
        names = {group.root: group.name for group in snapshot.groups.values()}
        reached = await self._client.apis_of_policy(policy_id)
        others = sorted(names.get(one, one) for one in reached if one in names and one not in own)
        if others:
            await self._deactivate(policy_id, key)
            raise ObjectConflict(
                f"{key} would reach {', '.join(others[:5])}, whose description holds the mark of "
                f"the tenant {tenant}: take it out of their descriptions. The policy is inactive"
            )

    async def _deactivate(self, policy_id: str, key: Key) -> None:
        what = f"deactivating global policy {key.name}"
        try:
            await self._client.write("PUT", f"/policies/{policy_id}/deactivate", what, reads=False)
        except RequestRefused as error:
            held = await self._client.find_policy(policy_id)
            if error.status != 400 or (held is not None and held.get("active") is True):
                raise

    async def delete(self, policy_id: str) -> AdapterResult:
        """Delete a global policy of ours; absent is success.

        Deactivated first, for an active one is not deleted; emptied, for a deletion takes the
        actions along, those too that somebody put there (contract A.4); its own actions last.
        """
        listed = await self._client.global_policies()
        policy = next((one for one in listed if one.get("id") == policy_id), None)
        found = read_global(policy) if policy is not None else None
        if policy is None or found is None or found[0] != self._owner:
            return ok(policy_id)
        key = found[1]
        if policy.get("active") is True:
            await self._deactivate(policy_id, key)
        full = await self._client.find_policy(policy_id) or policy
        ids = [action_id for _, action_id in enforced(full)]
        mark = Mark(self._owner, key, (("kind", GLOBAL_POLICY),)).text
        actions = await self._client.policy_actions(ids) if ids else []
        ours = [str(one["id"]) for one in actions if text_of(one.get("descriptions")) == mark]
        what = f"emptying global policy {key.name}"
        body = {"policy": {**full, "policyEnforcements": []}}
        await self._client.write("PUT", f"/policies/{policy_id}", what, body, reads=False)
        await self._client.delete("/policies", policy_id, f"deleting global policy {key.name}")
        for action_id in ours:
            await self._client.delete("/policyActions", action_id, f"deleting action {action_id}")
        return ok(policy_id)

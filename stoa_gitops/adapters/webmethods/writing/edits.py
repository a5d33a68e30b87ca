"""What an API should be once its changes are laid over what is there; nothing is written here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.adapter_sdk.results import failure, ok
from stoa_gitops.adapters.webmethods.entities.parts import ApiParts, GatewayInfo
from stoa_gitops.adapters.webmethods.mapping.apis import compile_api
from stoa_gitops.adapters.webmethods.mapping.documents import ApiDocument, load_document
from stoa_gitops.adapters.webmethods.mapping.rules import stored_spec
from stoa_gitops.adapters.webmethods.node.snapshot import ApiGroup, Snapshot
from stoa_gitops.adapters.webmethods.writing.pending import PendingChange
from stoa_gitops.errors import ObjectConflict, StoaGitopsError
from stoa_gitops.model.keys import API, POLICY, Key

Results = dict[PendingChange, AdapterResult]


class ApiEdits:
    """Lays changes over APIs, for one catalog."""

    def __init__(self, owner: str) -> None:
        self._owner = owner

    def edit(
        self,
        key: Key,
        group: ApiGroup | None,
        changes: Sequence[PendingChange],
        info: GatewayInfo,
    ) -> tuple[ApiParts, Results]:
        """Return what an API should be, and results of the changes that make that impossible.

        Raises ObjectConflict where the API is not ours.
        """
        self._check_owner(key, group, changes)
        return self._edit(self._parts_of(key, group), changes, info)

    def _check_owner(
        self,
        key: Key,
        group: ApiGroup | None,
        changes: Sequence[PendingChange],
    ) -> None:
        if group is None or group.owner == self._owner or any(one.adopts for one in changes):
            return
        whose = f"of the catalog {group.owner}" if group.owner else "that no catalog of ours wrote"
        raise ObjectConflict(
            f"the name of {key} is taken on the gateway by an API {whose} ({group.name}, "
            f"{group.root}): adopt it, or give one of them another name"
        )

    def _parts_of(self, key: Key, group: ApiGroup | None) -> ApiParts:
        if group is None:
            return ApiParts(key, None)
        # Of a foreign API only what is adopted becomes ours.
        if group.owner != self._owner:
            return ApiParts(key, None, {}, group.root)
        return replace(group.parts, key=key)

    def _edit(
        self, before: ApiParts, changes: Sequence[PendingChange], info: GatewayInfo
    ) -> tuple[ApiParts, Results]:
        """Lay changes over an API; one that makes it impossible fails alone."""
        whole, results = before, Results()
        for change in changes:
            whole = _apply(whole, change)
        if self._fault_of(whole, info) is None:
            return whole, results
        after = before
        for change in changes:
            tried = _apply(after, change)
            fault = self._fault_of(tried, info)
            if fault is None:
                after = tried
            else:
                results[change] = failure(fault)
        return after, results

    def _fault_of(self, parts: ApiParts, info: GatewayInfo) -> StoaGitopsError | None:
        """Return why an API cannot be written; None where it can."""
        try:
            if parts.api is not None or parts.policies:
                compile_api(parts, info, self._owner)
        except StoaGitopsError as error:
            return error
        return None


def find_group(snapshot: Snapshot, key: Key, changes: Sequence[PendingChange]) -> ApiGroup | None:
    """Return the API that changes are about; None for a new one."""
    root = next((change.root for change in changes if change.root), "")
    found = snapshot.groups.get(root) if root else None
    return found or snapshot.find_own(key)


async def document_of(changes: Sequence[PendingChange]) -> ApiDocument | None:
    """Return the document of an API that changes; None where only its policies do."""
    for change in changes:
        if change.key.kind == API and change.spec is not None:
            return await asyncio.to_thread(load_document, change.spec)
    return None


def _apply(parts: ApiParts, change: PendingChange) -> ApiParts:
    if change.key.kind == API:
        if change.spec is None:
            return replace(parts, api=None)
        return replace(parts, api=stored_spec(API, change.spec.value))
    policies = dict(parts.policies)
    if change.spec is None:
        policies.pop(change.key.policy_type, None)
    else:
        spec = stored_spec(POLICY, change.spec.value)
        policies[str(spec["type"])] = spec["config"]
    return replace(parts, policies=policies)


def done(change: PendingChange, root: str, warnings: tuple[str, ...]) -> AdapterResult:
    """Return the result of a change that was written."""
    if change.spec is None:
        return ok(change.gateway_id)
    is_policy = change.key.kind == POLICY
    name = f"{root}/{change.key.policy_type}" if is_policy else root
    return ok(name, warnings=() if is_policy else warnings)

"""APIs as parts of an archive: what each should be, its assets, and what an import leaves open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stoa_gitops.adapters.webmethods.api.client import WebMethodsClient
from stoa_gitops.adapters.webmethods.entities.archive import ALIAS, Asset
from stoa_gitops.adapters.webmethods.entities.held import HeldApi
from stoa_gitops.adapters.webmethods.entities.parts import ApiParts, Consumers, JsonTree
from stoa_gitops.adapters.webmethods.mapping.apis import (
    CompiledApi,
    compile_api,
    context_of,
)
from stoa_gitops.adapters.webmethods.mapping.archive_assets import (
    api_assets,
    derived_id,
    has_definition,
    place_actions,
)
from stoa_gitops.adapters.webmethods.mapping.archive_definition import kept_definition
from stoa_gitops.adapters.webmethods.mapping.definitions import content_print
from stoa_gitops.adapters.webmethods.node.gathering import policy_id_of
from stoa_gitops.adapters.webmethods.node.snapshot import Snapshot
from stoa_gitops.adapters.webmethods.writing.apis import ApiWriter
from stoa_gitops.adapters.webmethods.writing.edits import Results, document_of, find_group
from stoa_gitops.adapters.webmethods.writing.pending import PendingChange
from stoa_gitops.adapters.webmethods.writing.policies import enforcements_of
from stoa_gitops.model.keys import Key


@dataclass
class PreparedApi:
    """One API as it should be, before it is written.

    api_id    GUID that it has, or gets
    results   changes that cannot be written
    gone      actions that no policy has once it is written
    """

    key: Key
    api_id: str
    parts: ApiParts
    held: HeldApi
    results: Results
    compiled: CompiledApi | None = None
    gone: tuple[str, ...] = ()

    @property
    def is_deletion(self) -> bool:
        """Whether nothing of it is left."""
        return self.parts.api is None and not self.parts.policies


class ArchivedApis:
    """Makes the assets of APIs, with what an `ApiWriter` knows of the gateway."""

    def __init__(self, client: WebMethodsClient, apis: ApiWriter, owner: str) -> None:
        self._client, self._apis, self._owner = client, apis, owner

    def prepare(
        self, key: Key, changes: Sequence[PendingChange], snapshot: Snapshot
    ) -> PreparedApi:
        """Return what an API should be with its changes.

        Raises StoaGitopsError where the API is not ours to write.
        """
        group = find_group(snapshot, key, changes)
        parts, results = self._apis.edits.edit(key, group, changes, snapshot.info)
        held = group.held if group is not None else HeldApi({})
        return PreparedApi(key, held.api_id or key.identifier(self._owner), parts, held, results)

    async def compile(
        self,
        prepared: PreparedApi,
        changes: Sequence[PendingChange],
        consumers: Consumers,
        exported: Mapping[str, JsonTree],
        snapshot: Snapshot,
    ) -> list[Asset]:
        """Return the assets of an API. Raises StoaGitopsError where it cannot be written."""
        held = prepared.held
        document = await document_of(changes)
        context = context_of(held, consumers, document)
        compiled = compile_api(prepared.parts, snapshot.info, self._owner, context)
        if not has_definition(compiled, held):
            definition, name = compiled.body["apiDefinition"], str(compiled.body["apiName"])
            kept = kept_definition(definition, name)
            compiled = compiled.stored_as(await asyncio.to_thread(content_print, kept))
        prepared.compiled = compiled
        aliases = self._apis.aliases
        aliases.begin(snapshot)
        aliases.check(compiled, held.api_id)
        if not held.record:
            self._apis.records.check_name(compiled, snapshot)
        shared = snapshot.shared_actions
        actions, prepared.gone = place_actions(compiled, held, shared, self._owner)
        placed = [(action.stage, action_id) for action_id, action in actions]
        policy_id = policy_id_of(held.record) or derived_id(prepared.api_id, "policy")
        return api_assets(
            compiled,
            held,
            exported,
            self._owner,
            policy_id=policy_id,
            enforcements=enforcements_of(placed),
            actions=actions,
        )

    async def complete(self, prepared: PreparedApi, assets: Sequence[Asset]) -> tuple[str, ...]:
        """Write what an import did not bring along of an API; returns warnings.

        An import says that it went well also where the API is not served. Raises StoaGitopsError.
        """
        compiled, held, api_id = prepared.compiled, prepared.held, prepared.api_id
        assert compiled is not None
        aliases = self._apis.aliases
        for asset in assets:
            if asset.kind == ALIAS:
                aliases.imported(asset.content)
        found = await self._client.find_api(api_id)
        if found is not None and found.get("isActive") is not compiled.active:
            await self._client.switch(api_id, is_on=compiled.active)
        await aliases.write(compiled.key, compiled.aliases)
        await aliases.write_paths(api_id, compiled.url_aliases)
        await aliases.delete_paths(api_id, held.url_aliases, compiled.url_aliases)
        for action_id in prepared.gone:
            await self._client.delete("/policyActions", action_id, f"deleting action {action_id}")
        left = await aliases.delete(held.aliases, compiled.aliases)
        return (*compiled.losses, *left)

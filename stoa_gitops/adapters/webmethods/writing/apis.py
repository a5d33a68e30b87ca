"""Writes one API with the policies that change: record, aliases, policy, and activation last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from stoa_gitops.adapter_sdk.results import failure, internal_error
from stoa_gitops.adapters.webmethods.api.client import (
    WebMethodsClient,
)
from stoa_gitops.adapters.webmethods.entities.actions import differences
from stoa_gitops.adapters.webmethods.entities.held import HeldApi
from stoa_gitops.adapters.webmethods.entities.marks import (
    Mark,
    text_of,
)
from stoa_gitops.adapters.webmethods.entities.names import alias_of_path
from stoa_gitops.adapters.webmethods.entities.parts import (
    ApiParts,
    Consumers,
)
from stoa_gitops.adapters.webmethods.mapping.apis import (
    ApiContext,
    CompiledApi,
    compile_api,
    context_of,
)
from stoa_gitops.adapters.webmethods.mapping.rules import refuse_unsupported
from stoa_gitops.adapters.webmethods.node.gathering import policy_id_of
from stoa_gitops.adapters.webmethods.node.session import Session
from stoa_gitops.adapters.webmethods.node.snapshot import ApiGroup, Snapshot, link_of
from stoa_gitops.adapters.webmethods.writing.aliases import AliasWriter
from stoa_gitops.adapters.webmethods.writing.edits import (
    ApiEdits,
    Results,
    document_of,
    done,
    find_group,
)
from stoa_gitops.adapters.webmethods.writing.gates import NameGate
from stoa_gitops.adapters.webmethods.writing.pending import PendingChange
from stoa_gitops.adapters.webmethods.writing.policies import PolicyWriter
from stoa_gitops.adapters.webmethods.writing.records import RecordWriter
from stoa_gitops.errors import GatewayError, ObjectConflict, StoaGitopsError
from stoa_gitops.model.keys import Key


class ApiWriter:
    """Writes APIs of one gateway, each alone."""

    def __init__(self, client: WebMethodsClient, session: Session, owner: str) -> None:
        self._client, self._session, self._owner = client, session, owner
        self.records = RecordWriter(client, session, owner)
        self._policies = PolicyWriter(client)
        self.edits = ApiEdits(owner)
        self.aliases = AliasWriter(client, session.written, owner)
        self._gate = NameGate()

    async def write(self, changes: Sequence[PendingChange], snapshot: Snapshot) -> Results:
        """Write the changes of one API and return a result for each. Raises nothing.

        `snapshot` is of before the changes; what others wrote of other APIs since does not count.
        """
        results: Results = {}
        try:
            info = snapshot.info
            left = []
            for change in changes:
                refusal = refuse_unsupported(change.spec, info) if change.spec else None
                if refusal is None:
                    left.append(change)
                else:
                    results[change] = refusal
            if left:
                written = self._session.written
                async with self._gate.name(str(left[0].group)):
                    with written.doubted_unless_done():
                        results |= await self._write(left[0].group, left, snapshot)
        except StoaGitopsError as error:
            results |= {change: failure(error) for change in changes if change not in results}
        except Exception as error:  # noqa: BLE001  # one API must not end the others
            fault = internal_error(error)
            results |= {change: fault for change in changes if change not in results}
        return results

    def claim(self, paths: Iterable[str]) -> None:
        """Let paths be taken over by the APIs that want them, in whatever order they come."""
        self.aliases.claimed = frozenset(map(alias_of_path, paths))

    async def rewrite(self, key: Key, consumers: Consumers, snapshot: Snapshot) -> None:
        """Write the limits of an API's plans for other subscribers. Raises StoaGitopsError."""
        async with self._gate.name(str(key)):
            group = snapshot.find_own(key)
            if group is None or group.link is None:
                return
            written = self._session.written
            # Another application may have come to the API since the snapshot.
            group = written.group_of(group.root) or group
            held = group.held
            context = context_of(held, consumers)
            compiled = compile_api(group.parts, snapshot.info, self._owner, context)
            with written.doubted_unless_done():
                held = await self._write_policy(compiled, held, snapshot)
            written.wrote_api(replace(group, consumers=consumers, held=held))

    # one API

    async def _write(
        self, key: Key, changes: Sequence[PendingChange], snapshot: Snapshot
    ) -> Results:
        group = find_group(snapshot, key, changes)
        after, results = self.edits.edit(key, group, changes, snapshot.info)
        consumers = group.consumers if group is not None else {}
        left = [change for change in changes if change not in results]
        if not left:
            return results
        warnings: tuple[str, ...] = ()
        if after.api is None and not after.policies:
            root = group.root if group is not None else left[0].root
            if group is not None:
                warnings = await self._delete(group, snapshot)
        else:
            held = group.held if group is not None else HeldApi({})
            document = await document_of(left)
            context = context_of(held, consumers, document)
            root, warnings = await self._put_compiled(after, held, snapshot, context)
        return results | {change: done(change, root, warnings) for change in left}

    # writing

    async def _put_compiled(
        self, parts: ApiParts, held: HeldApi, snapshot: Snapshot, context: ApiContext
    ) -> tuple[str, tuple[str, ...]]:
        """Write an API; what breaks the gateway's parser is left out at a second try."""
        compiled = compile_api(parts, snapshot.info, self._owner, context)
        try:
            held, warnings = await self._put(compiled, held, snapshot)
        except GatewayError as error:
            document = context.document
            is_fault = error.reason == GatewayError.reason
            if not is_fault or document is None or not document.has_response_references:
                raise
            # References in bodies of responses can end its parser with a 500 (contract A.12).
            context = replace(context, document=document.without_response_schemas())
            compiled = compile_api(parts, snapshot.info, self._owner, context)
            held, warnings = await self._put(compiled, held, snapshot)
        self._session.written.wrote_api(self._group_of(parts, compiled, held, context.consumers))
        return held.api_id, (*compiled.losses, *warnings)

    def _group_of(
        self, parts: ApiParts, compiled: CompiledApi, held: HeldApi, consumers: Consumers
    ) -> ApiGroup:
        """Return an API as it was written, for the rest of the apply.

        Without its definition, which the gateway alone can tell: whoever writes the API again
        before it is read takes that for another one.
        """
        body = {name: one for name, one in compiled.body.items() if name != "apiDefinition"}
        record = {**held.record, **body, "isActive": compiled.active}
        paths = ({"alias": alias, "urlPath": path, "apiId": held.api_id}
                 for alias, path in compiled.url_aliases.items())  # fmt: skip
        held = replace(
            held,
            record=record,
            aliases=compiled.aliases,
            url_aliases=tuple(paths),
            definition=None,
        )
        parts = replace(parts, api_id=held.api_id)
        link = link_of(parts, held.api_id)
        return ApiGroup(held.api_id, parts.key, self._owner, held, parts, consumers, link=link)

    async def _put(
        self, compiled: CompiledApi, held: HeldApi, snapshot: Snapshot
    ) -> tuple[HeldApi, tuple[str, ...]]:
        self.aliases.begin(snapshot)
        self.aliases.check(compiled, held.api_id)
        if not held.record:
            held = await self.records.create(compiled, held, snapshot)
            compiled = compiled.stored_as(self._session.content_of(held.api_id))
            try:
                return await self._complete(compiled, held, snapshot)
            except StoaGitopsError:
                await self.records.take_back(held, compiled)
                raise
        is_active, is_updated = await self.records.update(compiled, held)
        if is_updated:
            compiled = compiled.stored_as(self._session.content_of(held.api_id))
        held = replace(held, record={**held.record, "isActive": is_active})
        return await self._complete(compiled, held, snapshot)

    async def _complete(
        self, compiled: CompiledApi, held: HeldApi, snapshot: Snapshot
    ) -> tuple[HeldApi, tuple[str, ...]]:
        """Write everything but the record of an API, and activate it at the end."""
        api_id = held.api_id
        self._session.written.api(api_id, compiled.memory, is_active=compiled.active)
        await self.aliases.write(compiled.key, compiled.aliases)
        if not _has_policy(compiled, held):
            held = await self._write_policy(compiled, held, snapshot)
        if compiled.active and not held.is_active:
            await self._client.switch(api_id, is_on=True)
        await self.aliases.write_paths(api_id, compiled.url_aliases)
        await self.aliases.delete_paths(api_id, held.url_aliases, compiled.url_aliases)
        return held, tuple(await self.aliases.delete(held.aliases, compiled.aliases))

    async def _write_policy(
        self, compiled: CompiledApi, held: HeldApi, snapshot: Snapshot
    ) -> HeldApi:
        """Write the policy of an API; returns the API with the policy as it is then."""
        policy, actions = held.policy, held.actions
        if policy is None or not held.is_whole:
            # A list leaves fields out that a PUT would lose.
            policy, actions = await self.records.read_policy(policy_id_of(held.record))
        mark = Mark(self._owner, compiled.key).text
        policy, actions = await self._policies.write(
            policy,
            actions,
            compiled.actions,
            compiled.memory,
            mark,
            kept=snapshot.shared_actions,
            strays=held.strays,
        )
        return replace(held, policy=policy, actions=actions, dangling=(), strays=(), is_whole=True)

    # deleting

    async def _delete(self, group: ApiGroup, snapshot: Snapshot) -> tuple[str, ...]:
        """Delete an API: its paths, itself with its policy, and then what it brought along."""
        held = group.held
        self.aliases.begin(snapshot)
        if held.record:
            self._check_links(group, snapshot)
            if held.is_active:
                await self._client.switch(held.api_id, is_on=False)
            await self.aliases.delete_paths(held.api_id, held.url_aliases, ())
            what = f"deleting API {held.name}"
            await self._client.delete("/apis", held.api_id, what, "?forceDelete=true")
            self._session.written.no_api(held.api_id)
        for action_id in held.strays:
            await self._client.delete("/policyActions", action_id, f"deleting action {action_id}")
        return tuple(await self.aliases.delete(held.aliases, ()))

    def _check_links(self, group: ApiGroup, snapshot: Snapshot) -> None:
        """Raise ObjectConflict where an application that is not ours may call an API."""
        for tree, key, is_ours in snapshot.marked_applications:
            if not is_ours and group.root in (tree.get("consumingAPIs") or ()):
                raise ObjectConflict(
                    f"the application {tree.get('name')} ({key.short}), which is not of this "
                    f"catalog, may call {group.name}: take the API from it on the gateway first"
                )


def _has_policy(compiled: CompiledApi, held: HeldApi) -> bool:
    """Whether the policy of an API has its actions, and no others."""
    places = [(one.get("stage"), one.get("templateKey")) for one in held.actions]
    return (
        text_of((held.policy or {}).get("descriptions")) == compiled.memory
        and not held.dangling
        and not held.strays
        and places == [(action.stage, action.template) for action in compiled.actions]
        and not any(
            any(differences(action.parameters, one.get("parameters"), ""))
            for action, one in zip(compiled.actions, held.actions, strict=True)
        )
    )

"""Writes the record of an API: import, update, activation, and taking an import back.

An import does not activate (contract webmethods.md 0.3); an active API may refuse its update, and
a failed one may leave it inactive (0.2, A.3): whatever happens, it is served again as before.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from stoa_gitops.adapter_sdk.http.responses import RequestRefused
from stoa_gitops.adapters.webmethods.api.answers import (
    UNLISTED,
    HalfWritten,
    created_id,
)
from stoa_gitops.adapters.webmethods.api.client import WebMethodsClient
from stoa_gitops.adapters.webmethods.entities.actions import ROUTING, TRANSPORT
from stoa_gitops.adapters.webmethods.entities.held import HeldApi
from stoa_gitops.adapters.webmethods.entities.marks import read_mark, without_mark
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.adapters.webmethods.mapping.apis import PROTOCOL, CompiledApi
from stoa_gitops.adapters.webmethods.mapping.backends import ROUTE
from stoa_gitops.adapters.webmethods.mapping.soap import RECORD_TYPE
from stoa_gitops.adapters.webmethods.node.gathering import enforced, held_actions, policy_id_of
from stoa_gitops.adapters.webmethods.node.session import Session
from stoa_gitops.adapters.webmethods.node.snapshot import ApiGroup, Snapshot
from stoa_gitops.errors import GatewayError, ObjectConflict, StoaGitopsError

log = logging.getLogger(__name__)

_IMPORTED: Final = {TRANSPORT: PROTOCOL, ROUTING: ROUTE}
"""Stage -> template of the actions that an import makes (contract A.3)."""


class RecordWriter:
    """Writes records of APIs of one gateway."""

    def __init__(self, client: WebMethodsClient, session: Session, owner: str) -> None:
        self._client, self._session, self._owner = client, session, owner

    def check_name(self, compiled: CompiledApi, snapshot: Snapshot) -> None:
        """Raise ObjectConflict where the name of a new API is taken."""
        name = str(compiled.body["apiName"])
        other = snapshot.by_name.get(name)
        if other is not None:
            raise ObjectConflict(_taken(name, other))

    async def create(self, compiled: CompiledApi, left: HeldApi, snapshot: Snapshot) -> HeldApi:
        """Import an API; its default policy comes with it. Raises ObjectConflict for its name."""
        self.check_name(compiled, snapshot)
        name = str(compiled.body["apiName"])
        what = f"importing API {name}"
        try:
            found = await self._send("POST", "/apis", what, compiled)
        except RequestRefused as error:
            raise await self._explained(error, name) from None
        api_id = created_id(found, "apiResponse", "api")
        record: JsonTree = {**found["apiResponse"]["api"], "apiName": name}
        await self._session.keep_definition(record)
        try:
            policy_id = policy_id_of(record)
            if not policy_id:
                record = await self._client.find_api(api_id) or record
                policy_id = policy_id_of(record)
            policy, actions = await self._read_new_policy(policy_id)
        except StoaGitopsError:
            await self.take_back(HeldApi(record), compiled)
            raise
        return replace(left, record=record, policy=policy, actions=actions, is_whole=True)

    async def _explained(self, error: RequestRefused, name: str) -> StoaGitopsError:
        """Return the error of a refused import; a name that is taken is told with its owner."""
        if error.status not in (400, 409) or "exist" not in str(error).lower():
            return error
        snapshot = await self._session.read_snapshot()
        other = snapshot.by_name.get(name)
        if other is None:
            return HalfWritten(f"{error}: {UNLISTED}")
        if other.owner == self._owner:
            # A request that was lost on its way back; the next cycle goes on from there.
            return HalfWritten(f"{error}: it was made meanwhile, and is gone on with later")
        return ObjectConflict(_taken(name, other))

    async def _read_new_policy(self, policy_id: str) -> tuple[JsonTree, tuple[JsonTree, ...]]:
        """Return the policy of an import, and its two actions as far as they are known (A.3)."""
        policy = await self._client.find_policy(policy_id) if policy_id else None
        placed = list(enforced(policy)) if policy is not None else []
        if policy is None or sorted(stage for stage, _ in placed) != sorted(_IMPORTED):
            return await self.read_policy(policy_id)
        actions = (
            {"id": action_id, "stage": stage, "templateKey": _IMPORTED[stage]}
            for stage, action_id in placed
        )
        return policy, tuple(actions)

    async def read_policy(self, policy_id: str) -> tuple[JsonTree, tuple[JsonTree, ...]]:
        """Return a policy in full, and its actions; raises HalfWritten where there is none."""
        policy = await self._client.find_policy(policy_id) if policy_id else None
        if policy is None:
            raise HalfWritten(
                "the policy of the API is gone from the gateway's store, and no call makes another "
                "one: `apply --via archive` imports it again, under its id"
            )
        ids = [action_id for _, action_id in enforced(policy)]
        found = await self._client.policy_actions(ids) if ids else []
        actions, _ = held_actions(policy, {str(one.get("id")): one for one in found})
        return policy, actions

    async def update(self, compiled: CompiledApi, held: HeldApi) -> tuple[bool, bool]:
        """Bring the record of an API to what it should be.

        Returns whether it is active then, and whether its definition was imported again.
        """
        api_id, is_active = held.api_id, held.is_active
        if is_active and not compiled.active:
            await self._client.switch(api_id, is_on=False)
            is_active = False
        if not compiled.has_document or _is_current(compiled, held):
            # Without its document only policies change: the API itself is another change's matter.
            return is_active, False
        if bool(compiled.upload) != (held.record.get("type") == RECORD_TYPE):
            raise ObjectConflict(
                f"the API {held.name} is {held.record.get('type')} on the gateway, and none becomes"
                " SOAP or REST later: give it another name in the catalog"
            )
        self._session.forget_definition(api_id)
        path, what = f"/apis/{api_id}", f"writing API {held.name}"
        try:
            try:
                found = await self._send("PUT", path, what, compiled)
            except RequestRefused as error:
                if error.status != 400 or not is_active:
                    raise
                # 10.15 does not update what is served (contract 0.2).
                await self._client.switch(api_id, is_on=False)
                found = await self._send("PUT", path, what, compiled)
            stored = (found.get("apiResponse") or {}).get("api")
            await self._session.keep_definition({**(stored or {}), "id": api_id})
        finally:
            if is_active:
                is_active = await self._serve_again(api_id)
        return is_active, True

    async def _send(self, method: str, path: str, what: str, compiled: CompiledApi) -> JsonTree:
        """Send what is imported: a definition as JSON, a WSDL as it is."""
        if not compiled.upload:
            return await self._client.write(method, path, what, compiled.body)
        fields = {name: str(value) for name, value in compiled.body.items()}
        return await self._client.files.import_file(method, path, what, fields, compiled.upload)

    async def _serve_again(self, api_id: str) -> bool:
        """Activate an API that was active and is not any more, whatever the update did to it.

        Returns whether it is active now; an activation that a fault ended is tried once more.
        """
        for is_last in (False, True):
            try:
                found = await self._client.find_api(api_id)
                if found is not None and found.get("isActive") is not True:
                    await self._client.switch(api_id, is_on=True)
                return True
            except GatewayError as error:
                if is_last:
                    message = "API %s may be inactive after a write that failed: %s"
                    log.warning(message, api_id, error)
        return False

    async def take_back(self, held: HeldApi, compiled: CompiledApi) -> None:
        """Delete what this run made of an API that it could not finish."""
        try:
            if held.is_active:
                await self._client.switch(held.api_id, is_on=False)
            await self._client.delete("/apis", held.api_id, f"taking back {held.name}")
            self._session.written.no_api(held.api_id)
        except GatewayError as error:
            # Its mark tells the next cycle whose it is, which finishes it.
            log.warning("API %s is left half made: %s", compiled.key.short, error)


def _taken(name: str, other: ApiGroup) -> str:
    whose = f"of the catalog {other.owner}" if other.owner else "that no catalog of ours wrote"
    return (
        f"the name {name} is taken on the gateway by an API {whose} ({other.key.short}, "
        f"{other.root}): adopt it, or give one of them another name"
    )


def _is_current(compiled: CompiledApi, held: HeldApi) -> bool:
    record, body = held.record, compiled.body
    mark, wanted = (read_mark(one["apiDescription"]) if "apiDescription" in one else None
                    for one in (record, body))  # fmt: skip
    return bool(
        mark == wanted
        and without_mark(record.get("apiDescription")) == without_mark(body["apiDescription"])
        and record.get("apiVersion") == body["apiVersion"]
        and ("maturityState" not in body or record.get("maturityState") == body["maturityState"])
        and held.definition is not None
        and held.definition.printed == compiled.printed
        and held.definition.is_as_stored(compiled.content)
        and (compiled.upload or held.definition.title == body["apiDefinition"]["info"]["title"])
    )

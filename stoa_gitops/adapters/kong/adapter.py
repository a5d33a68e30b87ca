"""The adapter contract over Kong's Admin API.

Without a database a plan is one document; with one, each change is a few calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import BinaryIO, Final

from stoa_gitops.adapter_sdk.apply_each import ResourceAdapter
from stoa_gitops.adapter_sdk.blocking import FailedDependencies, failed_outcome, outcome_of
from stoa_gitops.adapter_sdk.capabilities import Capabilities, Granularity, Rules
from stoa_gitops.adapter_sdk.contract import (
    AdapterResult,
    GatewayAdapter,
    ListItem,
    ObjectSpec,
    Write,
    WriteLimits,
)
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapter_sdk.results import ok, returns_result
from stoa_gitops.adapters.kong.api.client import LIMITS, KongClient
from stoa_gitops.adapters.kong.api.options import options_of
from stoa_gitops.adapters.kong.declarative.adoption_report import list_unmapped
from stoa_gitops.adapters.kong.entities.entity import NodeInfo
from stoa_gitops.adapters.kong.mapping.rules import (
    RULES,
    capabilities_of,
    path_notes,
    refuse_unsupported,
    rules_of,
)
from stoa_gitops.adapters.kong.node.edit import PendingChange
from stoa_gitops.adapters.kong.node.session import NodeSession
from stoa_gitops.adapters.kong.node.snapshot import EntityGroup, NodeSnapshot
from stoa_gitops.adapters.kong.writing.database import DatabaseWriter
from stoa_gitops.adapters.kong.writing.dbless import DocumentWriter
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.resources import ForeignRoute
from stoa_gitops.model.unmapped import Unmapped

log = logging.getLogger(__name__)

_NOT_REACHED: Final = "not tried: a change before it did not finish"


def build(connection: Connection) -> GatewayAdapter:
    """Return the adapter of one connection.

    Raises GatewayRefused for options that exclude each other.
    """
    http = AdminClient(connection, limits=LIMITS)
    return KongAdapter(connection, KongClient(http))


class KongAdapter(ResourceAdapter):
    """One Kong node.

    Version, plugins and database mode are asked of the node. What it holds is read when its
    configuration hash changed, or each time where it has a database.
    """

    title = "Kong"

    def __init__(self, connection: Connection, client: KongClient) -> None:
        self._client = client
        self._ruled_node: NodeInfo | None = None
        self._rules = RULES
        self._session = NodeSession(
            client, connection.owner, options_of(connection.instance.options)
        )
        self._database = DatabaseWriter(client, self._session)

    # life cycle

    @returns_result
    async def health_check(self) -> AdapterResult:
        """Request /status, and / where the node is unknown or was restarted."""
        node = await self._session.start_observation()
        return ok(data={"version": node.text})

    async def connect(self) -> None:
        """Nothing to do: connections open with the first call."""

    async def disconnect(self) -> None:
        """Close the connections."""
        self._session.invalidate()
        await self._client.aclose()

    @property
    def granularity(self) -> Granularity:  # type: ignore[override]  # the node decides it
        """DOCUMENT without a database, and until the node has been asked which it has."""
        node = self._session.node
        is_document = node is None or not node.has_database
        return Granularity.DOCUMENT if is_document else Granularity.RESOURCE

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override]  # the node decides them
        """How paths are matched, which decides what an API gets; why nothing is written."""
        node = self._session.node
        gaps = tuple(f"no writes: {gap}" for gap in self._session.gaps)
        return () if node is None else (*path_notes(node), *gaps)

    def capabilities(self) -> Capabilities | None:
        """Capabilities of the running node; None before it was asked."""
        node = self._session.node
        return None if node is None else capabilities_of(node)

    def rules(self) -> Rules | None:
        """How specs are projected, which losses they have, and how routes are chosen among.

        The same value for the same node.
        """
        node = self._session.node
        if node is not None and node != self._ruled_node:
            self._ruled_node, self._rules = node, rules_of(node)
        return self._rules

    # reading

    async def list_apis(self) -> list[ListItem]:
        """Read all services as APIs."""
        return await self._session.list_objects(API)

    async def list_policies(self) -> list[ListItem]:
        """Read the plugins of all services as policies."""
        return await self._session.list_objects(POLICY)

    async def list_applications(self) -> list[ListItem]:
        """Read all consumers as applications."""
        return await self._session.list_objects(APPLICATION)

    async def list_unmapped(self) -> tuple[Unmapped, ...]:
        """Return what foreign entities hold that no document of the catalog can express."""
        return await asyncio.to_thread(list_unmapped, await self._session.current_snapshot())

    async def list_routes(self) -> tuple[ForeignRoute, ...]:
        """Return the foreign routes, those too that no API of the catalog expresses."""
        return (await self._session.current_snapshot()).foreign_routes

    # writing, one at a time

    async def sync_api(self, api_spec: ObjectSpec, tenant_id: str) -> AdapterResult:
        """Write an API's service and routes."""
        return await self._upsert(api_spec)

    async def delete_api(self, api_id: str) -> AdapterResult:
        """Remove an API's service and routes, and our plugins on them."""
        return await self._delete(API, api_id)

    async def upsert_policy(self, policy_spec: ObjectSpec) -> AdapterResult:
        """Write a policy as plugins of its API's service."""
        return await self._upsert(policy_spec)

    async def delete_policy(self, policy_id: str) -> AdapterResult:
        """Remove a policy by `<id of the service>/<type>`."""
        return await self._delete(POLICY, policy_id)

    async def provision_application(self, app_spec: ObjectSpec) -> AdapterResult:
        """Write a consumer with its credentials, groups and limits."""
        return await self._upsert(app_spec)

    async def deprovision_application(self, app_id: str) -> AdapterResult:
        """Remove a consumer."""
        return await self._delete(APPLICATION, app_id)

    @returns_result
    async def _upsert(self, spec: ObjectSpec) -> AdapterResult:
        node = await self._session.node_info()
        refusal = refuse_unsupported(spec, node)
        if refusal is not None:
            return refusal
        # An object of others under this id is taken over: the caller decided to write it.
        is_foreign = (await self._session.current_snapshot()).has_foreign(
            spec.key, spec.gateway_id or ""
        )
        return await self._write_one(
            PendingChange(spec.key, spec, spec.gateway_id or "", adopts=is_foreign)
        )

    @returns_result
    async def _delete(self, kind: str, gateway_id: str) -> AdapterResult:
        key = _key_of(await self._session.current_snapshot(), kind, gateway_id)
        # Gone already, or foreign: in neither case is there something of ours to delete.
        if key is None:
            return ok(gateway_id)
        result = await self._write_one(PendingChange(key, None, gateway_id))
        return ok(gateway_id) if result.success else result

    async def _write_one(self, pending: PendingChange) -> AdapterResult:
        if (await self._session.node_info()).has_database:
            return await self._database.write(pending)
        return (await self._documents().write([pending]))[pending]

    @returns_result
    async def export_archive(self, target: BinaryIO | None = None) -> AdapterResult:
        """Return the configuration with its secrets: Kong's YAML, or lists with a database."""
        node = await self._session.node_info()
        if node.has_database:
            return ok(data={"entities": await self._session.export_entities()})
        return ok(data={"config": await self._client.config()})

    # writing, a whole plan

    def note_keys(self, keys: Collection[Key]) -> None:
        """Take note of the objects: a consumer that was renamed is known by its id alone."""
        self._session.known_keys = keys

    def note_plan(self, changes: Sequence[Change]) -> None:
        """Take note of the policies that go: with a database others may have to wait for them."""
        self._database.note_deletions(
            PendingChange(
                change.key,
                None,
                change.observed.gateway_id if change.observed else "",
                tuple(change.depends_on),
            )
            for change in changes
            if change.action is Action.DELETE and change.key.kind == POLICY
        )

    def apply(self, writes: Sequence[Write], limits: WriteLimits) -> AsyncIterator[Outcome]:
        """Write one document for all changes, or change by change where the node has a database."""
        if self.granularity is Granularity.RESOURCE:
            return self._apply_singly(writes, limits)
        return self._apply(writes)

    async def _apply_singly(
        self, writes: Sequence[Write], limits: WriteLimits
    ) -> AsyncIterator[Outcome]:
        self._database.note_writes([_pending_change(write) for write in writes])
        await self._database.settle(
            [one.change.key for one in writes if one.change.key.kind == API and one.spec]
        )
        async for outcome in super().apply(writes, limits):
            yield outcome

    # One bad change refuses the whole document (Kong loads all or nothing), so what this node
    # cannot
    # take is left out before the document is made.
    async def _apply(self, writes: Sequence[Write]) -> AsyncIterator[Outcome]:
        pending = {id(write): _pending_change(write) for write in writes}
        refusals, attempted = _split(writes, await self._session.node_info())
        writer = self._documents()
        results = await writer.write([pending[id(write)] for write in attempted])
        if writer.posts > 1:
            log.info("the document was posted %d times", writer.posts)
        failed_dependencies = FailedDependencies()
        for write in writes:
            result = refusals.get(id(write)) or results.get(pending[id(write)])
            outcome = None
            if result is None or not result.success:
                outcome = failed_dependencies.blocked_outcome(write.change)
            if outcome is None and result is not None:
                outcome = outcome_of(write.change, result)
            if outcome is None:
                outcome = failed_outcome(write.change, "InternalError", _NOT_REACHED)
            failed_dependencies.add_outcome(outcome)
            yield outcome

    def _documents(self) -> DocumentWriter:
        return DocumentWriter(
            self._client, self._session.read_to_write, self._session.store_snapshot
        )


def _split(
    writes: Sequence[Write], node: NodeInfo
) -> tuple[Mapping[int, AdapterResult], list[Write]]:
    """Return refusals by identity of their writes, and the writes that wait for none of them."""
    refusals: dict[int, AdapterResult] = {}
    attempted: list[Write] = []
    blocked: set[Key] = set()
    for write in writes:
        refusal = refuse_unsupported(write.spec, node) if write.spec is not None else None
        if refusal is not None:
            refusals[id(write)] = refusal
        if refusal is not None or not blocked.isdisjoint(write.change.depends_on):
            blocked.add(write.change.key)
        else:
            attempted.append(write)
    return refusals, attempted


def _pending_change(write: Write) -> PendingChange:
    change = write.change
    gateway_id = change.observed.gateway_id if change.observed else ""
    needs = tuple(change.depends_on)
    adopts = change.action is Action.ADOPT
    return PendingChange(change.key, write.spec, gateway_id, needs, adopts)


def _key_of(snapshot: NodeSnapshot, kind: str, gateway_id: str) -> Key | None:
    """Return the key of our object with this id in `list_*`; None where it is gone or foreign."""
    root, _, policy_type = gateway_id.partition("/")
    group: EntityGroup | None = snapshot.find_group(
        root, APPLICATION if kind == APPLICATION else API
    )
    if group is None:
        return None
    return group.key.policy(policy_type) if kind == POLICY else group.key

"""The contract over Kong's Admin API: by whole documents without a database, entity by entity with one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Final

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
from stoa_gitops.adapters.kong.declarative.adoption_report import remnants_of
from stoa_gitops.adapters.kong.mapping import support as judging
from stoa_gitops.adapters.kong.mapping.rules import capabilities_of
from stoa_gitops.adapters.kong.node.edit import PendingChange
from stoa_gitops.adapters.kong.node.session import Nodes
from stoa_gitops.adapters.kong.node.snapshot import EntityGroup, NodeSnapshot
from stoa_gitops.adapters.kong.writing.database import DatabaseWriter
from stoa_gitops.adapters.kong.writing.document import DocumentWriter
from stoa_gitops.model.changes import Action
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.unmapped import Unmapped

log = logging.getLogger(__name__)

_UNTOLD: Final = "not tried: what comes before it did not end"


def build(connection: Connection) -> GatewayAdapter:
    """Return the adapter of one connection; raises GatewayRefused for options that make no sense."""
    http = AdminClient(connection, limits=LIMITS)
    return KongAdapter(connection, KongClient(http))


class KongAdapter(ResourceAdapter):
    """One Kong. What it is, it is asked; what is on it is read when its hash moved, or each time with a database."""

    title = "Kong"

    def __init__(self, connection: Connection, client: KongClient) -> None:
        self._client = client
        self._nodes = Nodes(client, connection.owner, options_of(connection.instance.options))
        self._database = DatabaseWriter(client, self._nodes)

    # life cycle

    @returns_result
    async def health_check(self) -> AdapterResult:
        """Ask for the hash, and what the node is where nobody did or it is another one now."""
        node = await self._nodes.begin()
        return ok(data={"version": node.text})

    async def connect(self) -> None:
        """Nothing to do: connections open with the first call."""

    async def disconnect(self) -> None:
        """Close the connections."""
        self._nodes.forget()
        await self._client.aclose()

    @property
    def granularity(self) -> Granularity:  # type: ignore[override]
        """A node without a database takes whole documents only."""
        node = self._nodes.node
        is_document = node is None or not node.has_database
        return Granularity.DOCUMENT if is_document else Granularity.RESOURCE

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override]
        """How paths are written, for it decides who gets a request."""
        node = self._nodes.node
        return () if node is None else judging.notes_of(node)

    def capabilities(self) -> Capabilities | None:
        """What the running node can do, once it was asked."""
        node = self._nodes.node
        return None if node is None else capabilities_of(node)

    def rules(self) -> Rules | None:
        """How specs compare."""
        return judging.RULES

    # reading

    async def list_apis(self) -> list[ListItem]:
        """Read all services as APIs."""
        return await self._nodes.listed(API)

    async def list_policies(self) -> list[ListItem]:
        """Read the plugins of all services as policies."""
        return await self._nodes.listed(POLICY)

    async def list_applications(self) -> list[ListItem]:
        """Read all consumers as applications."""
        return await self._nodes.listed(APPLICATION)

    async def list_unmapped(self) -> tuple[Unmapped, ...]:
        """Tell what of the foreign entities no document can say."""
        return await asyncio.to_thread(remnants_of, await self._nodes.held())

    # writing, one at a time

    async def sync_api(self, api_spec: ObjectSpec, tenant_id: str) -> AdapterResult:
        """Write an API's service and routes."""
        return await self._upsert(api_spec)

    async def delete_api(self, api_id: str) -> AdapterResult:
        """Remove an API's service and routes, and what of ours hangs on them."""
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
        node = await self._nodes.known()
        refusal = judging.refusal(spec, node)
        if refusal is not None:
            return refusal
        is_foreign = (await self._nodes.held()).has_foreign(spec.key, spec.gateway_id or "")
        return await self._write_one(
            PendingChange(spec.key, spec, spec.gateway_id or "", adopts=is_foreign)
        )

    @returns_result
    async def _delete(self, kind: str, gateway_id: str) -> AdapterResult:
        key = _key_of(await self._nodes.held(), kind, gateway_id)
        if key is None:
            return ok(gateway_id)
        result = await self._write_one(PendingChange(key, None, gateway_id))
        return ok(gateway_id) if result.success else result

    async def _write_one(self, wish: PendingChange) -> AdapterResult:
        if (await self._nodes.known()).has_database:
            return await self._database.write(wish)
        return (await self._documents().write([wish]))[wish]

    @returns_result
    async def export_archive(self) -> AdapterResult:
        """Return the whole configuration, secrets included, as Kong exports it: YAML, or lists with a database."""
        node = await self._nodes.known()
        if node.has_database:
            return ok(data={"entities": await self._nodes.everything()})
        return ok(data={"config": await self._client.config()})

    # writing, a whole plan

    def apply(self, writes: Sequence[Write], limits: WriteLimits) -> AsyncIterator[Outcome]:
        """Write a document once, or walk the methods where the node has a database."""
        if self.granularity is Granularity.RESOURCE:
            return super().apply(writes, limits)
        return self._apply(writes)

    async def _apply(self, writes: Sequence[Write]) -> AsyncIterator[Outcome]:
        wishes = {id(write): _wish(write) for write in writes}
        node = await self._nodes.known()
        refused: dict[int, AdapterResult] = {}
        tried: list[PendingChange] = []
        lost: set[Key] = set()
        for write in writes:
            refusal = judging.refusal(write.spec, node) if write.spec is not None else None
            if refusal is not None:
                refused[id(write)] = refusal
            if refusal is not None or not lost.isdisjoint(write.change.depends_on):
                lost.add(write.change.key)
            else:
                tried.append(wishes[id(write)])
        writer = self._documents()
        results = await writer.write(tried)
        if writer.posts > 1:
            log.info("the document was posted %d times", writer.posts)
        fallout = FailedDependencies()
        for write in writes:
            result = refused.get(id(write)) or results.get(wishes[id(write)])
            outcome = (
                None
                if result is not None and result.success
                else fallout.blocked_outcome(write.change)
            )
            if outcome is None:
                outcome = outcome_of(write.change, result) if result else failed_outcome(write.change, "InternalError", _UNTOLD)  # fmt: skip
            fallout.add_outcome(outcome)
            yield outcome

    def _documents(self) -> DocumentWriter:
        return DocumentWriter(self._client, self._nodes.fresh, self._nodes.keep)


def _wish(write: Write) -> PendingChange:
    change = write.change
    gateway_id = change.observed.gateway_id if change.observed else ""
    needs = tuple(change.depends_on)
    adopts = change.action is Action.ADOPT
    return PendingChange(change.key, write.spec, gateway_id, needs, adopts)


def _key_of(picture: NodeSnapshot, kind: str, gateway_id: str) -> Key | None:
    """Return the key of one of our objects by the id that `list_*` gave it; None where it is gone or foreign."""
    root, _, policy_type = gateway_id.partition("/")
    unit: EntityGroup | None = picture.unit_of(root, APPLICATION if kind == APPLICATION else API)
    if unit is None:
        return None
    return unit.key.policy(policy_type) if kind == POLICY else unit.key

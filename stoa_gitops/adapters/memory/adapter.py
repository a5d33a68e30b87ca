"""GatewayAdapter of the memory gateway, written object by object or as one document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import BinaryIO

from stoa_gitops.adapter_sdk.apply_each import ResourceAdapter
from stoa_gitops.adapter_sdk.blocking import FailedDependencies, failed_outcome, outcome_of
from stoa_gitops.adapter_sdk.capabilities import Granularity
from stoa_gitops.adapter_sdk.contract import (
    AdapterResult,
    GatewayAdapter,
    ListItem,
    ObjectSpec,
    Write,
    WriteLimits,
)
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapter_sdk.results import failure, ok, returns_result
from stoa_gitops.adapters.memory.client import MemoryClient
from stoa_gitops.adapters.memory.mappers import from_vendor, to_vendor
from stoa_gitops.adapters.memory.server import DocumentRefused, StoredObject, gateway_named
from stoa_gitops.errors import GatewayError, GatewayRefused
from stoa_gitops.model.keys import API, APPLICATION, POLICY
from stoa_gitops.model.outcomes import Outcome


def build(connection: Connection) -> GatewayAdapter:
    """Return the adapter for `options: {granularity, state}`; `state` defaults to the name.

    Raises GatewayRefused for a granularity other than `resource` and `document`.
    """
    options = connection.instance.options
    client = MemoryClient(gateway_named(str(options.get("state", connection.instance.name))))
    granularity = options.get("granularity", Granularity.RESOURCE.value)
    if granularity == Granularity.RESOURCE.value:
        return MemoryAdapter(connection.owner, client)
    if granularity == Granularity.DOCUMENT.value:
        return MemoryDocumentAdapter(connection.owner, client)
    raise GatewayRefused(f"options.granularity is resource or document, not {granularity!r}")


class MemoryAdapter(ResourceAdapter):
    """Writes one object at a time."""

    title = "the gateway in memory"

    def __init__(self, owner: str, client: MemoryClient) -> None:
        self._owner = owner
        self._client = client

    @returns_result
    async def health_check(self) -> AdapterResult:
        """Return the version, unless a fault is planned."""
        return ok(data={"version": await self._client.health()})

    async def connect(self) -> None:
        """Nothing to open."""

    async def disconnect(self) -> None:
        """Nothing to close."""

    async def sync_api(self, api_spec: ObjectSpec, tenant_id: str) -> AdapterResult:
        """Create or replace an API."""
        return await self._put(api_spec)

    async def delete_api(self, api_id: str) -> AdapterResult:
        """Remove an API."""
        return await self._delete(api_id)

    async def list_apis(self) -> list[ListItem]:
        """Read all APIs."""
        return await self._list(API)

    async def upsert_policy(self, policy_spec: ObjectSpec) -> AdapterResult:
        """Create or replace a policy."""
        return await self._put(policy_spec)

    async def delete_policy(self, policy_id: str) -> AdapterResult:
        """Remove a policy."""
        return await self._delete(policy_id)

    async def list_policies(self) -> list[ListItem]:
        """Read all policies."""
        return await self._list(POLICY)

    async def provision_application(self, app_spec: ObjectSpec) -> AdapterResult:
        """Create or replace a consumer."""
        return await self._put(app_spec)

    async def deprovision_application(self, app_id: str) -> AdapterResult:
        """Remove a consumer."""
        return await self._delete(app_id)

    async def list_applications(self) -> list[ListItem]:
        """Read all consumers."""
        return await self._list(APPLICATION)

    async def upsert_auth_server(self, auth_spec: ObjectSpec) -> AdapterResult:
        """Store an OIDC provider."""
        return await self._put(auth_spec)

    async def upsert_strategy(self, strategy_spec: ObjectSpec) -> AdapterResult:
        """Store an authentication strategy."""
        return await self._put(strategy_spec)

    async def upsert_scope(self, scope_spec: ObjectSpec) -> AdapterResult:
        """Store an OAuth scope."""
        return await self._put(scope_spec)

    async def upsert_alias(self, alias_spec: ObjectSpec) -> AdapterResult:
        """Store an endpoint alias."""
        return await self._put(alias_spec)

    async def apply_config(self, config_spec: ObjectSpec) -> AdapterResult:
        """Store gateway-wide configuration."""
        return await self._put(config_spec)

    async def upsert_global_policy(self, policy_spec: ObjectSpec) -> AdapterResult:
        """Store a policy for many APIs."""
        return await self._put(policy_spec)

    @returns_result
    async def export_archive(self, target: BinaryIO | None = None) -> AdapterResult:
        """Return everything, by id."""
        document = await self._client.read_document()
        return ok(data={gateway_id: stored.spec.value for gateway_id, stored in document.items()})

    async def _list(self, kind: str) -> list[ListItem]:
        listed = await self._client.list_kind(kind)
        return [
            from_vendor(gateway_id, stored, self._owner) for gateway_id, stored in listed.items()
        ]

    @returns_result
    async def _put(self, spec: ObjectSpec) -> AdapterResult:
        gateway_id, stored = to_vendor(spec)
        await self._client.put(gateway_id, stored)
        return ok(gateway_id)

    @returns_result
    async def _delete(self, gateway_id: str) -> AdapterResult:
        await self._client.delete(gateway_id)
        return ok(gateway_id)


class MemoryDocumentAdapter(MemoryAdapter):
    """Reads, merges and writes the whole document; `apply` writes all changes at once."""

    granularity = Granularity.DOCUMENT

    @returns_result
    async def _put(self, spec: ObjectSpec) -> AdapterResult:
        gateway_id, stored = to_vendor(spec)
        await self._client.write_document(
            {**await self._client.read_document(), gateway_id: stored}
        )
        return ok(gateway_id)

    @returns_result
    async def _delete(self, gateway_id: str) -> AdapterResult:
        document = await self._client.read_document()
        # Absent already: writing the document again would be a change without an effect.
        if document.pop(gateway_id, None) is not None:
            await self._client.write_document(document)
        return ok(gateway_id)

    async def apply(self, writes: Sequence[Write], limits: WriteLimits) -> AsyncIterator[Outcome]:
        """Write the document; without a refused object and its dependants, write it again."""
        outcomes: dict[int, Outcome] = {}
        # Each round sets one refused object and its dependants aside, so there is an end.
        while remaining := [w for w in writes if id(w) not in outcomes]:
            try:
                await self._client.write_document(
                    _merged(await self._client.read_document(), remaining)
                )
            except DocumentRefused as refusal:
                outcomes.update(_refused_outcomes(remaining, refusal))
            except GatewayError as error:
                outcomes.update({id(w): outcome_of(w.change, failure(error)) for w in remaining})
            else:
                outcomes.update({id(w): outcome_of(w.change, ok(_id(w))) for w in remaining})
        for write in writes:
            yield outcomes[id(write)]


def _id(write: Write) -> str:
    if write.spec is not None:
        return write.spec.gateway_id or write.spec.identifier
    return write.change.observed.gateway_id if write.change.observed else ""


def _merged(document: dict[str, StoredObject], writes: Sequence[Write]) -> dict[str, StoredObject]:
    """Apply the writes to the document; foreign objects stay as they are."""
    for write in writes:
        if write.spec is None:
            document.pop(_id(write), None)
        else:
            gateway_id, stored = to_vendor(write.spec)
            document[gateway_id] = stored
    return document


def _refused_outcomes(writes: Sequence[Write], refusal: DocumentRefused) -> dict[int, Outcome]:
    """Quarantine the refused object and block its dependants; all fail if it is a foreign one."""
    refused = [write for write in writes if _id(write) == refusal.object_id]
    if not refused:
        return {id(w): failed_outcome(w.change, refusal.reason, str(refusal)) for w in writes}
    failed = FailedDependencies()
    outcomes: dict[int, Outcome] = {}
    for write in refused:
        outcomes[id(write)] = outcome_of(write.change, failure(refusal))
        failed.add_outcome(outcomes[id(write)])
    for write in writes:
        blocked = None if id(write) in outcomes else failed.blocked_outcome(write.change)
        if blocked is not None:
            outcomes[id(write)] = blocked
    return outcomes

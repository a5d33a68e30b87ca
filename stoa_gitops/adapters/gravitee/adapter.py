"""The adapter contract over Gravitee's APIs: an API with its policies is one write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

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
from stoa_gitops.adapters.gravitee.api.client import (
    LIMITS,
    GraviteeClient,
    anonymous,
    classify,
)
from stoa_gitops.adapters.gravitee.api.options import options_of
from stoa_gitops.adapters.gravitee.entities.parts import AUTOMATION, CRD, GatewayInfo
from stoa_gitops.adapters.gravitee.mapping.rules import RULES, capabilities_of, rules_of
from stoa_gitops.adapters.gravitee.node.session import Session
from stoa_gitops.adapters.gravitee.node.unmapped import list_unmapped
from stoa_gitops.adapters.gravitee.writing.apis import ApiWriter
from stoa_gitops.adapters.gravitee.writing.consumers import ConsumerWriter
from stoa_gitops.adapters.gravitee.writing.pending import PendingChange
from stoa_gitops.adapters.gravitee.writing.run import PlanRun
from stoa_gitops.model.changes import Change
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.resources import AppliedRecord, ForeignRoute, Resource
from stoa_gitops.model.unmapped import Unmapped

_WAYS: Final = {AUTOMATION: "Automation API", CRD: "_import/crd"}


def build(connection: Connection) -> GatewayAdapter:
    """Return the adapter of one connection."""
    return GraviteeAdapter(connection, AdminClient(connection, limits=LIMITS, classify=classify))


class GraviteeAdapter(GatewayAdapter):
    """One environment of Gravitee APIM.

    What it is (version, way, plugins) is asked at first and with each full read. An API is written
    with its policies: they are one definition there, and each write deploys it.
    """

    title = "Gravitee"
    granularity = Granularity.UNIT

    def __init__(
        self,
        connection: Connection,
        http: AdminClient,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        options = options_of(connection.instance.options)
        public = AdminClient(anonymous(connection), limits=LIMITS)
        self._client = GraviteeClient(http, public, options)
        self._session = Session(self._client, connection.owner, options, clock)
        self._apis = ApiWriter(self._client, self._session, connection.owner)
        self._consumers = ConsumerWriter(self._client, self._session, connection.owner)
        self._noted: dict[Key, Resource] = {}
        self._waiting: dict[Key, Resource] = {}
        self._ruled: GatewayInfo | None = None
        self._rules = RULES

    # life cycle

    @returns_result
    async def health_check(self) -> AdapterResult:
        """Request the environment, and what the gateway is where that may have changed."""
        info = await self._session.start_observation()
        if self._ruled is not None and info != self._ruled:
            self._apis.schemas.forget()
        return ok(data={"version": info.version})

    async def connect(self) -> None:
        """Nothing to do: connections open with the first call."""

    async def disconnect(self) -> None:
        """Close the connections."""
        self._session.invalidate()
        await self._client.aclose()

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override]  # the gateway decides them
        """How APIs are written."""
        info = self._session.info
        return () if info is None else (_WAYS.get(info.way, "single calls"),)

    def capabilities(self) -> Capabilities | None:
        """Capabilities of the running gateway; None before it was asked."""
        info = self._session.info
        return None if info is None else capabilities_of(info)

    def rules(self) -> Rules | None:
        """How specs are projected, and their losses; the same value for the same gateway."""
        info = self._session.info
        if info is not None and info != self._ruled:
            self._ruled, self._rules = info, rules_of(info)
        return self._rules

    # reading

    async def list_apis(self) -> list[ListItem]:
        """Return all APIs, also those that no document can express."""
        return list(await self._session.list_objects(API))

    async def list_policies(self) -> list[ListItem]:
        """Return the steps of all APIs as policies."""
        return list(await self._session.list_objects(POLICY))

    async def list_applications(self) -> list[ListItem]:
        """Return all applications that are not archived."""
        return list(await self._session.list_objects(APPLICATION))

    async def list_cached(self, kind: str) -> Sequence[ListItem]:
        """Return one list, packed; an unchanged one is the identical object of the last time."""
        return await self._session.list_objects(kind)

    def note_documents(self) -> None:
        """Read who may call foreign APIs, too: that is in no list."""
        self._session.read_foreign_access()

    async def list_unmapped(self) -> tuple[Unmapped, ...]:
        """Return what foreign APIs hold that no document of the catalog can express."""
        snapshot = await self._session.current_snapshot()
        return await asyncio.to_thread(list_unmapped, snapshot)

    async def list_routes(self) -> tuple[ForeignRoute, ...]:
        """Return the foreign routes, those too that no API of the catalog expresses."""
        return (await self._session.current_snapshot()).foreign_routes

    # writing, one at a time

    async def sync_api(self, api_spec: ObjectSpec, tenant_id: str) -> AdapterResult:
        """Write an API; its policies stay as they are."""
        return await self._write_api(await self._pending(api_spec))

    async def delete_api(self, api_id: str) -> AdapterResult:
        """Delete an API; where policies of it are left, it is stopped and has no path."""
        return await self._delete(API, api_id)

    async def upsert_policy(self, policy_spec: ObjectSpec) -> AdapterResult:
        """Write a policy as flows of its API."""
        return await self._write_api(await self._pending(policy_spec))

    async def delete_policy(self, policy_id: str) -> AdapterResult:
        """Remove a policy by `<id of the API>/<type>`."""
        return await self._delete(POLICY, policy_id)

    @returns_result
    async def provision_application(self, app_spec: ObjectSpec) -> AdapterResult:
        """Write an application with its subscriptions and keys."""
        pending = await self._pending(app_spec)
        return await self._consumers.write(pending, await self._session.read_snapshot())

    @returns_result
    async def deprovision_application(self, app_id: str) -> AdapterResult:
        """Archive an application; its subscriptions are closed first."""
        pending = PendingChange(Key(APPLICATION, "", app_id), None, app_id)
        return await self._consumers.write(pending, await self._session.read_snapshot())

    async def _pending(self, spec: ObjectSpec) -> PendingChange:
        return PendingChange(spec.key, spec, spec.gateway_id)

    async def _write_api(self, pending: PendingChange) -> AdapterResult:
        return (await self._apis.write([pending]))[pending]

    @returns_result
    async def _delete(self, kind: str, gateway_id: str) -> AdapterResult:
        snapshot = await self._session.read_snapshot()
        root, _, policy_type = gateway_id.partition("/")
        group = snapshot.groups.get(root)
        # Gone already, or foreign: in neither case is there something of ours to delete.
        if group is None or not snapshot.is_own(root):
            return ok(gateway_id)
        key = group.key.policy(policy_type) if kind == POLICY else group.key
        return await self._write_api(PendingChange(key, None, gateway_id))

    # writing, a whole plan

    def note_records(self, records: Mapping[Key, AppliedRecord]) -> None:
        """Take note of what was applied: a list may miss it."""
        self._session.missing.records = records

    def note_plan(self, changes: Sequence[Change]) -> None:
        """Take note of the applications: one whose secret leads nowhere is in no write."""
        self._noted = {
            change.key: change.resource
            for change in changes
            if change.key.kind == APPLICATION and change.resource is not None
        }

    def note_waiting(self, resources: Sequence[Resource]) -> None:
        """Take note of the applications: their subscriptions go along where a plan is renamed."""
        self._waiting = {one.key: one for one in resources if one.key.kind == APPLICATION}

    async def apply(self, writes: Sequence[Write], limits: WriteLimits) -> AsyncIterator[Outcome]:
        """Write several changes: applications that go, APIs with their policies, applications."""
        wanted = {key: one.spec.value for key, one in {**self._waiting, **self._noted}.items()}
        run = PlanRun(self._apis, self._consumers, self._session, limits, wanted)
        await run.write(writes)
        for write in writes:
            yield run.outcomes[id(write)]

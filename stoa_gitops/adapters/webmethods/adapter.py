"""The adapter contract over webMethods: an API with its policies is one write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import BinaryIO

from stoa_gitops.adapter_sdk.apply_each import call_method
from stoa_gitops.adapter_sdk.capabilities import Capabilities, Granularity, Rules
from stoa_gitops.adapter_sdk.contract import (
    AdapterResult,
    GatewayAdapter,
    ListItem,
    Methods,
    ObjectSpec,
    Write,
    WriteLimits,
)
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapter_sdk.results import ok, returns_result
from stoa_gitops.adapters.webmethods.api.client import LIMITS, WebMethodsClient, classify
from stoa_gitops.adapters.webmethods.api.options import options_of
from stoa_gitops.adapters.webmethods.entities.parts import GatewayInfo
from stoa_gitops.adapters.webmethods.mapping.gateway_objects import KINDS
from stoa_gitops.adapters.webmethods.mapping.rules import CAPABILITIES, RULES, rules_of
from stoa_gitops.adapters.webmethods.node.archive_export import SUFFIX, export_everything
from stoa_gitops.adapters.webmethods.node.session import Session, Sleep
from stoa_gitops.adapters.webmethods.node.unmapped import list_unmapped
from stoa_gitops.adapters.webmethods.writing.apis import ApiWriter
from stoa_gitops.adapters.webmethods.writing.archive import ArchiveRun
from stoa_gitops.adapters.webmethods.writing.consumers import ConsumerWriter
from stoa_gitops.adapters.webmethods.writing.extended_lists import ExtendedLists
from stoa_gitops.adapters.webmethods.writing.gateway_objects import GatewayObjects
from stoa_gitops.adapters.webmethods.writing.global_policies import GlobalPolicies
from stoa_gitops.adapters.webmethods.writing.pending import PendingChange
from stoa_gitops.adapters.webmethods.writing.run import ApplyRun
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key
from stoa_gitops.model.kinds import CONFIG, GLOBAL_POLICY, SCOPE
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.resources import AppliedRecord, ForeignRoute
from stoa_gitops.model.unmapped import Unmapped


def build(connection: Connection) -> GatewayAdapter:
    """Return the adapter of one connection."""
    http = AdminClient(connection, limits=LIMITS, classify=classify)
    return WebMethodsAdapter(connection, http)


class WebMethodsAdapter(GatewayAdapter):
    """One API Gateway, version 10.15 or 11.

    What it is (version, settings) is asked at first and with each tenth observation.
    """

    title = "webMethods"
    granularity = Granularity.UNIT
    archive_suffix = SUFFIX
    imports_archives = True

    def __init__(
        self, connection: Connection, http: AdminClient, sleep: Sleep = asyncio.sleep
    ) -> None:
        options = options_of(connection.instance.options)
        self.client = WebMethodsClient(http, connection.base_url)
        self.session = Session(self.client, connection.owner, options, sleep)
        self._apis = ApiWriter(self.client, self.session, connection.owner)
        self._consumers = ConsumerWriter(self.client, self.session, self._apis, connection.owner)
        self._owner = connection.owner
        self._objects = GatewayObjects(self.client, connection.owner, self.session.missing.known_id)
        self._globals = GlobalPolicies(self.client, connection.owner, self.session.missing.known_id)
        self._extended = ExtendedLists(self._objects, self._globals, self.session, options)
        self._ruled: GatewayInfo | None = None
        self._rules = RULES

    # life cycle

    @returns_result
    async def health_check(self) -> AdapterResult:
        """Ask how the gateway is, and what it is where that may have changed."""
        info = await self.session.start_observation()
        self._extended.start_observation()
        return ok(data={"version": info.version})

    async def connect(self) -> None:
        """Nothing to do: connections open with the first call."""

    async def disconnect(self) -> None:
        """Close the connections."""
        self.session.invalidate()
        self._extended.invalidate()
        await self.client.aclose()

    def capabilities(self) -> Capabilities | None:
        """Capabilities, which are the same for every gateway; None before it was asked."""
        return None if self.session.info is None else CAPABILITIES

    def rules(self) -> Rules | None:
        """How specs are projected, and their losses; the same value for the same gateway."""
        info = self.session.info
        if info is not None and info != self._ruled:
            self._ruled, self._rules = info, rules_of(info)
        return self._rules

    # reading

    def note_records(self, records: Mapping[Key, AppliedRecord]) -> None:
        """Take note of the ids of what was applied: what no list shows is asked for by its id."""
        self.session.missing.records = records

    async def list_apis(self) -> list[ListItem]:
        """Return all APIs, also those that no document can express."""
        return list(await self.session.list_objects(API))

    async def list_policies(self) -> list[ListItem]:
        """Return what the actions of all APIs stand for as policies."""
        return list(await self.session.list_objects(POLICY))

    async def list_applications(self) -> list[ListItem]:
        """Return all applications."""
        return list(await self.session.list_objects(APPLICATION))

    async def list_cached(self, kind: str) -> Sequence[ListItem]:
        """Return one list, packed; an unchanged one is the identical object of the last time."""
        if kind in (API, POLICY, APPLICATION):
            return await self.session.list_objects(kind)
        return await self._extended.list_objects(kind)

    async def list_unmapped(self) -> tuple[Unmapped, ...]:
        """Return what foreign APIs hold that no document of the catalog can express."""
        snapshot = await self.session.current_snapshot()
        return await asyncio.to_thread(list_unmapped, snapshot)

    async def list_routes(self) -> tuple[ForeignRoute, ...]:
        """Return the foreign routes, those too that no API of the catalog expresses."""
        return (await self.session.current_snapshot()).foreign_routes

    # writing, one at a time

    @returns_result
    async def sync_api(self, api_spec: ObjectSpec, tenant_id: str) -> AdapterResult:
        """Write an API; its policies stay as they are."""
        return await self._write_api(_pending(api_spec))

    async def delete_api(self, api_id: str) -> AdapterResult:
        """Delete an API; where policies of it are left, it is inactive and has no path."""
        return await self._delete(API, api_id)

    @returns_result
    async def upsert_policy(self, policy_spec: ObjectSpec) -> AdapterResult:
        """Write a policy as actions of its API."""
        return await self._write_api(_pending(policy_spec))

    async def delete_policy(self, policy_id: str) -> AdapterResult:
        """Remove a policy by `<id of the API>/<type>`."""
        return await self._delete(POLICY, policy_id)

    @returns_result
    async def provision_application(self, app_spec: ObjectSpec) -> AdapterResult:
        """Write an application with its identifiers and links."""
        snapshot = await self.session.read_snapshot()
        return await self._consumers.write(_pending(app_spec), snapshot)

    @returns_result
    async def deprovision_application(self, app_id: str) -> AdapterResult:
        """Delete an application; its links go with it."""
        pending = PendingChange(Key(APPLICATION, "", app_id), None, app_id)
        return await self._consumers.write(pending, await self.session.read_snapshot())

    async def _write_api(self, pending: PendingChange) -> AdapterResult:
        snapshot = await self.session.read_snapshot()
        return (await self._apis.write([pending], snapshot))[pending]

    @returns_result
    async def _delete(self, kind: str, gateway_id: str) -> AdapterResult:
        snapshot = await self.session.read_snapshot()
        root, _, policy_type = gateway_id.partition("/")
        group = snapshot.groups.get(root)
        # Gone already, or foreign: in neither case is there something of ours to delete.
        if group is None or not snapshot.is_own(root):
            return ok(gateway_id)
        key = group.key.policy(policy_type) if kind == POLICY else group.key
        pending = PendingChange(key, None, gateway_id)
        return (await self._apis.write([pending], snapshot))[pending]

    @returns_result
    async def export_archive(self, target: BinaryIO | None = None) -> AdapterResult:
        """Export everything that the gateway holds as an archive that it can import."""
        about, warnings = await export_everything(self.client, target)
        return ok(data=about, warnings=warnings)

    # extended: what belongs to the whole gateway

    def methods(self) -> Mapping[str, Methods]:
        """Return the methods for each kind: extended ones can be listed and deleted as well."""
        return {
            **super().methods(),
            **{
                kind: Methods(
                    self._upsert_object,
                    partial(self._delete_object, kind),
                    partial(self._list, kind),
                )
                for kind in KINDS
            },
            CONFIG: Methods(self.apply_config, None, partial(self._list, CONFIG)),
            GLOBAL_POLICY: Methods(
                self.upsert_global_policy,
                self._delete_global_policy,
                partial(self._list, GLOBAL_POLICY),
            ),
        }

    async def upsert_auth_server(self, auth_spec: ObjectSpec) -> AdapterResult:
        """Write an alias for an authorization server."""
        return await self._upsert_object(auth_spec)

    async def upsert_strategy(self, strategy_spec: ObjectSpec) -> AdapterResult:
        """Write an authentication strategy."""
        return await self._upsert_object(strategy_spec)

    async def upsert_scope(self, scope_spec: ObjectSpec) -> AdapterResult:
        """Write an OAuth scope; its APIs are named as `tenant/name`."""
        return await self._upsert_object(scope_spec)

    async def upsert_alias(self, alias_spec: ObjectSpec) -> AdapterResult:
        """Write an alias of any type."""
        return await self._upsert_object(alias_spec)

    @returns_result
    async def apply_config(self, config_spec: ObjectSpec) -> AdapterResult:
        """Bring keys of a configuration to their values; others stay as they are."""
        self._extended.mark_changed(CONFIG)
        return await self._objects.apply_config(config_spec)

    @returns_result
    async def _upsert_object(self, spec: ObjectSpec) -> AdapterResult:
        self._extended.mark_changed(spec.key.kind)
        apis: Mapping[Key, str] = {}
        if spec.key.kind == SCOPE:
            links = (await self.session.working_snapshot()).links
            apis = {key: link.api_id for key, link in links.items()}
        return await self._objects.upsert(spec, apis)

    @returns_result
    async def _delete_object(self, kind: str, gateway_id: str) -> AdapterResult:
        self._extended.mark_changed(kind)
        return await self._objects.delete(kind, gateway_id)

    @returns_result
    async def upsert_global_policy(self, policy_spec: ObjectSpec) -> AdapterResult:
        """Write a policy for the APIs of a tenant."""
        self._extended.mark_changed(GLOBAL_POLICY)
        return await self._globals.upsert(policy_spec, await self.session.working_snapshot())

    @returns_result
    async def _delete_global_policy(self, gateway_id: str) -> AdapterResult:
        self._extended.mark_changed(GLOBAL_POLICY)
        return await self._globals.delete(gateway_id)

    async def _list(self, kind: str) -> list[ListItem]:
        return list(await self._extended.list_objects(kind))

    # writing, a whole plan

    async def apply(self, writes: Sequence[Write], limits: WriteLimits) -> AsyncIterator[Outcome]:
        """Write several changes: applications that go, APIs with their policies, applications."""
        other = partial(call_method, self)
        run = ApplyRun(self._apis, self._consumers, self.session, other, limits)
        await run.write(writes)
        for write in writes:
            yield run.outcomes[id(write)]

    async def apply_archive(
        self, writes: Sequence[Write], limits: WriteLimits
    ) -> AsyncIterator[Outcome]:
        """Import what comes and changes as one archive, then delete."""
        run = ArchiveRun(
            self.client,
            self.session,
            self._apis,
            self._consumers,
            partial(call_method, self),
            limits,
            self._owner,
        )
        await run.write(writes)
        for write in writes:
            yield run.outcomes[id(write)]


def _pending(spec: ObjectSpec) -> PendingChange:
    return PendingChange(spec.key, spec, spec.gateway_id)

"""GatewayAdapter over STOA's admin API; bodies are made in mappers, limits are in rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapter_sdk.apply_each import ResourceAdapter, Turns, apply_each
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
from stoa_gitops.adapter_sdk.packed_list import PackedList
from stoa_gitops.adapter_sdk.results import ok, returns_result, unsupported
from stoa_gitops.adapter_sdk.units import pack, split_units
from stoa_gitops.adapters.stoa import mappers, rules
from stoa_gitops.adapters.stoa.batch import write_batch
from stoa_gitops.adapters.stoa.client import CONSUMERS, POLICIES, ROUTES, StoaClient, classify
from stoa_gitops.adapters.stoa.rules import Extensions, capabilities_of
from stoa_gitops.model.keys import API, APPLICATION, POLICY
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.secret import Value
from stoa_gitops.model.unmapped import Unmapped

# STOA gateway 0.9.25 compares `path_prefix` with str.starts_with, without a segment boundary.
LOOSE_MATCH: Final = "/apis/a answers for /apis/ab, too"


def build(connection: Connection) -> GatewayAdapter:
    """Return the adapter of one connection."""
    is_inside = connection.inside is not None
    client = StoaClient(AdminClient(connection, classify=classify), is_shared=is_inside)
    gateway_type = connection.instance.gateway_type
    return StoaAdapter(connection.owner, client, has_limit=not is_inside, gateway_type=gateway_type)


BATCH: Final = "batch"
"""The extension of a gateway that carries out several writes as one."""


class StoaAdapter(ResourceAdapter):
    """One STOA gateway; its extensions are read once, and again with each health check.

    `has_limit` is whether calls of its admin API may be counted there; `gateway_type` says in which
    mode it runs.
    """

    title = "STOA gateway"

    def __init__(
        self, owner: str, client: StoaClient, *, has_limit: bool = True, gateway_type: str = ""
    ) -> None:
        self._owner = owner
        self._client = client
        self._has_limit = has_limit
        self._gateway_type = gateway_type
        self._extensions: Extensions | None = None

    # life cycle

    @returns_result
    async def health_check(self) -> AdapterResult:
        """Return `version`, `status`, `extensions`; warns where a real gateway differs."""
        health = await self._client.health()
        extensions = rules.extensions_in(health)
        if extensions != self._extensions:
            # Cached lists were mapped by the rules of other extensions.
            self._client.clear_cache()
        self._use(extensions)
        found = rules.unattached_in(health), rules.idleness_of(self._gateway_type, extensions)
        warnings = tuple(filter(None, found))
        data = {
            "version": health["version"],
            "status": str(health.get("status", "ok")),
            "extensions": sorted(extensions),
        }
        return ok(data=data, warnings=warnings)

    async def connect(self) -> None:
        """Nothing to do: connections open with the first call."""

    async def disconnect(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override]  # the gateway decides them
        """What people have to know of a real gateway, once its extensions were read."""
        is_plain = self._extensions is not None and not rules.is_extended(self._extensions)
        return (LOOSE_MATCH,) if is_plain else ()

    def capabilities(self) -> Capabilities | None:
        """Return the running gateway's capabilities, known once its extensions were read."""
        return None if self._extensions is None else capabilities_of(self._extensions)

    def rules(self) -> Rules | None:
        """Return the running gateway's rules, known once its extensions were read."""
        return None if self._extensions is None else rules.rules_for(self._extensions)

    # APIs

    @returns_result
    async def sync_api(self, api_spec: ObjectSpec, tenant_id: str) -> AdapterResult:
        """Write one route for each of the API's, then delete those that it no longer has.

        `resource_id` names all routes.
        """
        extensions = await self._get_extensions()
        missing = rules.missing_for(api_spec.value, extensions)
        if missing is not None:
            return unsupported(f"this gateway has no {missing}")
        routes = mappers.routes_of(api_spec, tenant_id, extensions)
        # One after another: the gateway has no transaction, and an API that is half written is
        # completed by the next cycle.
        for route in routes:
            await self._client.put(ROUTES, route)
        ids = [str(route["id"]) for route in routes]
        await self._remove_stale(api_spec, ids)
        return ok(mappers.join_ids(ids))

    async def _remove_stale(self, spec: ObjectSpec, ids: Sequence[str]) -> None:
        """Delete routes of an earlier form: the observed ones, else all further numbers of ours."""
        if spec.gateway_id is not None:
            for stale in set(mappers.split_ids(spec.gateway_id)) - set(ids):
                await self._client.delete(ROUTES, stale)
            return
        # Nobody looked: numbers are consecutive, so the first 404 is the end.
        number = len(ids)
        while await self._client.delete(ROUTES, mappers.route_id(spec.key, self._owner, number)):
            number += 1

    @returns_result
    async def delete_api(self, api_id: str) -> AdapterResult:
        """Delete every route of an API."""
        for route in mappers.split_ids(api_id):
            await self._client.delete(ROUTES, route)
        return ok(api_id)

    async def list_apis(self) -> list[ListItem]:
        """Return all routes, grouped to APIs."""
        return list(await self.list_cached(API))

    # policies

    @returns_result
    async def upsert_policy(self, policy_spec: ObjectSpec) -> AdapterResult:
        """Write a policy of a type that the gateway enforces; refuses others."""
        policy_type = str(policy_spec.value["type"])
        refusal = await self._refusal(f"policy:{policy_type}")
        if refusal is not None:
            return refusal
        result = await self._put(POLICIES, mappers.policy_of(policy_spec))
        if policy_spec.gateway_id and policy_spec.gateway_id != result.resource_id:
            # Adopted: ours has another id and took its place.
            await self._client.delete(POLICIES, policy_spec.gateway_id)
        return result

    @returns_result
    async def delete_policy(self, policy_id: str) -> AdapterResult:
        """Delete a policy."""
        await self._client.delete(POLICIES, policy_id)
        return ok(policy_id)

    async def list_policies(self) -> list[ListItem]:
        """Return all policies."""
        return list(await self.list_cached(POLICY))

    # consumers

    @returns_result
    async def provision_application(self, app_spec: ObjectSpec) -> AdapterResult:
        """Write a consumer; its keys are hashed here and never sent."""
        types = rules.credential_types(app_spec.value)
        for capability in ("application", *(f"credential:{name}" for name in types)):
            refusal = await self._refusal(capability)
            if refusal is not None:
                return refusal
        return await self._put(CONSUMERS, mappers.consumer_of(app_spec))

    @returns_result
    async def deprovision_application(self, app_id: str) -> AdapterResult:
        """Delete a consumer; a gateway without the extension has none."""
        if "consumers" in await self._get_extensions():
            await self._client.delete(CONSUMERS, app_id)
        return ok(app_id)

    async def list_applications(self) -> list[ListItem]:
        """Return all consumers; a gateway without the extension has none."""
        return list(await self.list_cached(APPLICATION))

    # not among the eighteen

    async def list_cached(self, kind: str) -> Sequence[ListItem]:
        """Return one list, packed; an unchanged one is the identical object of the last time."""
        extensions, owner = await self._get_extensions(), self._owner
        purpose = owner, extensions
        if kind == API:
            return await self._client.list_objects(
                ROUTES,
                lambda routes: PackedList(mappers.apis_from(routes, owner, extensions)),
                purpose,
            )
        if kind == POLICY:
            return await self._client.list_objects(
                POLICIES,
                lambda policies: PackedList(mappers.policies_from(policies, owner)),
                purpose,
            )
        if "consumers" not in extensions:
            return ()
        return await self._client.list_objects(
            CONSUMERS,
            lambda consumers: PackedList(mappers.consumers_from(consumers, owner)),
            purpose,
        )

    async def list_unmapped(self) -> tuple[Unmapped, ...]:
        """Return what no document can express of foreign APIs; raises GatewayError."""
        extensions = await self._get_extensions()
        routes = await self._client.list_raw(ROUTES)
        policies = await self._client.list_raw(POLICIES)
        return mappers.unmapped_from(routes, policies, self._owner, extensions)

    def apply(self, writes: Sequence[Write], limits: WriteLimits) -> AsyncIterator[Outcome]:
        """Write several changes: as one where the gateway can, else within its admin limit."""
        if self.granularity is Granularity.UNIT and self._extensions is not None:
            return self._apply_units(writes, limits, self._extensions)
        turns = Turns(self._wait_for_turn, lambda: self._client.pace.is_limited)
        return apply_each(self, writes, limits, turns)

    # internal

    async def _apply_units(
        self, writes: Sequence[Write], limits: WriteLimits, extensions: Extensions
    ) -> AsyncIterator[Outcome]:
        by_change = {id(write.change): write for write in writes}
        outcomes: dict[int, Outcome] = {}
        for changes in pack(split_units([write.change for write in writes])):
            part = [by_change[id(change)] for change in changes]
            for outcome in await write_batch(self._client, part, extensions, limits):
                outcomes[id(outcome.change)] = outcome
        for write in writes:
            yield outcomes[id(write.change)]

    async def _wait_for_turn(self, write: Write) -> None:
        # Our data plane counts no calls, and neither does what is held on behalf of another.
        is_extended = self._extensions is not None and rules.is_extended(self._extensions)
        if self._has_limit and not is_extended:
            await self._client.pace.wait_for_turn(_calls_of(write))

    async def _get_extensions(self) -> Extensions:
        """Return the gateway's extensions, reading them if that did not happen yet.

        Raises GatewayError.
        """
        if self._extensions is None:
            return self._use(rules.extensions_in(await self._client.health()))
        return self._extensions

    def _use(self, extensions: Extensions) -> Extensions:
        self._extensions = extensions
        has_batch = rules.is_extended(extensions) and BATCH in extensions
        self.granularity = Granularity.UNIT if has_batch else Granularity.RESOURCE
        return extensions

    async def _refusal(self, capability: str) -> AdapterResult | None:
        declared = capabilities_of(await self._get_extensions()).get(capability)
        if declared is not None and declared.supported:
            return None
        reason = declared.reason if declared else "unknown to this adapter"
        return unsupported(f"this gateway has no {capability} ({reason})")

    async def _put(self, collection: str, body: Mapping[str, Value]) -> AdapterResult:
        await self._client.put(collection, body)
        return ok(str(body["id"]))


def _calls_of(write: Write) -> int:
    """Return how many calls a write may take: each route that is written, each that may go."""
    observed = write.change.observed
    stale = len(mappers.split_ids(observed.gateway_id)) if observed else 0
    routes: Any = write.spec.value.get("routes", ()) if write.spec else ()
    return max(len(routes) + stale, 1)

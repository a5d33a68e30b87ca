"""The contract over STOA's admin API; thin: the words are in mappers, the limits in rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoa_gitops.adapter_sdk.apply_each import ResourceAdapter
from stoa_gitops.adapter_sdk.capabilities import Capabilities, Rules
from stoa_gitops.adapter_sdk.contract import AdapterResult, GatewayAdapter, ListItem, ObjectSpec
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapter_sdk.packed_list import PackedList
from stoa_gitops.adapter_sdk.results import ok, returns_result, unsupported
from stoa_gitops.adapters.stoa import mappers, rules
from stoa_gitops.adapters.stoa.client import CONSUMERS, POLICIES, ROUTES, StoaClient, classify
from stoa_gitops.adapters.stoa.rules import Extensions, capabilities_of
from stoa_gitops.model.keys import API, APPLICATION, POLICY
from stoa_gitops.model.secret import Value

LOOSE_MATCH = "this gateway matches path prefixes by letters, not by segments: /apis/a also answers for /apis/ab"


def build(connection: Connection) -> GatewayAdapter:
    """Return the adapter of one connection."""
    return StoaAdapter(connection.owner, StoaClient(AdminClient(connection, classify=classify)))


class StoaAdapter(ResourceAdapter):
    """A STOA gateway. What it can do is asked once, and again with each health check."""

    title = "STOA gateway"

    def __init__(self, owner: str, client: StoaClient) -> None:
        self._owner = owner
        self._client = client
        self._extensions: Extensions | None = None

    # life cycle

    @returns_result
    async def health_check(self) -> AdapterResult:
        """Answer with `version`, `status` and `extensions`; warns of what a real gateway does otherwise."""
        health = await self._client.health()
        extensions = rules.named_in(health)
        if extensions != self._extensions:
            self._client.forget()  # what was read under other extensions was mapped by other rules
        self._extensions = extensions
        warnings = () if "api_id" in extensions else (LOOSE_MATCH,)
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

    def capabilities(self) -> Capabilities | None:
        """What the running gateway can do, once it was asked."""
        return None if self._extensions is None else capabilities_of(self._extensions)

    def rules(self) -> Rules | None:
        """How specs compare on the running gateway, once it was asked."""
        return None if self._extensions is None else rules.rules_for(self._extensions)

    # APIs

    @returns_result
    async def sync_api(self, api_spec: ObjectSpec, tenant_id: str) -> AdapterResult:
        """Write one route for each of the API's, then remove those that it no longer has.

        `tenant_id` is the tenant under which the gateway counts it. `resource_id` names all routes.
        """
        extensions = await self._known()
        missing = rules.lacks(api_spec.value, extensions)
        if missing is not None:
            return unsupported(f"this gateway has no {missing}")
        routes = mappers.routes_of(api_spec, tenant_id, extensions)
        for route in routes:
            await self._client.put(ROUTES, route)
        ids = [str(route["id"]) for route in routes]
        await self._remove_stale(api_spec, ids)
        return ok(mappers.joined(ids))

    async def _remove_stale(self, spec: ObjectSpec, ids: Sequence[str]) -> None:
        """Remove routes of an earlier form: those we know of, or else whatever follows in our numbering."""
        if spec.gateway_id is not None:
            for stale in set(mappers.separated(spec.gateway_id)) - set(ids):
                await self._client.delete(ROUTES, stale)
            return
        number = len(ids)
        while await self._client.delete(ROUTES, mappers.route_id(spec.key, self._owner, number)):
            number += 1

    @returns_result
    async def delete_api(self, api_id: str) -> AdapterResult:
        """Remove every route of an API."""
        for route in mappers.separated(api_id):
            await self._client.delete(ROUTES, route)
        return ok(api_id)

    async def list_apis(self) -> list[ListItem]:
        """Read all routes, put together to APIs."""
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
            await self._client.delete(
                POLICIES, policy_spec.gateway_id
            )  # adopted: ours took its place
        return result

    @returns_result
    async def delete_policy(self, policy_id: str) -> AdapterResult:
        """Remove a policy."""
        await self._client.delete(POLICIES, policy_id)
        return ok(policy_id)

    async def list_policies(self) -> list[ListItem]:
        """Read all policies."""
        return list(await self.list_cached(POLICY))

    # consumers

    @returns_result
    async def provision_application(self, app_spec: ObjectSpec) -> AdapterResult:
        """Write a consumer; its keys are hashed here and never travel."""
        types = rules.credential_types(app_spec.value)
        for capability in ("application", *(f"credential:{name}" for name in types)):
            refusal = await self._refusal(capability)
            if refusal is not None:
                return refusal
        return await self._put(CONSUMERS, mappers.consumer_of(app_spec))

    @returns_result
    async def deprovision_application(self, app_id: str) -> AdapterResult:
        """Remove a consumer; a gateway without consumers has none to remove."""
        if "consumers" in await self._known():
            await self._client.delete(CONSUMERS, app_id)
        return ok(app_id)

    async def list_applications(self) -> list[ListItem]:
        """Read all consumers; a gateway without consumers has none."""
        return list(await self.list_cached(APPLICATION))

    # beside the eighteen

    async def list_cached(self, kind: str) -> Sequence[ListItem]:
        """Read one list, and keep it packed: an unchanged one is the very one of the last time."""
        extensions, owner = await self._known(), self._owner
        if kind == API:
            return await self._client.listed(
                ROUTES, lambda routes: PackedList(mappers.apis_from(routes, owner, extensions))
            )
        if kind == POLICY:
            return await self._client.listed(
                POLICIES, lambda policies: PackedList(mappers.policies_from(policies, owner))
            )
        if "consumers" not in extensions:
            return ()
        return await self._client.listed(
            CONSUMERS, lambda consumers: PackedList(mappers.consumers_from(consumers, owner))
        )

    # within

    async def _known(self) -> Extensions:
        """Return the gateway's extensions, asking where nobody did yet; raises GatewayError."""
        if self._extensions is None:
            self._extensions = rules.named_in(await self._client.health())
        return self._extensions

    async def _refusal(self, capability: str) -> AdapterResult | None:
        found = capabilities_of(await self._known()).get(capability)
        if found is not None and found.supported:
            return None
        reason = found.reason if found else "unknown to this adapter"
        return unsupported(f"this gateway has no {capability} ({reason})")

    async def _put(self, collection: str, body: Mapping[str, Value]) -> AdapterResult:
        await self._client.put(collection, body)
        return ok(str(body["id"]))

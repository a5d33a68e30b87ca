"""GatewayAdapter of the template: thin methods over the client, without state of their own."""

from __future__ import annotations

from stoa_gitops.adapter_sdk.apply_each import ResourceAdapter
from stoa_gitops.adapter_sdk.contract import (
    AdapterResult,
    GatewayAdapter,
    ListItem,
    ObjectSpec,
    method_not_supported,
)
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapter_sdk.results import ok, returns_result, unsupported
from stoa_gitops.adapter_sdk.unreadable import read_each
from stoa_gitops.adapters.template import mappers
from stoa_gitops.adapters.template.client import LIMITS, SERVICES, TemplateClient
from stoa_gitops.model.keys import API, POLICY


def build(connection: Connection) -> GatewayAdapter:
    """Return the adapter of one connection."""
    return TemplateAdapter(connection.owner, TemplateClient(AdminClient(connection)))


class TemplateAdapter(ResourceAdapter):
    """An imaginary gateway; `@returns_result` turns what the client raises into results."""

    title = "Template gateway"

    def __init__(self, owner: str, client: TemplateClient) -> None:
        self._owner = owner
        self._client = client

    @returns_result
    async def health_check(self) -> AdapterResult:
        """Return the version."""
        return ok(data={"version": await self._client.version()})

    async def connect(self) -> None:
        """Nothing to do: connections open with the first call."""

    async def disconnect(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    @returns_result
    async def sync_api(self, api_spec: ObjectSpec, tenant_id: str) -> AdapterResult:
        """Write a service. An adopted one keeps its id and gets our tags."""
        # The id of the gateway first: an adopted service has one that is not ours.
        service_id = api_spec.gateway_id or api_spec.identifier
        await self._client.put(SERVICES, service_id, mappers.service_of(api_spec))
        return ok(service_id)

    @returns_result
    async def delete_api(self, api_id: str) -> AdapterResult:
        """Remove a service."""
        await self._client.delete(SERVICES, api_id)
        return ok(api_id)

    async def list_apis(self) -> list[ListItem]:
        """Read all services; raises GatewayError."""
        services = await self._client.list_objects(SERVICES)
        return read_each(API, services, lambda one: mappers.from_service(one, self._owner))

    @returns_result
    async def upsert_policy(self, policy_spec: ObjectSpec) -> AdapterResult:
        """Write a limit; refuses policy types that the gateway would store and not enforce."""
        if policy_spec.value["type"] != "rate_limit":
            return unsupported(f"this gateway has no policy of type {policy_spec.value['type']}")
        limit_id = policy_spec.gateway_id or policy_spec.identifier
        await self._client.put(LIMITS, limit_id, mappers.limit_of(policy_spec))
        return ok(limit_id)

    @returns_result
    async def delete_policy(self, policy_id: str) -> AdapterResult:
        """Remove a limit."""
        await self._client.delete(LIMITS, policy_id)
        return ok(policy_id)

    async def list_policies(self) -> list[ListItem]:
        """Read all limits; raises GatewayError."""
        limits = await self._client.list_objects(LIMITS)
        return read_each(POLICY, limits, lambda one: mappers.from_limit(one, self._owner))

    async def provision_application(self, app_spec: ObjectSpec) -> AdapterResult:
        """This gateway has no consumers."""
        return method_not_supported(self.title)

    async def deprovision_application(self, app_id: str) -> AdapterResult:
        """Succeed: there can be no consumer."""
        return ok(app_id)

    async def list_applications(self) -> list[ListItem]:
        """Return none, without asking: this gateway has no consumers."""
        return []

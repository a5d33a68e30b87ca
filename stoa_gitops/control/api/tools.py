"""What STOA's gateway asks for beside its routes: tools, and the APIs that it makes tools of.

It asks for APIs and permissions without its key (seen with 0.9.25), and gets an empty list then.
"""

from __future__ import annotations

from stoa_gitops.control.api.registrations import check_environment
from stoa_gitops.control.auth import Access, key_of
from stoa_gitops.control.route import ApiRequest, route
from stoa_gitops.control.wire import (
    AnyQuery,
    ApisView,
    GatewayIdQuery,
    GeneratedToolsView,
    PermissionsView,
    TenantQuery,
    ToolsView,
)


@route(
    "GET",
    "/v1/internal/gateways/tools",
    "gatewayTools",
    "Tools of the control plane; there are none",
    access=Access.GATEWAY_KEY,
    query=AnyQuery,
    response=ToolsView,
    is_lenient=True,
)
async def get_tools(_: ApiRequest[AnyQuery, None]) -> ToolsView:
    """Return no tools."""
    return ToolsView(tools=[])


@route(
    "GET",
    "/v1/internal/gateways/tools/generated",
    "generatedTools",
    "Tools made from contracts of a tenant; there are none",
    access=Access.GATEWAY_KEY,
    query=TenantQuery,
    response=GeneratedToolsView,
    is_lenient=True,
)
async def get_generated_tools(request: ApiRequest[TenantQuery, None]) -> GeneratedToolsView:
    """Return no tools."""
    return GeneratedToolsView(tenant_id=request.query.tenant_id, tools=[], total=0)


@route(
    "GET",
    "/v1/internal/catalog/apis",
    "catalogApis",
    "APIs of one gateway, for whoever has its key; nothing for others",
    access=Access.OPTIONAL_KEY,
    query=GatewayIdQuery,
    response=ApisView,
    failures=(403, 404, 503),
    is_lenient=True,
)
async def get_apis(request: ApiRequest[GatewayIdQuery, None]) -> ApisView:
    """Return the APIs of a gateway."""
    if key_of(request.raw) is None:
        return ApisView(apis=[])
    fleet = request.context.fleet
    member = fleet.get(request.query.gateway_id)
    check_environment(request, member.registration.environment)
    apis = await fleet.publications.apis(member.registration.id)
    return ApisView(apis=[dict(one) for one in apis])


@route(
    "GET",
    "/v1/internal/catalog/apis/expanded",
    "expandedApis",
    "Tools made from operations of APIs; there are none",
    access=Access.OPTIONAL_KEY,
    query=GatewayIdQuery,
    response=ToolsView,
    is_lenient=True,
)
async def get_expanded_apis(_: ApiRequest[GatewayIdQuery, None]) -> ToolsView:
    """Return no tools."""
    return ToolsView(tools=[])


@route(
    "GET",
    "/v1/tenants/{tenant}/tool-permissions",
    "toolPermissions",
    "Permissions of a tenant's tools; there are none",
    access=Access.OPTIONAL_KEY,
    query=AnyQuery,
    response=PermissionsView,
    is_lenient=True,
)
async def get_permissions(_: ApiRequest[AnyQuery, None]) -> PermissionsView:
    """Return no permissions: what is absent is denied."""
    return PermissionsView(items=[], total=0)

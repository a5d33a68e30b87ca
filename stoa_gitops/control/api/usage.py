"""What callers of the embedded gateway used."""

from __future__ import annotations

from stoa_gitops.control.auth import Access
from stoa_gitops.control.bodies import UsageQuery
from stoa_gitops.control.process_port import UsageAsked
from stoa_gitops.control.route import ApiRequest, route
from stoa_gitops.operations.usage_views import UsagePage


@route(
    "GET",
    "/v1/usage",
    "usage",
    "What callers of the embedded gateway used, by API and application",
    query=UsageQuery,
    response=UsagePage,
    failures=(403, 409),
    access=Access.TENANT,
)
async def get_usage(request: ApiRequest[UsageQuery, None]) -> UsagePage:
    """Return requests, errors, bytes and seconds of the hours that are asked for."""
    query = request.query
    asked = UsageAsked(
        query.start,
        query.end,
        request.limit_tenant(query.tenant),
        query.api,
        query.application,
        is_total=query.by == "total",
    )
    return await request.context.operations.usage(asked)

"""What callers of the embedded gateway and of registered ones used."""

from __future__ import annotations

from typing import Final

from stoa_gitops.control.api.registrations import member_of
from stoa_gitops.control.auth import Access
from stoa_gitops.control.bodies import UsageQuery
from stoa_gitops.control.problems import Problem
from stoa_gitops.control.process_port import UsageAsked
from stoa_gitops.control.route import ApiRequest, route
from stoa_gitops.control.wire import AnyQuery, UsageBody
from stoa_gitops.operations.usage_views import UsagePage
from stoa_gitops.store import UsageRow

MAX_USAGE: Final = 1024 * 1024


@route(
    "GET",
    "/v1/usage",
    "usage",
    "What callers of our gateways used, by API and application",
    query=UsageQuery,
    response=UsagePage,
    failures=(403, 404, 409),
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
        query.gateway,
        is_total=query.by == "total",
    )
    return await request.context.operations.usage(asked)


@route(
    "POST",
    "/v1/internal/gateways/{id}/usage",
    "reportUsage",
    "What a gateway has counted: the sums of hours, so that a report may come twice",
    access=Access.GATEWAY_KEY,
    query=AnyQuery,
    body=UsageBody,
    response=None,
    success=204,
    failures=(403, 404),
    is_lenient=True,
    max_body=MAX_USAGE,
)
async def take_usage(request: ApiRequest[AnyQuery, UsageBody]) -> None:
    """Take a report; it is stored when this is answered."""
    member = member_of(request)
    own = member.registration.tenant_id
    if own and any(one.tenant_id != own for one in request.body.usage):
        raise Problem(403, "Forbidden", f"{member.name} is of one tenant, and counts no others")
    rows = [
        UsageRow(
            one.hour, one.tenant_id, one.api_id, one.application_id, one.requests, one.errors,
            one.refused, one.received_bytes, one.sent_bytes, one.seconds,
        )
        for one in request.body.usage
    ]  # fmt: skip
    await request.context.operations.take_usage(member.name, request.body.source, rows)

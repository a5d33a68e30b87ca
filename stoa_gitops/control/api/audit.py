"""The audit trail."""

from __future__ import annotations

from stoa_gitops.control.bodies import AuditQuery
from stoa_gitops.control.route import ApiRequest, route
from stoa_gitops.operations.views import AuditEntryView, AuditPage


@route(
    "GET",
    "/v1/audit",
    "audit",
    "Who did what, newest first",
    query=AuditQuery,
    response=AuditPage,
)
async def list_audit(request: ApiRequest[AuditQuery, None]) -> AuditPage:
    """Return a page of the audit trail; the cursor is the last id."""
    query = request.query
    # One entry more than asked for says whether there is a next page.
    entries = await request.context.operations.audit(query.gateway, query.limit + 1, query.cursor)
    page = entries[: query.limit]
    return AuditPage(
        items=[AuditEntryView.of(entry) for entry in page],
        next=str(page[-1].id) if len(entries) > query.limit else None,
    )

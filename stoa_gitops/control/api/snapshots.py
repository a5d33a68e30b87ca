"""Requests that the embedded gateway answered 500 or above."""

from __future__ import annotations

from stoa_gitops.control.auth import Access
from stoa_gitops.control.bodies import SnapshotQuery
from stoa_gitops.control.route import ApiRequest, route
from stoa_gitops.operations.snapshot_views import SnapshotPage


@route(
    "GET",
    "/v1/snapshots",
    "snapshots",
    "Requests that the embedded gateway answered 5xx, newest first",
    query=SnapshotQuery,
    response=SnapshotPage,
    failures=(403, 409),
    access=Access.TENANT,
)
async def list_snapshots(request: ApiRequest[SnapshotQuery, None]) -> SnapshotPage:
    """Return a page of snapshots, without bodies and credentials."""
    query = request.query
    return await request.context.operations.snapshots(
        request.limit_tenant(query.tenant), query.api, query.limit, query.cursor
    )

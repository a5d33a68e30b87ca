"""Snapshots of errors of the embedded gateway, as pydantic models: what `/v1/snapshots` answers.

Fields are those of the data plane's `/admin/snapshots`, in camelCase on the wire.
"""

from __future__ import annotations

from typing import Literal

from stoa_gitops.operations.views import Page, Timestamp, View


class DecidedPolicyView(View):
    """What one policy that decides about requests did."""

    type: str
    id: str
    """Empty for one that the gateway adds by itself."""
    name: str
    verdict: Literal["passed", "refused", "not reached", "unavailable"]
    duration_us: float | None = None
    """Microseconds, waiting included; null where it was not asked: it is not reached, or a request
    like this one had passed."""
    waited_ms: float | None
    """null for one that waited for nothing."""


class BackendCallView(View):
    """One attempt to call a backend."""

    upstream: str
    """Its URL without query."""
    status: int | None
    failure: str | None
    """Why it has no status: unreachable, no-answer, bad-answer, denied, timeout, busy."""
    began_ms: float
    """After the request's beginning."""
    duration_ms: float


class SnapshotView(View):
    """A request that was answered 500 or above, without bodies and credentials."""

    request_id: str
    timestamp: Timestamp
    tenant_id: str
    """Empty for a request without a route."""
    api_id: str
    route_id: str
    consumer_id: str | None
    api: str = ""
    """Its name in the catalog, and that of `consumer`, an application; empty where the catalog has
    none of this id now."""
    consumer: str = ""
    method: str
    path: str
    query: str
    """Names of its parameters; their values are never kept."""
    client_address: str
    status_code: int
    error_category: Literal["backend", "backend_failed", "policy", "gateway", "no_route"]
    failure: str | None
    """Why no backend answered."""
    fallback: str | None
    """Why the fallback was used."""
    duration_ms: float
    request_headers: list[tuple[str, str]]
    response_headers: list[tuple[str, str]]
    policies: list[DecidedPolicyView]
    """In the order in which they run."""
    policies_ms: float
    """Until a backend was called, or the request was refused."""
    calls: list[BackendCallView]
    trace_id: str | None


class SnapshotPage(Page[SnapshotView]):
    """Snapshots of errors, newest first."""

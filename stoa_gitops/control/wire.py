"""Documents of STOA's gateways: what they send is read leniently, what they get is in snake_case.

Fields and meanings are those of contract stoa.md §2.2 and §16.3; a gateway sends fields that no
document has, so unknown ones are ignored.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from stoa_gitops.operations.views import View

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""C0 and C1, breaks of lines, and what turns text around."""

MAX_TEXT: Final = 1_024
_MAX_URL: Final = 2_048
_MAX_PROOF: Final = 4_096
_MAX_OBJECTS: Final = 20_000
_MAX_STEPS: Final = 10
"""Of one route: the real gateway tells two. With a hundred, an acknowledgement of 4 MiB was half a
minute of work and 600 MiB."""
_MAX_USAGE: Final = 1_000
_LAST_HOUR: Final = 253_402_297_200
"""Of the year 9999."""
_MOST: Final = 10**15
"""Of a total: a gateway with a million requests per second reaches it in thirty years."""


def _is_printable(text: str) -> str:
    # A line break in a host name would be a line of its own in somebody's log.
    if _CONTROL.search(text):
        raise ValueError("no control characters")
    return text


def _without_password(text: str) -> str:
    # It is shown in lists, logs and the audit trail.
    if "@" in urlsplit(text).netloc:
        raise ValueError("a URL here has no user and no password")
    return text


def _short_proof(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is not None and len(json.dumps(value)) > _MAX_PROOF:
        raise ValueError(f"{_MAX_PROOF} characters of JSON at most")
    return value


Text: TypeAlias = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_is_printable)]
Word: TypeAlias = Annotated[str, Field(max_length=100), AfterValidator(_is_printable)]
Url: TypeAlias = Annotated[
    str,
    Field(max_length=_MAX_URL),
    AfterValidator(_is_printable),
    AfterValidator(_without_password),
]
Words: TypeAlias = Annotated[list[Word], Field(max_length=100)]
Total: TypeAlias = Annotated[int, Field(ge=0, le=_MOST)]


def _up_to(most: int) -> Any:
    """Return the bound of a list whose first wrong item ends the reading of it.

    Naming all mistakes of an acknowledgement of 4 MiB took a minute and 2 GiB.
    """
    return Field(max_length=most, fail_fast=True)


class Sent(BaseModel):
    """What a gateway sends; unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class GatewayNameQuery(Sent):
    """Whose routes are asked for."""

    gateway_name: Annotated[Text, Field(description="name of the gateway, in any spelling")] = ""


class GatewayIdQuery(Sent):
    """Whose APIs are asked for."""

    gateway_id: Annotated[Text, Field(description="id of the gateway")] = ""


class TenantQuery(Sent):
    """Whose tools are asked for."""

    tenant_id: Annotated[Text, Field(description="the tenant")] = ""


class AnyQuery(Sent):
    """Parameters that change nothing."""


class RegistrationBody(Sent):
    """What a gateway says of itself at its start."""

    hostname: Text
    mode: Word
    version: Word
    environment: Word = "dev"
    admin_url: Url
    capabilities: Words = []
    extensions: Words = []
    tenant_id: Word | None = None
    target_gateway_url: Url | None = None
    public_url: Url | None = None
    ui_url: Url | None = None
    endpoints: Annotated[dict[Word, Url], Field(max_length=50)] | None = None
    deployment_mode: Word | None = None
    target_gateway_type: Word | None = None
    topology: Word | None = None
    topology_proof: Annotated[dict[str, Any] | None, AfterValidator(_short_proof)] = None

    def further(self) -> tuple[tuple[str, str], ...]:
        """Return the further documented fields that were sent, sorted; trees as JSON."""
        found: dict[str, str] = {}
        for name in FURTHER:
            value = getattr(self, name)
            if value is not None:
                found[name] = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        return tuple(sorted(found.items()))


FURTHER: Final = (
    "target_gateway_url", "public_url", "ui_url", "endpoints", "deployment_mode",
    "target_gateway_type", "topology", "topology_proof",
)  # fmt: skip


class HeartbeatBody(Sent):
    """The figures of a heartbeat: totals since the gateway's start."""

    uptime_seconds: Total
    routes_count: Total = 0
    policies_count: Total = 0
    discovered_apis: Total = 0
    requests_total: Total | None = None
    error_rate: Annotated[float, Field(ge=0, le=1)] | None = None


class ReportedUsage(Sent):
    """What one application used of one API in one hour, as the gateway has it now."""

    hour: Annotated[int, Field(ge=0, le=_LAST_HOUR, multiple_of=3600)]
    tenant_id: Text
    api_id: Text
    application_id: Text = ""
    requests: Total
    errors: Total
    refused: Total
    received_bytes: Total
    sent_bytes: Total
    seconds: Annotated[float, Field(ge=0, le=_MOST)]


class UsageBody(Sent):
    """Hours that have changed since the last report; `source` is what counted them."""

    source: Annotated[Word, Field(min_length=8)]
    usage: Annotated[list[ReportedUsage], _up_to(_MAX_USAGE)]


@dataclass(slots=True)
class StepBody:
    """One step of what a gateway did with a route; no model: that takes three times as long."""

    name: Text = ""
    status: Word = ""
    detail: Annotated[str, Field(max_length=10_000)] | None = None


class SyncedRoute(Sent):
    """What a gateway did with one route."""

    deployment_id: Text
    status: Word
    error: Annotated[str, Field(max_length=10_000)] | None = None
    steps: Annotated[list[StepBody], _up_to(_MAX_STEPS)] | None = None
    generation: Total | None = None


class RouteAckBody(Sent):
    """What a gateway did with the routes that it fetched."""

    synced_routes: Annotated[list[SyncedRoute], _up_to(_MAX_OBJECTS)]


class SyncedPolicy(Sent):
    """What a gateway did with one policy."""

    policy_id: Text
    status: Word
    error: Annotated[str, Field(max_length=10_000)] | None = None


class PolicyAckBody(Sent):
    """What a gateway did with the policies that it fetched."""

    synced_policies: Annotated[list[SyncedPolicy], _up_to(_MAX_OBJECTS)]


class RefusedObject(Sent):
    """An object of a table that a gateway of ours did not take."""

    kind: Word
    id: Text
    error: Annotated[str, Field(max_length=10_000)] = ""


class TableAckBody(Sent):
    """What a gateway of ours did with a table."""

    etag: Word
    generation: Total
    status: Word
    error: Annotated[str, Field(max_length=10_000)] | None = None
    objects: Annotated[list[RefusedObject], _up_to(_MAX_OBJECTS)] = []


class Wire(View):
    """What a gateway gets: fields in snake_case."""

    model_config = ConfigDict(alias_generator=None)


class GatewayInstanceView(Wire):
    """A registered gateway, as STOA's control plane describes it."""

    id: str
    name: str
    display_name: str
    gateway_type: str
    environment: str
    tenant_id: str | None
    base_url: str
    target_gateway_url: str | None
    public_url: str | None
    ui_url: str | None
    endpoints: dict[str, str] | None
    deployment_mode: str | None
    target_gateway_type: str | None
    topology: str | None
    auth_config: dict[str, str]
    status: str
    """`online`, `degraded` or `offline`."""
    last_health_check: str | None
    """When it was last heard."""
    health_details: dict[str, int | float | str | None]
    """Its latest figures."""
    capabilities: list[str]
    version: str
    tags: list[str]
    mode: str
    protected: bool
    enabled: bool
    visibility: None
    source: str
    deleted_at: None
    deleted_by: None
    created_at: str
    updated_at: str


class GatewayConfigView(Wire):
    """What a gateway is to have."""

    gateway_id: str
    name: str
    environment: str
    tenant_id: str | None
    pending_deployments: list[dict[str, Any]]
    pending_policies: list[dict[str, Any]]


class RouteAckView(Wire):
    """How many routes of an acknowledgement are the gateway's own."""

    processed: int
    not_found: int


class PolicyAckView(Wire):
    """What was acknowledged."""

    gateway_id: str
    applied: int
    removed: int
    failed: int


class ToolsView(Wire):
    """Tools of a gateway; there are none yet."""

    tools: list[dict[str, Any]]


class GeneratedToolsView(Wire):
    """Tools of a tenant; there are none yet."""

    tenant_id: str
    tools: list[dict[str, Any]]
    total: int


class ApisView(Wire):
    """APIs of a gateway."""

    apis: list[dict[str, Any]]


class PermissionsView(Wire):
    """Permissions of a tenant's tools; there are none yet."""

    items: list[dict[str, Any]]
    total: int

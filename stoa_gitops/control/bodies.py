"""Queries and bodies that the control API takes, and documents that only it answers with.

What describes gateways is in `operations.views`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from stoa_gitops.operations.views import View

MAX_LIMIT: Final = 500
DEFAULT_LIMIT: Final = 50


def _parse_limit(text: object) -> int:
    # ASCII digits only: int() would take "٣", "+5" and "1_0", too.
    is_number = isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < 5
    if not is_number or not 1 <= int(str(text)) <= MAX_LIMIT:
        raise ValueError(f"limit is a number from 1 to {MAX_LIMIT}")
    return int(str(text))


def _parse_id(text: object) -> int:
    # An id is a 64-bit integer of SQLite; 18 digits always fit.
    if isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < 19:
        return int(text)
    raise ValueError("cursor is not one that a page ended with")


# `maxLength` is a promise to generators of clients, and not enforced: a longer text finds nothing.
Limit: TypeAlias = Annotated[
    int,
    Field(ge=1, le=MAX_LIMIT),  # for the schema: the parser has a message of its own
    BeforeValidator(_parse_limit),
    Field(description="items on one page"),
]
_CURSOR: Final = {"type": "string", "maxLength": 200}
_CURSOR_MEANING: Final = Field(description="`next` of the page before")
NameCursor: TypeAlias = Annotated[str, WithJsonSchema(_CURSOR), _CURSOR_MEANING]
IdCursor: TypeAlias = Annotated[
    int | None, BeforeValidator(_parse_id), WithJsonSchema(_CURSOR), _CURSOR_MEANING
]
GatewayName: TypeAlias = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "maxLength": 63}),
    Field(description="only this gateway"),
]


TenantName: TypeAlias = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "maxLength": 63}),
    Field(description="only this tenant"),
]
ApiName: TypeAlias = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "maxLength": 512}),
    Field(description="only this API: tenant/name, or its id on the gateway"),
]


def _parse_time(text: object) -> datetime:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        raise ValueError("from and to are times such as 2026-11-30T07:00:00Z") from None
    try:
        return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        raise ValueError("from and to are times of the years 1 to 9999") from None


Time: TypeAlias = Annotated[
    datetime | None,
    BeforeValidator(_parse_time),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class Query(BaseModel):
    """Parameters of a query; each may be given once, others are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoQuery(Query):
    """No parameters."""


class GatewayQuery(Query):
    """Which page of gateways; the cursor is the last name of the page before."""

    limit: Limit = DEFAULT_LIMIT
    cursor: NameCursor = ""


class AuditQuery(Query):
    """Which page of the audit trail; the cursor is the last id of the page before."""

    gateway: GatewayName = None
    limit: Limit = DEFAULT_LIMIT
    cursor: IdCursor = None


class SnapshotQuery(Query):
    """Which errors of the embedded gateway; the cursor is the last id of the page before."""

    tenant: TenantName = None
    api: ApiName = None
    limit: Limit = DEFAULT_LIMIT
    cursor: NameCursor = ""


class UsageQuery(Query):
    """Which hours of whose usage."""

    start: Time = Field(
        None, alias="from", description="begin with the hour of this time (default: a day before)"
    )
    end: Time = Field(None, alias="to", description="end with the hour before this time (now)")
    tenant: TenantName = None
    api: ApiName = None
    application: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "maxLength": 512}),
        Field(description="only this application: tenant/name, or its id on the gateway"),
    ] = None
    gateway: GatewayName = None
    by: Literal["hour", "total"] = Field("total", description="rows of each hour, or of all")

    @model_validator(mode="after")
    def _has_hours(self) -> UsageQuery:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("from must be before to")
        return self


class Suspension(BaseModel):
    """Why a gateway is suspended, for those who find it so."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field("", max_length=500)


class ReconcileRequest(BaseModel):
    """How a gateway is to be reconciled; `force` is the digest of a plan, 8 digits or more."""

    model_config = ConfigDict(extra="forbid", strict=True)

    force: str = Field("", pattern="^([0-9a-fA-F]{8,64})?$")


class StateView(View):
    """The state of the process in one word."""

    status: Literal["ok", "ready"]


class AcceptedView(View):
    """A delivery was taken; `duplicate` where it was taken before."""

    status: Literal["accepted", "duplicate"]


class ReconcileAcceptedView(View):
    """A reconcile was asked for."""

    status: Literal["accepted"]
    gateway: str


class ForgottenView(View):
    """A registered gateway was dropped."""

    status: Literal["forgotten"]
    gateway: str


class ProblemView(View):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str

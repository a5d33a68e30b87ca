"""What `plan`, `apply` and `validate` print as JSON, as pydantic models: the source of its schemas.

`report.json_output` writes these documents, for plans of tens of thousands of changes, without the
models; a law holds what it writes against the schemas that are generated from them. Names on the
wire are snake_case. Import this module late: pydantic costs about 0.1 s of start.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, RootModel

Count: TypeAlias = Annotated[int, Field(ge=0)]
Text: TypeAlias = Annotated[str, Field(min_length=1)]
KeyText: TypeAlias = Annotated[str, Field(pattern="^[^/]+/[^/]+/")]


class Document(BaseModel):
    """A closed document, or a part of one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class SourceView(Document):
    """A place in the catalog; line and column from 1."""

    path: str
    """Path in the catalog, from the repository's root where a prefix was given."""
    line: Annotated[int, Field(ge=1)]
    column: Annotated[int, Field(ge=1)]
    commit: str | None


class ObjectName(Document):
    """The object that an entry is about."""

    key: KeyText
    """The object for the command line: kind/tenant/name, with - where there is no tenant."""
    kind: Text
    """api, policy, application, …"""
    tenant: Text | None
    """null for what belongs to no tenant."""
    name: Text
    """Name within the tenant."""


class ShownFieldView(Document):
    """One changed field with its values."""

    path: list[str | int]
    """Names, and indexes from 0."""
    before: Any
    """The value on the gateway; null where it is not set."""
    after: Any
    """The value in the catalog; null where it is not set. A secret is {"$secret": "env:NAME"}."""


class WithheldView(Document):
    """Stands in place of values that are withheld."""

    note: Literal["changed", "not compared", ""]
    """Whether the values differ, as far as that can be told."""


class SensitiveFieldView(Document):
    """One changed field whose values are withheld."""

    path: list[str | int]
    """Names, and indexes from 0."""
    sensitive: WithheldView
    """The values are withheld."""


class ChangeView(ObjectName):
    """One change."""

    action: Literal["create", "update", "delete", "adopt"]
    direction: Literal["git-changed", "gateway-drifted", "both", "secret-changed", "unknown"]
    """Which side changed; secret-changed: a reference leads to another secret; unknown where
    nothing is recorded of the last apply."""
    reason: str
    """A message for people; may be empty."""
    source: SourceView | None
    """null for a deletion."""
    depends_on: list[str]
    """Keys that are applied first."""
    held: bool
    """Whether a guard keeps it back until a person forces it."""
    fields: list[ShownFieldView | SensitiveFieldView]


class SkipView(ObjectName):
    """One object that is left out of the plan."""

    reason: Literal[
        "Unsupported",
        "Unmanaged",
        "Protected",
        "Policy",
        "CatalogBroken",
        "Quarantined",
        "CredentialInUse",
        "SecretUnsuitable",
        "OtherTenant",
        "RouteHeld",
    ]
    """Why, in CamelCase."""
    message: str
    source: SourceView | None
    failure: bool
    """Whether something desired is not there because of this."""


class HoldView(Document):
    """Changes that wait for a person."""

    reason: str
    """Why, in CamelCase."""
    message: str
    keys: list[str]
    """The objects whose changes wait."""


class GatewayHead(Document):
    """What is said of a gateway whether it was observed or not."""

    gateway: Text
    """Name of the gateway in the catalog."""
    gateway_type: str
    title: str
    """The vendor's name and version as observed; may be empty."""
    warnings: list[str]


class ObservedGatewayView(GatewayHead):
    """The plan of a gateway that was observed."""

    complete: Literal[True]
    changes: list[ChangeView]
    """In the order in which they are applied."""
    skipped: list[SkipView]
    holds: list[HoldView]
    unchanged: Count
    """Objects that match already."""


class UnobservedGatewayView(GatewayHead):
    """A gateway that could not be observed: no changes are listed, because none are known."""

    complete: Literal[False]
    error: Text
    """Why it could not be observed."""
    # A factory instead of a default: the schema then shows none, because an absent list is not an
    # empty one.
    skipped: list[SkipView] = Field(default_factory=list, min_length=1)
    holds: list[HoldView] = Field(default_factory=list, min_length=1)


class PlanSummaryView(Document):
    """Numbers over all gateways that were observed."""

    create: Count
    update: Count
    delete: Count
    adopt: Count
    skipped: Count
    held: Count
    """Changes that wait for a person."""
    unchanged: Count
    not_observed: Count
    """Gateways that could not be observed."""


class PlanHead(Document):
    """The parts of a plan that its report has, too."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    revision: str
    """What was planned, as main@3f2a91c."""
    base: str | None
    """The revision that stood for the gateways; null where they were asked."""
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 over all changes; any prefix of eight digits or more names the plan."""
    complete: bool
    """Whether every gateway was observed."""
    verdict: Literal["no-gateway", "incomplete", "held", "changes", "skips", "clean"]
    """What the plan amounts to, the most urgent that is true."""
    summary: PlanSummaryView


class PlanView(PlanHead):
    """What would change on each gateway."""

    tenants: Count
    """Tenants of the catalog."""
    gateways: list[ObservedGatewayView | UnobservedGatewayView]


class PlanLine(PlanHead):
    """The first line of --output jsonl."""

    type: Literal["plan"]
    tenants: Count
    """Tenants of the catalog."""
    gateways: Count
    """How many gateway lines follow."""


class ObservedGatewayLine(GatewayHead):
    """A gateway that was observed; the lines of what is in its plan follow."""

    type: Literal["gateway"]
    complete: Literal[True]
    unchanged: Count
    """Objects that match already."""


class UnobservedGatewayLine(GatewayHead):
    """A gateway that could not be observed."""

    type: Literal["gateway"]
    complete: Literal[False]
    error: Text
    """Why it could not be observed."""


class ChangeLine(ChangeView):
    """A change on the gateway that is named."""

    type: Literal["change"]
    gateway: Text
    """Name of the gateway in the catalog."""


class SkipLine(SkipView):
    """A skipped object of the gateway that is named."""

    type: Literal["skip"]
    gateway: Text
    """Name of the gateway in the catalog."""


class HoldLine(HoldView):
    """A hold of the gateway that is named."""

    type: Literal["hold"]
    gateway: Text
    """Name of the gateway in the catalog."""


class Line(
    RootModel[
        PlanLine | ObservedGatewayLine | UnobservedGatewayLine | ChangeLine | SkipLine | HoldLine
    ]
):
    """One line of --output jsonl: the plan first, then each gateway and what is in it."""


class OutcomeView(ObjectName):
    """What happened to one change."""

    gateway: Text
    """Name of the gateway in the catalog."""
    action: Literal["create", "update", "delete", "adopt"]
    status: Literal["applied", "failed", "blocked", "quarantined", "unchanged"]
    reason: str
    """Why, in CamelCase; empty where it succeeded."""
    message: str
    """The vendor's message where it refused."""
    attempts: Count
    gateway_id: str | None
    """The vendor's own id."""
    warnings: list[str]
    source: SourceView | None
    """null for a deletion."""


class RecapView(Document):
    """The numbers of one gateway."""

    gateway: Text
    """Name of the gateway in the catalog."""
    converged: bool
    """Whether the gateway matches the catalog now."""
    error: str | None
    """Why the gateway could not be reconciled at all."""
    warnings: list[str]
    ok: Count
    """Objects that matched already."""
    changed: Count
    unreachable: Literal[0, 1]
    failed: Count
    skipped: Count
    quarantined: Count
    blocked: Count
    """Not tried, because something they need failed."""


class ReportView(PlanHead):
    """The plan as it was applied, and the outcome of each change."""

    gateways: list[ObservedGatewayView | UnobservedGatewayView]
    result: Literal["converged", "partial", "unreachable"]
    """converged: every gateway matches; unreachable: none could be reached; partial: something is
    left."""
    outcomes: list[OutcomeView]
    """In the order in which they happened, gateway by gateway."""
    recap: list[RecapView]
    """One for each gateway."""


class DiagnosticView(Document):
    """One finding with its position."""

    severity: Literal["error", "warning"]
    code: Text
    """Stable name of the rule, as schema.type."""
    message: str
    hint: str
    """What to do; may be empty."""
    pointer: Annotated[str, Field(pattern="^(/|$)")]
    """JSON pointer (RFC 6901) into the document."""
    width: Count
    """Characters the finding covers, from the column on."""
    source: SourceView


class DiagnosticsView(Document):
    """Everything that validation found, sorted by position."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    valid: bool
    """Whether there is no error; warnings do not count."""
    documents: Count | None
    """Documents of the catalog; null where they were not counted."""
    errors: Count
    warnings: Count
    diagnostics: list[DiagnosticView]


class SavedCatalogView(Document):
    """The catalog of a saved plan."""

    location: Text
    """The folder or URL of --catalog."""
    revision: str | None
    """What --revision asked for."""
    commit: str | None
    """The commit; null for the files of a folder."""
    owner: Text
    """The name of the catalog, which owns objects."""


class SavedSelectionView(Document):
    """What the plan was limited to."""

    gateways: list[str]
    environment: str | None
    tenant: str | None


class SavedGatewayView(Document):
    """One gateway of a saved plan."""

    name: Text
    gateway_type: Text
    address: Text
    """spec.baseUrl of its document."""
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 over the changes of this gateway."""


class SavedPlanView(Document):
    """A plan in a file, for `apply FILE`; holds no secret."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    program: Text
    """Version of stoa-gitops that made it; no other one applies it."""
    catalog: SavedCatalogView
    selection: SavedSelectionView
    keep_going: bool
    gateways: list[SavedGatewayView]
    plan: PlanView
    """What `plan --output json` printed."""
    checksum: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the rest as JSON with sorted keys and without blanks."""

"""Documents about gateways, as pydantic models: one model for each, whoever shows it.

`status` and `gateways` print them, the control API answers with them, and `openapi.json` and
`schemas/output/status.json` are generated from them. Import this module late in commands: pydantic
costs about 0.1 s of start.

Times are ISO 8601 texts, written by `datetime.isoformat()`: pydantic's own form of UTC ends in `Z`,
and readers of today get `+00:00`.

    view = GatewayView(name="kong-prod", type="kong", environment="prod", status="ONLINE", ...)
    json.dumps(view.document(), sort_keys=True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from stoa_gitops.model.conditions import Condition
    from stoa_gitops.model.resources import SourceRef
    from stoa_gitops.store import AuditEntry, Cycle, Quarantined

FORMAT_VERSION = "1.2"
"""Of the status: the second number grows with every addition, the first when a reader breaks."""

Timestamp: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Count: TypeAlias = Annotated[int, Field(ge=0)]


class View(BaseModel):
    """A document of the public interface: closed, and named in camelCase on the wire."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",  # a field that no schema has is an error where it is made
        frozen=True,
        use_attribute_docstrings=True,
        validate_by_name=True,
    )

    def document(self) -> dict[str, Any]:
        """Return the JSON tree."""
        return self.model_dump(mode="json", by_alias=True)


class ConditionView(View):
    """One condition of a gateway."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    """One word in CamelCase."""
    message: str
    last_transition: Timestamp
    """When the status last moved."""

    @classmethod
    def of(cls, condition: Condition) -> Self:
        """Return the view of a condition."""
        return cls(
            type=condition.type,
            status=condition.status.value,
            reason=condition.reason,
            message=condition.message,
            last_transition=condition.last_transition.isoformat(),
        )


class RegistrationView(View):
    """What a gateway that registered itself says of itself, and when it was heard."""

    id: str
    name: str
    """Of the gateway itself, without the document that binds it."""
    hostname: str
    """As given; the name is made from it."""
    mode: str
    version: str
    tenant: str | None
    """The only tenant whose objects it takes."""
    registered_at: Timestamp
    """For the first time."""
    started_at: Timestamp
    """When it registered last."""
    since: Timestamp
    """Of its status."""
    last_beat_at: Timestamp | None
    """null where it never sent a heartbeat."""
    uptime: Count | None
    """Seconds, as of its last heartbeat; null, as what follows, where this process heard none."""
    routes: Count | None
    policies: Count | None
    requests: Count | None
    """Since it started; null where it does not tell."""
    error_rate: float | None
    """Share of its requests that failed between its last heartbeats, 0 to 1."""
    shared: bool
    """Whether several processes send heartbeats under this name."""
    registrations: Count = 0
    """Within the last ten minutes, 20 at most: one that restarts over and over has many."""
    admin_url: str | None = None
    """Where it says that its admin API is; null where an earlier version answers."""


class GatewayView(View):
    """One gateway: an item of the status."""

    name: str
    type: str | None
    """null where only a process that reads the catalog knows it."""
    environment: str | None
    status: Literal["ONLINE", "DEGRADED", "OFFLINE"]
    """Of one that registered: by its heartbeats; of others: whether it could be read."""
    bound: bool
    """Whether the catalog has its document (that of the running process, or of the last one);
    an orphaned gateway is not bound, nor one that registered and that no document takes."""
    suspended: bool
    """By its document or by a person."""
    revision: str | None
    """Of its last cycle."""
    cycles: Count
    """Since the process started."""
    recap: dict[str, Count] | None
    """Numbers of its last cycle, as in the recap of apply."""
    conditions: list[ConditionView]
    registration: RegistrationView | None = None
    """null for a gateway that did not register itself."""


class SourceView(View):
    """A position in the catalog, counted from 1."""

    path: str
    line: int
    column: int

    @classmethod
    def of(cls, source: SourceRef | None) -> Self | None:
        """Return the view of a position, if there is one."""
        if source is None:
            return None
        return cls(path=source.path, line=source.line, column=source.column)


class QuarantinedView(View):
    """An object that the gateway refused, in the gateway's own words, with its position in the
    catalog."""

    key: str
    # The wire name is older than our word for it (message).
    words: str
    since: Timestamp
    source: SourceView | None

    @classmethod
    def of(cls, entry: Quarantined) -> Self:
        """Return the view of a quarantined object."""
        return cls(
            key=str(entry.key),
            words=entry.message,
            since=entry.since.isoformat(),
            source=SourceView.of(entry.source),
        )


class CycleView(View):
    """A cycle of the past that changed something."""

    revision: str
    digest: str
    actor: str
    started_at: Timestamp
    finished_at: Timestamp
    error: str | None
    outcomes: dict[str, int]
    """Numbers of outcomes by status."""

    @classmethod
    def of(cls, cycle: Cycle | None) -> Self | None:
        """Return the view of a cycle, if there was one."""
        if cycle is None:
            return None
        return cls(
            revision=cycle.revision,
            digest=cycle.digest,
            actor=cycle.actor,
            started_at=cycle.started_at.isoformat(),
            finished_at=cycle.finished_at.isoformat(),
            error=cycle.error,
            outcomes=dict(cycle.counts),
        )


class GatewayDetailView(GatewayView):
    """One gateway, with its quarantine and last cycle."""

    objects: Count
    """That we own there."""
    quarantined: list[QuarantinedView]
    last_cycle: CycleView | None

    @classmethod
    def extend(
        cls,
        gateway: GatewayView,
        *,
        objects: int,
        quarantined: list[QuarantinedView],
        last_cycle: CycleView | None,
    ) -> Self:
        """Return an item of the status together with what only one gateway is asked for."""
        # The fields themselves, not a dump of them: they are frozen and validated already.
        fields = {name: getattr(gateway, name) for name in GatewayView.model_fields}
        return cls(**fields, objects=objects, quarantined=quarantined, last_cycle=last_cycle)


class CatalogView(View):
    """The catalog that a process follows."""

    owner: str | None
    revision: str | None
    """In force; null before the first reading."""
    errors: Count | None
    warnings: Count | None
    unreadable: str | None
    """Why the last reading failed; the revision before it stays in force."""


class StatusView(View):
    """How the catalog and its gateways are: asked of the running process, or as the store
    remembers them."""

    # snake_case, as in all other documents of schemas/output: readers check it first.
    format_version: Annotated[str, Field(alias="format_version", pattern=r"^1\.[0-9]+$")]
    """MAJOR.MINOR: a minor version adds, a major one breaks."""
    source: Literal["process", "store"]
    """process: a running one was asked; store: none runs, this is what it last knew."""
    version: str
    """Of the program that answers."""
    ready: bool
    """Whether every gateway had its first cycle."""
    well: bool
    """Whether a process runs without troubles, the catalog can be read and every gateway matches
    it. `status` exits 1 otherwise."""
    troubles: list[str]
    """What is wrong in the process itself, and with no gateway: messages for people."""
    catalog: CatalogView
    items: list[GatewayView]
    """Sorted by name."""
    # A status is never paged; it is shaped like a page, so that readers of pages take it.
    next: None


class AuditEntryView(View):
    """One line of the audit trail."""

    id: int
    at: Timestamp
    actor: str
    gateway: str
    key: str
    action: str
    status: str
    message: str

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        """Return the view of an entry."""
        return cls(
            id=entry.id,
            at=entry.at.isoformat(),
            actor=entry.actor,
            gateway=entry.gateway,
            key=entry.key,
            action=entry.action,
            status=entry.status,
            message=entry.message,
        )


ItemT = TypeVar("ItemT", bound=View)


class Page(View, Generic[ItemT]):
    """Some items of a list, and where the next ones begin."""

    items: list[ItemT]
    next: str | None
    """Cursor of the next page; null on the last one."""


class GatewayPage(Page[GatewayView]):
    """Gateways, sorted by name."""


class AuditPage(Page[AuditEntryView]):
    """Entries of the audit trail, newest first."""

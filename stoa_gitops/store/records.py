"""What goes into the store and comes out of it, beside the values of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome
from stoa_gitops.model.resources import AppliedRecord, SourceRef


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """Whose inventory of which gateway: one catalog (`owner`), one gateway, one base URL."""

    owner: str
    gateway: str
    base_url: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One object that a gateway refused: set aside while spec and gateway version stay the same.

    spec_digest  `Spec.digest` of what was refused; words are the vendor's, without secrets
    since        when it was first refused as it is; tried_at: when last, None for `since`
    source       where it stands in the catalog; None where an earlier version did not write it down
    """

    key: Key
    spec_digest: str
    gateway_version: str
    message: str
    since: datetime
    tried_at: datetime | None = field(default=None, compare=False)
    source: SourceRef | None = None

    @property
    def last_try(self) -> datetime:
        """When the gateway was last asked to take it."""
        return self.tried_at or self.since


@dataclass(frozen=True, slots=True)
class CycleEntry:
    """What one cycle leaves behind, written in one transaction.

    records      inventory entries to write; a record lifts the quarantine of its key
    removed      keys whose entries and quarantine go
    outcomes     history, and the audit trail but for what was unchanged or blocked
    quarantined  objects that the gateway refused
    error        why the gateway could not be worked, in words without secrets
    """

    actor: str
    revision: str
    digest: str
    started_at: datetime
    outcomes: tuple[Outcome, ...] = ()
    records: tuple[AppliedRecord, ...] = ()
    removed: tuple[Key, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Cycle:
    """One cycle of the past; `counts` are outcomes by status."""

    id: int
    scope: Scope
    actor: str
    revision: str
    digest: str
    started_at: datetime
    finished_at: datetime
    error: str | None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PastOutcome:
    """One outcome of a past cycle, as text: the specs are not kept."""

    key: Key
    action: str
    status: str
    reason: str
    message: str
    attempts: int
    gateway_id: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to which object, and how it ended. `key` is text: not everything audited has a Key."""

    at: datetime
    actor: str
    gateway: str
    key: str
    action: str
    status: str
    message: str = ""
    id: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to one gateway until `expires_at`; `token` proves it."""

    gateway: str
    holder: str
    token: str
    host: str
    pid: int
    acquired_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Retention:
    """How much history is kept: cycles for each gateway, entries of the audit trail in all."""

    cycles: int = 200
    audit: int = 50_000


MESSAGE_LIMIT = 2_000
"""Characters of a message that are kept."""


def cut(message: str) -> str:
    """Return a message short enough to keep."""
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"


def text_of(moment: datetime) -> str:
    """Write an aware time so that text sorts as time does."""
    if moment.tzinfo is None:
        raise ValueError("times in the store carry a zone")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")

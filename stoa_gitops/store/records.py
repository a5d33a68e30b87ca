"""Values that go into the store and come out of it, beside those of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from stoa_gitops.model.conditions import Condition
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
    """One object that a gateway refused, skipped while spec and gateway version stay the same.

    spec_digest  `Spec.digest` of what was refused
    message      the vendor's, without secrets
    since        when it was first refused with this spec; tried_at: when last, None for `since`
    source       its position in the catalog; None where an earlier version did not store it
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
    error        why the gateway could not be reconciled, without secrets
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
class AuditEntry:
    """Who did what to which object, with which result.

    `key` is text: not everything audited has a Key.
    """

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
class PublishedRecord:
    """What was last published for a gateway that fetches its configuration.

    gateway     id of its registration
    generation  number of the publication, from 1
    hmac        keyed hash of what was published, credentials included
    saved       the same without any credential, as the gateway's own file has it
    """

    gateway: str
    generation: int
    hmac: str
    saved: bytes
    revision: str
    published_at: datetime


class Version:
    """Opaque: equal to a later one as long as nobody wrote to the store between the two."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class StoredState:
    """Everything that planning needs of one gateway, read at one version of the store.

    base_url    under which the owner last reconciled the gateway, None if never
    conditions  of the gateway, sorted by type
    last_cycle  the number of its newest cycle, 0 without any
    others      the other owners that reconciled it at this base URL, where this one never did
    """

    version: Version
    scope: Scope
    records: Mapping[Key, AppliedRecord]
    quarantined: Mapping[Key, Quarantined]
    base_url: str | None
    conditions: tuple[Condition, ...]
    last_cycle: int
    others: tuple[str, ...] = ()


class UsageRow(NamedTuple):
    """What one application used of one API in one hour.

    hour            its start, in seconds since 1970
    received, sent  bytes of bodies, from and to callers
    seconds         of requests that were passed on
    """

    hour: int
    tenant_id: str
    api_id: str
    application_id: str
    requests: int
    errors: int
    refused: int
    received: int
    sent: int
    seconds: float


class UsageFilter(NamedTuple):
    """Hours in [start, end), in seconds since 1970, whose (None: all), and how many rows at most.

    `is_total` adds all hours up.
    """

    start: int
    end: int
    tenant_id: str | None
    api_id: str | None
    application_id: str | None
    gateway: str | None
    is_total: bool
    limit: int


@dataclass(frozen=True, slots=True)
class Retention:
    """How much history is kept: cycles for each gateway, entries of the audit trail in all.

    Of the audit trail the tenants that have most entries lose their oldest.
    """

    cycles: int = 200
    audit: int = 50_000


MESSAGE_LIMIT = 2_000
"""Characters of a message that are kept."""


def shorten(message: str) -> str:
    """Return a message of at most MESSAGE_LIMIT characters."""
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"


def time_text(moment: datetime) -> str:
    """Return an aware time as text that sorts as time does; ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("times in the store carry a zone")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def utc_now() -> datetime:
    """Return the time, aware: the clock of a store that is given none."""
    return datetime.now(UTC)

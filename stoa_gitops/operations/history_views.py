"""What `history`, `audit`, `events` and `state` print as JSON, as pydantic models.

They are the source of schemas; the commands write these documents without them.
"""

from __future__ import annotations

from typing import Any, Literal

from stoa_gitops.operations.output_views import Count, Document, KeyText, Text


class PastCycleView(Document):
    """One cycle of the past."""

    number: Count
    """Rises with each cycle of all gateways."""
    gateway: Text
    owner: Text
    """The catalog."""
    revision: Text
    digest: str
    """Of the plan that was applied; may be empty."""
    actor: Text
    """Who had it reconciled."""
    started_at: Text
    finished_at: Text
    error: str | None
    """Why the gateway could not be reconciled; null where it was."""
    outcomes: dict[str, int]
    """Numbers of outcomes by status; empty where nothing was to be changed."""


class HistoryView(Document):
    """Cycles, newest first."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    items: list[PastCycleView]


class TrailEntryView(Document):
    """One entry of the audit trail."""

    number: Count
    at: Text
    actor: Text
    gateway: str
    key: str
    """The object; empty where it was the gateway as a whole."""
    action: Text
    status: Text
    message: str


class AuditTrailView(Document):
    """Entries of the audit trail, newest first."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    items: list[TrailEntryView]


class EventView(Document):
    """One line of `events --output jsonl`."""

    at: Text
    source: Literal["cycle", "audit", "condition"]
    """cycle: one ended; audit: somebody did something; condition: a gateway is another one now."""
    gateway: str
    status: Text
    """A cycle finished or failed; an action has its outcome, a condition True, False or Unknown."""
    actor: str
    """Empty for conditions."""
    message: Text


class OwnedObjectView(Document):
    """One object that a catalog owns on a gateway."""

    gateway: Text
    owner: Text
    """The catalog."""
    base_url: Text
    """Under which the gateway was reached."""
    key: KeyText
    id: str
    """The id on the gateway; empty where it has none."""
    revision: str
    """Of the catalog, when it was applied last."""
    adopted: bool
    """It was there before the catalog had it."""
    protected: bool
    """A plan never deletes it."""


class OwnedObjectDetailView(OwnedObjectView):
    """The same with what was applied."""

    spec: dict[str, Any]
    """What was last applied, in canonical form; a secret is {"$secret": "env:NAME"}."""


class InventoryView(Document):
    """What `state list` prints."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    items: list[OwnedObjectView]


class InventoryDetailView(Document):
    """What `state show` prints; several where catalogs or addresses differ."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    items: list[OwnedObjectDetailView]

"""What happened to a change, and the recap of a gateway."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from stoa_gitops.model.changes import Change
from stoa_gitops.model.plan import Plan


class Status(Enum):
    """The end of one change."""

    APPLIED = "applied"
    FAILED = "failed"
    BLOCKED = "blocked"
    QUARANTINED = "quarantined"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one change; `message` is the vendor's words where it refused.

    `retry_after` is in seconds, where the gateway asked for patience.
    """

    change: Change
    status: Status
    reason: str = ""
    message: str = ""
    attempts: int = 1
    gateway_id: str = ""
    warnings: tuple[str, ...] = ()
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """A plan and what came of it. `error` is set when the gateway could not be worked at all."""

    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()

    def count(self, status: Status) -> int:
        """Return the number of outcomes with one status."""
        return sum(1 for outcome in self.outcomes if outcome.status is status)

    @property
    def is_converged(self) -> bool:
        """Whether the gateway now matches: every change tried and applied, nothing held back."""
        done = {
            o.change.key for o in self.outcomes if o.status in (Status.APPLIED, Status.UNCHANGED)
        }
        is_done = all(change.key in done for change in self.plan.changes)
        return self.error is None and self.plan.complete and is_done and not self.plan.has_failures


@dataclass(frozen=True, slots=True)
class ReportSet:
    """The reports of every gateway of one apply."""

    revision: str
    digest: str
    reports: tuple[Report, ...] = field(default=())

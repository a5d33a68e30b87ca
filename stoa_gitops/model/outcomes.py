"""Outcomes of changes, and reports of gateways."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from stoa_gitops.model.changes import Change
from stoa_gitops.model.plan import Plan


class Status(Enum):
    """How one change ended; the values are part of outputs, of the store and of metrics."""

    APPLIED = "applied"
    FAILED = "failed"
    BLOCKED = "blocked"
    QUARANTINED = "quarantined"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one change.

    message      that of the vendor if it refused, without secrets
    gateway_id   the vendor's id of the object, empty if nothing was written
    retry_after  in seconds, where the gateway asked for a pause
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
    """A plan with its outcomes. `error` is set if the gateway could not be reconciled at all."""

    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()

    def count(self, status: Status) -> int:
        """Return the number of outcomes with one status."""
        return sum(1 for outcome in self.outcomes if outcome.status is status)

    @property
    def is_converged(self) -> bool:
        """Whether the gateway now is as desired: every change applied, nothing skipped or held."""
        good = (Status.APPLIED, Status.UNCHANGED)
        succeeded = {o.change.key for o in self.outcomes if o.status in good}
        # Compared with the plan: a change without an outcome was not tried.
        has_all = all(change.key in succeeded for change in self.plan.changes)
        has_all = has_all and all(outcome.status in good for outcome in self.outcomes)
        return self.error is None and self.plan.complete and has_all and not self.plan.has_failures


@dataclass(frozen=True, slots=True)
class ReportSet:
    """The reports of every gateway of one apply."""

    revision: str
    digest: str
    reports: tuple[Report, ...] = field(default=())

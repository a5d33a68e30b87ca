"""What is true of a gateway or of the catalog, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class ConditionStatus(Enum):
    """Three values: a failed look is Unknown, never False."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    """One fact with its reason; `last_transition` moves only when `status` does."""

    type: str
    status: ConditionStatus
    reason: str
    message: str
    observed_generation: int
    last_transition: datetime


def transition(old: Condition | None, new: Condition) -> Condition:
    """Return `new`, keeping the time of the last transition when the status did not move."""
    if old is None or old.status is not new.status:
        return new
    return Condition(
        new.type, new.status, new.reason, new.message, new.observed_generation, old.last_transition
    )

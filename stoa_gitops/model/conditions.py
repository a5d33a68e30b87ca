"""Conditions of a gateway or of the catalog: status, reason, message, and since when.

Modelled on Kubernetes: `type`, `status`, `reason` in CamelCase, `message` for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Final


class ConditionStatus(Enum):
    """True, False or Unknown: what could not be observed is Unknown, never False."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionReason(StrEnum):
    """Why a condition has its status, where no error and no skip gives the reason.

    Others come from `errors` (`GatewayUnreachable`), from holds of a plan (`PruneBudget`) and from
    skips (`SkipReason`). `REASON_MEANINGS` explains each for the docs.
    """

    OBSERVED = "Observed"
    NOT_OBSERVED = "NotObserved"
    APPLIED = "Applied"
    NOT_APPLIED = "NotApplied"
    APPLY_FAILED = "ApplyFailed"
    NOT_CONVERGED = "NotConverged"
    QUARANTINED = "Quarantined"
    SUSPENDED = "Suspended"
    REQUESTED = "Requested"
    NOT_REQUESTED = "NotRequested"
    VALID = "Valid"
    CATALOG_INVALID = "CatalogInvalid"
    TAKEN = "Taken"
    NOT_TAKEN = "NotTaken"
    PUBLISHED = "Published"
    NOTHING = "NothingPublished"
    ASKS = "Asks"
    PUSHED = "Pushed"
    NEVER_ASKS = "NeverAsks"
    ASKS_THOUGH_PUSHED = "AsksThoughPushed"
    NO_DOCUMENT = "NoDocument"
    RIVALS = "SeveralDocuments"
    NO_GATEWAY = "NoGateway"
    SILENT = "Silent"
    HEARD = "Heard"
    ERRORS = "ErrorRate"
    RECOVERED = "Recovered"
    TOLD = "Told"


@dataclass(frozen=True, slots=True)
class ReasonMeaning:
    """Which condition gets a reason with which status, and when; `when` is for people."""

    condition: str
    status: str
    when: str


REASON_MEANINGS: Final[Mapping[ConditionReason, ReasonMeaning]] = {
    ConditionReason.OBSERVED: ReasonMeaning(
        "GatewayReachable", "True", "the last cycle read the gateway to the end"
    ),
    ConditionReason.NOT_OBSERVED: ReasonMeaning(
        "GatewayReachable, InSync", "False, Unknown", "it was not read, and no error says why"
    ),
    ConditionReason.APPLIED: ReasonMeaning(
        "InSync", "True", "the gateway is as the catalog says, whether or not there was a change"
    ),
    ConditionReason.NOT_APPLIED: ReasonMeaning(
        "InSync", "False", "nothing was applied: another process writes to the gateway"
    ),
    ConditionReason.APPLY_FAILED: ReasonMeaning(
        "InSync", "False", "a change failed; it is tried again with growing pauses"
    ),
    ConditionReason.NOT_CONVERGED: ReasonMeaning(
        "InSync", "False", "objects differ for a reason that no single object has"
    ),
    ConditionReason.QUARANTINED: ReasonMeaning(
        "InSync", "False", "the gateway refused an object in this cycle"
    ),
    ConditionReason.SUSPENDED: ReasonMeaning(
        "InSync", "False", "changes wait because the gateway is suspended"
    ),
    ConditionReason.REQUESTED: ReasonMeaning(
        "Suspended", "True", "a person, or `spec.suspended`, suspended the gateway"
    ),
    ConditionReason.NOT_REQUESTED: ReasonMeaning("Suspended", "False", "nobody suspended it"),
    ConditionReason.VALID: ReasonMeaning("CatalogReady", "True", "the last reading has no errors"),
    ConditionReason.CATALOG_INVALID: ReasonMeaning(
        "CatalogReady", "False", "documents are wrong; what was applied last replaces them"
    ),
    ConditionReason.TAKEN: ReasonMeaning(
        "Acknowledged",
        "True",
        "the gateway said that it has what is published; that proves receipt, not effect",
    ),
    ConditionReason.NOT_TAKEN: ReasonMeaning(
        "Acknowledged", "False", "the gateway said what of it it did not take"
    ),
    ConditionReason.PUBLISHED: ReasonMeaning(
        "Acknowledged", "Unknown", "it is published, and the gateway did not say anything yet"
    ),
    ConditionReason.NOTHING: ReasonMeaning(
        "Acknowledged",
        "Unknown",
        "the catalog has nothing for the gateway: it gets no table, which would delete what it has",
    ),
    ConditionReason.ASKS: ReasonMeaning(
        "Configurable", "True", "the gateway fetches what is published for it"
    ),
    ConditionReason.PUSHED: ReasonMeaning(
        "Configurable", "True", "it is written to by its admin API, and no longer asks"
    ),
    ConditionReason.NEVER_ASKS: ReasonMeaning(
        "Configurable",
        "False",
        "the gateway registered and never fetches anything: `STOA_ROUTE_RELOAD_ENABLED=true` on it,"
        " or `STOA_ADMIN_API_TOKEN` there and `auth` in its document",
    ),
    ConditionReason.ASKS_THOUGH_PUSHED: ReasonMeaning(
        "Configurable",
        "False",
        "it asks for routes (409) that it gets by its admin API: one of the two has to go",
    ),
    ConditionReason.NO_DOCUMENT: ReasonMeaning(
        "Bound", "False", "a gateway registered that no document names or matches"
    ),
    ConditionReason.RIVALS: ReasonMeaning(
        "Bound", "False", "several documents would take the gateway, so none does"
    ),
    ConditionReason.NO_GATEWAY: ReasonMeaning(
        "Bound", "False", "no gateway of this document has registered"
    ),
    ConditionReason.SILENT: ReasonMeaning(
        "Online", "False", "the heartbeats of a registered gateway have stopped"
    ),
    ConditionReason.HEARD: ReasonMeaning("Online", "True", "they came again"),
    ConditionReason.ERRORS: ReasonMeaning(
        "Healthy", "False", "too many of its requests fail, as its heartbeats say: it is DEGRADED"
    ),
    ConditionReason.RECOVERED: ReasonMeaning("Healthy", "True", "they no longer do"),
    ConditionReason.TOLD: ReasonMeaning(
        "Told", "True", "it was told to fetch its routes, by the token of `reloadTokenRef`, and did"
    ),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; `last_transition` changes only when `status` does.

    reason              a ConditionReason, or the reason of an error, a hold or a skip
    observed_generation number of the cycle, or of the catalog reading, that it was true after
    """

    type: str
    status: ConditionStatus
    reason: str
    message: str
    observed_generation: int
    last_transition: datetime


def transition(old: Condition | None, new: Condition) -> Condition:
    """Return `new`, with the time of the last transition of `old` if the status is the same."""
    # As in Kubernetes: a new reason or message is no transition.
    if old is None or old.status is not new.status:
        return new
    return Condition(
        new.type, new.status, new.reason, new.message, new.observed_generation, old.last_transition
    )

"""Conditions that follow from a cycle, or from a reading of the catalog. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

from stoa_gitops.drivers.route_probe import PROBE_FAILED
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.conditions import Condition, ConditionReason, ConditionStatus
from stoa_gitops.model.counts import counted
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Report, Status
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.reconcile.suspension import SUSPENDED

if TYPE_CHECKING:
    from stoa_gitops.reconcile.cycle import CycleResult

CATALOG: Final = "(catalog)"
"""The subject of the catalog's conditions; no gateway can have this name."""

REACHABLE: Final = "GatewayReachable"
IN_SYNC: Final = "InSync"
CATALOG_READY: Final = "CatalogReady"
TOLD: Final = "Told"
"""Whether a gateway that fetches was told to: of those whose document has a token for that."""

_MAX_WARNINGS: Final = 3


def cycle_conditions(result: CycleResult, generation: int, now: datetime) -> Iterator[Condition]:
    """Yield the conditions of a gateway after a cycle; `generation` is the number of the cycle."""
    report = result.report
    plan = report.plan

    def condition(kind: str, status: ConditionStatus, reason: str, message: str = "") -> Condition:
        return Condition(kind, status, reason, message, generation, now)

    if result.suspended:
        yield condition(
            SUSPENDED, ConditionStatus.TRUE, ConditionReason.REQUESTED, result.suspended
        )
    else:
        yield condition(SUSPENDED, ConditionStatus.FALSE, ConditionReason.NOT_REQUESTED)
    if not plan.complete:
        error = plan.error or "not observed"
        reason = result.reason or ConditionReason.NOT_OBSERVED
        yield condition(REACHABLE, ConditionStatus.FALSE, reason, error)
        yield condition(IN_SYNC, ConditionStatus.UNKNOWN, reason, error)
        return
    yield condition(REACHABLE, ConditionStatus.TRUE, ConditionReason.OBSERVED)
    if report.is_converged:
        message = "; ".join(plan.warnings[:_MAX_WARNINGS])
        yield condition(IN_SYNC, ConditionStatus.TRUE, ConditionReason.APPLIED, message)
    else:
        yield condition(
            IN_SYNC, ConditionStatus.FALSE, *_out_of_sync_reason(report, result.suspended)
        )


def failure_condition(reason: str, message: str, generation: int, now: datetime) -> Condition:
    """Return the condition after a cycle that failed on our side: the gateway is Unknown."""
    return Condition(IN_SYNC, ConditionStatus.UNKNOWN, reason, message, generation, now)


def _out_of_sync_reason(report: Report, suspended: str) -> tuple[str, str]:
    """Return reason and message of a gateway that is not as the catalog says."""
    # In the order in which a person can act on them; one reason has to be chosen.
    if report.error is not None:
        return ConditionReason.NOT_APPLIED, report.error
    if suspended:
        count = len(report.plan.changes)
        waiting = f"{counted(count, 'change')} {'waits' if count == 1 else 'wait'}"
        return ConditionReason.SUSPENDED, f"{waiting}: {suspended}"
    if report.plan.holds:
        hold = report.plan.holds[0]
        return hold.reason, hold.message
    # The first in plan order: later failures are often its consequences.
    failed = next((o for o in report.outcomes if o.status is Status.FAILED), None)
    if failed is not None:
        return ConditionReason.APPLY_FAILED, _with_source(
            failed.change.key, failed.change.source, failed.message
        )
    refused = next((o for o in report.outcomes if o.status is Status.QUARANTINED), None)
    if refused is not None:
        return ConditionReason.QUARANTINED, _with_source(
            refused.change.key, refused.change.source, refused.message
        )
    silent = next((o for o in report.outcomes if o.reason == PROBE_FAILED), None)
    if silent is not None:
        return PROBE_FAILED, _with_source(silent.change.key, silent.change.source, silent.message)
    skips = [skip for skip in report.plan.skipped if skip.is_failure]
    quarantined = [skip for skip in skips if skip.reason is SkipReason.QUARANTINED]
    if skips:
        skip = (quarantined or skips)[0]
        return skip.reason.value, _with_source(skip.key, skip.source, skip.explanation)
    return ConditionReason.NOT_CONVERGED, "some objects are not as the catalog says"


def _with_source(key: Key, source: SourceRef | None, message: str) -> str:
    """Return a message about an object with its line in the catalog, if it has one."""
    return f"{key} ({source.full}): {message}" if source else f"{key}: {message}"


def catalog_condition(catalog: Catalog, generation: int, now: datetime) -> Condition:
    """Return the condition after a reading of the catalog."""
    if not catalog.blocking_errors:
        return Condition(
            CATALOG_READY, ConditionStatus.TRUE, ConditionReason.VALID, "", generation, now
        )
    count = len(catalog.blocking_errors)
    message = (
        f"{count} error{'s' if count > 1 else ''}; "
        "what was applied last replaces the broken documents"
    )
    return Condition(
        CATALOG_READY,
        ConditionStatus.FALSE,
        ConditionReason.CATALOG_INVALID,
        message,
        generation,
        now,
    )


def unreadable_condition(reason: str, message: str, generation: int, now: datetime) -> Condition:
    """Return the condition after a reading that failed as a whole."""
    return Condition(CATALOG_READY, ConditionStatus.FALSE, reason, message, generation, now)

"""What a cycle, or a reading of the catalog, says about the state of things. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.conditions import Condition, ConditionStatus
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


def of_cycle(result: CycleResult, generation: int, now: datetime) -> Iterator[Condition]:
    """Yield the conditions of a gateway after a cycle; `generation` is the number of the cycle."""
    report = result.report
    plan = report.plan

    def condition(kind: str, status: ConditionStatus, reason: str, message: str = "") -> Condition:
        return Condition(kind, status, reason, message, generation, now)

    if result.suspended:
        yield condition(SUSPENDED, ConditionStatus.TRUE, "Requested", result.suspended)
    else:
        yield condition(SUSPENDED, ConditionStatus.FALSE, "NotRequested")
    if not plan.complete:
        error = plan.error or "not observed"
        reason = result.reason or "NotObserved"
        yield condition(REACHABLE, ConditionStatus.FALSE, reason, error)
        yield condition(IN_SYNC, ConditionStatus.UNKNOWN, reason, error)
        return
    yield condition(REACHABLE, ConditionStatus.TRUE, "Observed")
    if report.is_converged:
        yield condition(IN_SYNC, ConditionStatus.TRUE, "Applied")
    else:
        yield condition(IN_SYNC, ConditionStatus.FALSE, *_trouble(report, result.suspended))


def of_failure(reason: str, message: str, generation: int, now: datetime) -> Condition:
    """Return that a cycle ended before its end for a reason of ours: of the gateway nothing is known."""
    return Condition(IN_SYNC, ConditionStatus.UNKNOWN, reason, message, generation, now)


def _trouble(report: Report, suspended: str) -> tuple[str, str]:
    """Return why a gateway is not as the catalog says: the reason and a sentence."""
    if report.error is not None:
        return "NotApplied", report.error
    if suspended:
        return "Suspended", f"{len(report.plan.changes)} changes wait: {suspended}"
    if report.plan.holds:
        hold = report.plan.holds[0]
        return hold.reason, hold.message
    failed = next((o for o in report.outcomes if o.status is Status.FAILED), None)
    if failed is not None:
        return "ApplyFailed", _placed(failed.change.key, failed.change.source, failed.message)
    refused = next((o for o in report.outcomes if o.status is Status.QUARANTINED), None)
    if refused is not None:
        return "Quarantined", _placed(refused.change.key, refused.change.source, refused.message)
    skips = [skip for skip in report.plan.skipped if skip.is_failure]
    aside = next((s for s in skips if s.reason is SkipReason.QUARANTINED), None) or next(
        iter(skips), None
    )
    if aside is not None:
        return aside.reason.value, _placed(aside.key, aside.source, aside.message)
    return "NotConverged", "some objects are not as the catalog says"


def _placed(key: Key, source: SourceRef | None, words: str) -> str:
    """Return words about an object with its place in the catalog, where it has one."""
    return f"{key} ({source.full}): {words}" if source else f"{key}: {words}"


def of_catalog(catalog: Catalog, generation: int, now: datetime) -> Condition:
    """Return whether a reading found the catalog valid."""
    if not catalog.errors:
        return Condition(CATALOG_READY, ConditionStatus.TRUE, "Valid", "", generation, now)
    count = len(catalog.errors)
    words = f"{count} error{'s' if count > 1 else ''}; what was applied last stands in for what is broken"
    return Condition(CATALOG_READY, ConditionStatus.FALSE, "CatalogInvalid", words, generation, now)


def unreadable(reason: str, message: str, generation: int, now: datetime) -> Condition:
    """Return that the catalog could not be read at all."""
    return Condition(CATALOG_READY, ConditionStatus.FALSE, reason, message, generation, now)

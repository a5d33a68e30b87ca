"""What a failure keeps others from: dependants, and dependants of dependants. Pure."""

from __future__ import annotations

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.model.changes import Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status

REFUSALS = frozenset({"GatewayRefused", "Unsupported"})
"""Reasons that say no to this object as it is: sending it again changes nothing."""


class FailedDependencies:
    """Keys that did not make it so far, each with the key at the root of it."""

    def __init__(self) -> None:
        self._roots: dict[Key, Key] = {}

    def blocked(self, change: Change) -> Outcome | None:
        """Return the outcome of a change that waits for one that failed, and remember it as failed."""
        root = next((self._roots[key] for key in change.depends_on if key in self._roots), None)
        if root is None:
            return None
        self._roots[change.key] = root
        message = f"waits for {root}, which was not applied"
        return Outcome(change, Status.BLOCKED, "DependencyFailed", message, attempts=0)

    def record(self, outcome: Outcome) -> None:
        """Remember what became of a change."""
        if outcome.status not in (Status.APPLIED, Status.UNCHANGED):
            self._roots.setdefault(outcome.change.key, outcome.change.key)


def outcome_of(change: Change, result: AdapterResult) -> Outcome:
    """Return what an adapter's answer means for a change, in the vendor's own words where it refused."""
    if result.success:
        known = change.observed.gateway_id if change.observed else ""
        return Outcome(
            change,
            Status.APPLIED,
            gateway_id=result.resource_id or known,
            warnings=result.warnings,
        )
    refused = result.reason in REFUSALS
    return Outcome(
        change,
        Status.QUARANTINED if refused else Status.FAILED,
        result.reason,
        result.error or "the adapter failed without a word",
        warnings=result.warnings,
        retry_after=result.retry_after,
    )


def failure(change: Change, reason: str, message: str, *, attempts: int = 1) -> Outcome:
    """Return the outcome of a change that failed on our side of the wire."""
    return Outcome(change, Status.FAILED, reason, message, attempts=attempts)

"""Blocks the dependants of a failed change, and turns adapter results into outcomes. Pure."""

from __future__ import annotations

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.model.changes import Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status

REFUSALS = frozenset({"GatewayRefused", "ObjectConflict", "Unsupported"})
"""Reasons that reject the object as it is: sending it again changes nothing."""


class FailedDependencies:
    """Keys that were not applied so far, each with the key whose failure caused it."""

    def __init__(self) -> None:
        self._roots: dict[Key, Key] = {}

    def blocked_outcome(self, change: Change) -> Outcome | None:
        """Return BLOCKED for a change that depends on a failed one, and count it as failed too.

        None if nothing that it depends on failed.
        """
        root = next((self._roots[key] for key in change.depends_on if key in self._roots), None)
        if root is None:
            return None
        # Its own dependants name the first failure, not the change in between.
        self._roots[change.key] = root
        return blocked_by(change, root)

    def add_outcome(self, outcome: Outcome) -> None:
        """Take in the outcome of a change; a success adds nothing."""
        if outcome.status not in (Status.APPLIED, Status.UNCHANGED):
            self._roots.setdefault(outcome.change.key, outcome.change.key)


def blocked_by(change: Change, root: Key) -> Outcome:
    """Return the outcome of a change that is not tried because of another one."""
    message = f"waits for {root}, which was not applied"
    return Outcome(change, Status.BLOCKED, "DependencyFailed", message, attempts=0)


def outcome_of(change: Change, result: AdapterResult) -> Outcome:
    """Return the outcome of a change from an adapter's result, with the vendor's own message."""
    if result.success:
        observed_id = change.observed.gateway_id if change.observed else ""
        return Outcome(
            change,
            Status.APPLIED,
            gateway_id=result.resource_id or observed_id,
            warnings=result.warnings,
        )
    is_refused = result.reason in REFUSALS
    return Outcome(
        change,
        Status.QUARANTINED if is_refused else Status.FAILED,
        result.reason,
        result.error or "the adapter gave no error message",
        warnings=result.warnings,
        retry_after=result.retry_after,
    )


def failed_outcome(change: Change, reason: str, message: str, *, attempts: int = 1) -> Outcome:
    """Return the outcome of a change that failed before the gateway could answer."""
    return Outcome(change, Status.FAILED, reason, message, attempts=attempts)

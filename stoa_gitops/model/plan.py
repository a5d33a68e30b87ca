"""The plan of one gateway, and the set of plans of all gateways with its digest."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from stoa_gitops.model.canonical import canonical_bytes
from stoa_gitops.model.changes import Action, Change, Skip
from stoa_gitops.model.keys import Key


@dataclass(frozen=True, slots=True)
class Hold:
    """A guard's decision that changes are applied only by force; without `keys` all of them."""

    reason: str
    message: str
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Ordered changes plus skips for one gateway and revision.

    `complete` is False if the gateway could not be observed; `error` then says why, and there are
    no changes: an object that was not seen is not missing.
    """

    gateway: str
    gateway_type: str
    revision: str
    changes: tuple[Change, ...] = ()
    skipped: tuple[Skip, ...] = ()
    unchanged: int = 0
    holds: tuple[Hold, ...] = ()
    complete: bool = True
    error: str | None = None
    title: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the gateway was observed completely and needs no change."""
        return self.complete and not self.changes

    @property
    def counts(self) -> Counter[str]:
        """Numbers of changes by action."""
        return Counter(change.action.value for change in self.changes)

    def count(self, action: Action) -> int:
        """Return the number of changes with one action."""
        return sum(1 for change in self.changes if change.action is action)

    @property
    def held_keys(self) -> frozenset[Key]:
        """Keys whose changes are applied only by force."""
        return frozenset(key for hold in self.holds for key in hold.keys)

    @property
    def has_failures(self) -> bool:
        """Whether something desired is skipped."""
        return any(skip.is_failure for skip in self.skipped)

    def fingerprints(self) -> Iterator[bytes]:
        """Yield one canonical line for each change, from which the digest is computed."""
        for change in self.changes:
            yield canonical_bytes(
                [
                    self.gateway,
                    change.action.value,
                    str(change.key),
                    change.resource.spec.digest if change.resource else None,
                    change.observed.spec.digest if change.observed else None,
                    # A rotated secret must change the digest, or a review would cover another
                    # apply.
                    [list(pair) for pair in change.secret_hmacs],
                ]
            )


@dataclass(frozen=True, slots=True)
class PlanSet:
    """The plans of every gateway, made from one revision."""

    revision: str
    plans: tuple[Plan, ...]
    tenants: int = 0
    base: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 in hex over all changes, without revision, time and skips.

        The first eight digits are shown; a person may give any prefix of eight or more.
        """
        # Sorted: the order of gateways and of equal ranks says nothing about what is changed.
        lines = sorted(line for plan in self.plans for line in plan.fingerprints())
        return hashlib.sha256(b"\n".join(lines)).hexdigest()

    @property
    def is_complete(self) -> bool:
        """Whether every gateway was observed."""
        return all(plan.complete for plan in self.plans)

    @property
    def is_empty(self) -> bool:
        """Whether every gateway was observed and matches."""
        return all(plan.is_empty for plan in self.plans)

    def count(self, action: Action) -> int:
        """Return the number of changes with one action on all gateways."""
        return sum(plan.count(action) for plan in self.plans)

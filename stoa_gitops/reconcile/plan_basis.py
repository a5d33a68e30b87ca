"""What decides about the plan of a gateway whose actual state is our own; compares two moments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from stoa_gitops.model.identity import is_unchanged
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import AppliedRecord
from stoa_gitops.model.secret_rights import SecretRights
from stoa_gitops.reconcile.suspension import suspension_message
from stoa_gitops.store import StoredState

if TYPE_CHECKING:
    from stoa_gitops.reconcile.cycle import CycleResult
    from stoa_gitops.reconcile.session import Assignment

RECENT: Final = 1.0
"""Seconds for which HMACs of secrets serve other gateways, too: those of one document need the
same, and are looked at one after another. It is what a rotated secret may be noticed later."""


@dataclass(frozen=True, slots=True)
class DraftState:
    """A draft at one moment: equal as long as nobody wrote, and the gateway says the same.

    registration  all that the gateway says of itself
    answers       what of that decides how its draft answers, and for whom it is
    snapshot      its objects: those of two drafts are the same where this is the same object
    """

    registration: object
    answers: Hashable
    snapshot: object


class OwnDraft(Protocol):
    """The actual state of a gateway where it is our own."""

    @property
    def state(self) -> DraftState:
        """Return it as it is now."""
        ...

    def take(self, snapshot: Any) -> None:
        """Have the objects of another draft with the same answers, without writing them."""


@dataclass(frozen=True, slots=True)
class PlanBasis:
    """What decides about the plan of a gateway whose actual state is our own, at one moment.

    references  to the secrets that a plan needs, as (tenant, text)
    secrets     reference as text -> HMAC of its value, None when it does not resolve
    """

    assignment: Assignment
    draft: DraftState
    stored: StoredState
    references: frozenset[tuple[str, str]]
    secrets: Mapping[str, str | None]
    read_at: datetime

    @property
    def can_settle(self) -> bool:
        """Whether nothing decides that is not compared: when to try again, and who suspended."""
        is_suspended = self.assignment.instance.suspended or suspension_message(
            self.stored.conditions
        )
        return not (is_suspended or self.stored.quarantined)

    def is_same(self, other: PlanBasis) -> bool:
        """Whether a plan from the other one would be this one's."""
        ours, theirs = self.assignment, other.assignment
        return (
            self.draft == other.draft
            and is_unchanged(ours.desired.resources, theirs.desired.resources)
            and replace(ours.desired, resources={}) == replace(theirs.desired, resources={})
            and (ours.instance, ours.broken, ours.tenant)
            == (theirs.instance, theirs.broken, theirs.tenant)
            and is_unchanged(self.stored.records, other.stored.records)
            and _circumstances(self.stored) == _circumstances(other.stored)
            and self.secrets == other.secrets
        )

    def is_like(self, other: PlanBasis) -> bool:
        """Whether a plan from the other one, of another gateway, would be this one's but for names.

        Both `can_settle`, and nothing is due between the two.
        """
        ours, theirs = self.assignment, other.assignment
        return (
            self.draft.snapshot is other.draft.snapshot
            and self.draft.answers == other.draft.answers
            and self.has_same_references(theirs, other.stored.records)
            and ours.tenant == theirs.tenant
            and _without_name(ours) == _without_name(theirs)
            and _past(self.stored) == _past(other.stored)
            and self.secrets == other.secrets
        )

    def has_same_references(
        self, assignment: Assignment, records: Mapping[Key, AppliedRecord]
    ) -> bool:
        """Whether a plan for these needs the same secrets."""
        ours, before = self.assignment, self.stored.records
        return (
            is_unchanged(ours.desired.resources, assignment.desired.resources)
            and ours.broken == assignment.broken
            and (is_unchanged(before, records) or before == records)
        )


def _without_name(assignment: Assignment) -> tuple[object, ...]:
    """Return the document, and what it asks, without what each of its gateways has of its own."""
    instance, desired = assignment.instance, assignment.desired
    anybody = replace(instance, name="", display_name="", base_url="", registration_id="")
    return instance.document, anybody, replace(desired, gateway="", resources={})


def _past(stored: StoredState) -> tuple[object, ...]:
    """Return what was applied to a gateway before, but for the records: here, there or nowhere."""
    return stored.base_url and stored.base_url == stored.scope.base_url, stored.others


def _circumstances(stored: StoredState) -> tuple[object, ...]:
    return stored.scope, stored.base_url, stored.last_cycle, stored.others


@dataclass(frozen=True, slots=True)
class SettledCycle:
    """A cycle that left nothing to do, and what was read before it began."""

    basis: PlanBasis
    result: CycleResult

    def holds_for(self, basis: PlanBasis) -> bool:
        """Whether a cycle would find the same again at the time of that basis."""
        # A clock that went backwards may have made an expiry the next one again.
        since, until, now = self.basis.read_at, self.result.next_check, basis.read_at
        is_due = now < since or (until is not None and now >= until)
        return not is_due and basis.can_settle and self.basis.is_same(basis)


@dataclass
class RecentSecrets:
    """HMACs of secrets that were made within the last second, for all sessions."""

    clock: Callable[[], float] = monotonic
    _found: dict[
        frozenset[tuple[str, str]], tuple[float, SecretRights, Mapping[str, str | None]]
    ] = field(default_factory=dict)

    async def find(
        self,
        references: frozenset[tuple[str, str]],
        rights: SecretRights,
        make: Callable[[], Awaitable[Mapping[str, str | None]]],
    ) -> Mapping[str, str | None]:
        """Return what `make` returned for the same references and rights a moment ago, or now."""
        now = self.clock()
        known = self._found.get(references)
        if known is not None and now - known[0] < RECENT and known[1] == rights:
            return known[2]
        made = await make()
        recent = {key: one for key, one in self._found.items() if now - one[0] < RECENT}
        self._found = {**recent, references: (now, rights, made)}
        return made

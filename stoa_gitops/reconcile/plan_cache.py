"""Caches a gateway's stored state and last plan, so that a cycle without changes costs little.

It is a cache: never stored, and a session without it plans the same from scratch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from stoa_gitops.model.identity import is_unchanged
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import ActualState, AppliedRecord, DesiredState, Resource
from stoa_gitops.planning import (
    BrokenScope,
    PlanState,
    find_shared,
    next_expiry,
    secret_references,
)
from stoa_gitops.store import StoredState

if TYPE_CHECKING:
    from stoa_gitops.reconcile.plan_basis import SettledCycle


@dataclass(frozen=True, slots=True)
class _References:
    resources: Mapping[Key, Resource]
    records: Mapping[Key, AppliedRecord]
    broken: BrokenScope
    found: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Shared:
    resources: Mapping[Key, Resource]
    records: Mapping[Key, AppliedRecord]
    secrets: Mapping[str, str | None]
    broken: BrokenScope
    found: Mapping[Key, str]


@dataclass(frozen=True, slots=True)
class _Unsuitable:
    resources: Mapping[Key, Resource]
    secrets: Mapping[str, str | None]
    rule: object
    found: Mapping[Key, str]


@dataclass(frozen=True, slots=True)
class _Expiry:
    resources: Mapping[Key, Resource]
    since: datetime
    until: datetime | None


@dataclass(slots=True)
class PlanCache:
    """Belongs to one gateway of one process; sessions may share it, because values are replaced.

    stored   what the store said last
    state    the last plan and what the next one can be made from
    settled  the last cycle, where it left nothing to do and the draft is ours
    """

    stored: StoredState | None = None
    state: PlanState | None = None
    settled: SettledCycle | None = None
    _tried: tuple[object, object] | None = None
    _references: _References | None = None
    _expiry: _Expiry | None = None
    _shared: _Shared | None = None
    _unsuitable: _Unsuitable | None = None

    def rest(self) -> None:
        """Drop what only a plan needs; what says whether one is due stays."""
        self.state = self._expiry = self._shared = self._unsuitable = None

    def may_try_conflicts(self, desired: DesiredState, actual: ActualState) -> bool:
        """Whether the catalog or the gateway is another one than at the last call."""
        tried, now = self._tried, (desired.resources, actual.objects)
        self._tried = now
        return tried is None or not all(map(is_unchanged, tried, now))

    def references(
        self, desired: DesiredState, records: Mapping[Key, AppliedRecord], broken: BrokenScope
    ) -> frozenset[tuple[str, str]]:
        """Return the secret references that a plan needs, as (tenant, `env:NAME`)."""
        found = self.known_references(desired, records, broken)
        if found is None:
            found = secret_references(desired, records, broken)
            self._references = _References(desired.resources, records, broken, found)
        return found

    def known_references(
        self, desired: DesiredState, records: Mapping[Key, AppliedRecord], broken: BrokenScope
    ) -> frozenset[tuple[str, str]] | None:
        """Return what `references` returned last, for the same resources and records; else None."""
        known = self._references
        if (
            known is not None
            and is_unchanged(known.resources, desired.resources)
            and is_unchanged(known.records, records)
            and known.broken == broken
        ):
            return known.found
        return None

    def shared_credentials(
        self,
        desired: DesiredState,
        records: Mapping[Key, AppliedRecord],
        secrets: Mapping[str, str | None],
        broken: BrokenScope,
    ) -> Mapping[Key, str]:
        """Return the applications whose key another one has, with what is said about it."""
        known = self._shared
        if (
            known is not None
            and is_unchanged(known.resources, desired.resources)
            and is_unchanged(known.records, records)
            and known.secrets == secrets
            and known.broken == broken
        ):
            return known.found
        found = find_shared(desired, records, secrets, broken)
        self._shared = _Shared(desired.resources, records, secrets, broken, found)
        return found

    def unsuitable_secrets(
        self,
        desired: DesiredState,
        secrets: Mapping[str, str | None],
        rule: object,
        find: Callable[[], Mapping[Key, str]],
    ) -> Mapping[Key, str]:
        """Return what `find` returned for the same resources, HMACs of secrets and rule."""
        known = self._unsuitable
        if (
            known is not None
            and is_unchanged(known.resources, desired.resources)
            and known.secrets == secrets
            and known.rule is rule
        ):
            return known.found
        found = find()
        self._unsuitable = _Unsuitable(desired.resources, secrets, rule, found)
        return found

    def next_expiry(self, desired: DesiredState, now: datetime) -> datetime | None:
        """Return when a subscription expires next, None where none does."""
        known = self._expiry
        if (
            known is not None
            and is_unchanged(known.resources, desired.resources)
            and known.since <= now  # a clock that went backwards makes an earlier end the next one
            and (known.until is None or now < known.until)
        ):
            return known.until
        until = next_expiry(desired, now)
        self._expiry = _Expiry(desired.resources, now, until)
        return until

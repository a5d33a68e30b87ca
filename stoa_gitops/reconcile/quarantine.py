"""Decides which refused objects stay in quarantine, and which live ones are not verified. Pure.

An object is tried again when its document, a secret in it or the gateway's version changes, and
otherwise once an hour; one that another object is in the way of when anything changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from stoa_gitops.drivers.route_probe import NOT_PROBED, PROBE_FAILED
from stoa_gitops.errors import ObjectConflict
from stoa_gitops.model.canonical import canonical_bytes, secret_paths
from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.plan import Plan
from stoa_gitops.model.resources import AppliedRecord, DesiredState, Resource
from stoa_gitops.planning import NOT_SENT, BrokenScope
from stoa_gitops.store import Quarantined

# A refusal may have a cause outside of the catalog, such as a plugin that was not installed.
RETRY: Final = timedelta(hours=1)

_OWN_REFUSALS: Final = frozenset({ObjectConflict.reason, SkipReason.UNSUPPORTED.value})
"""Reasons of outcomes for which the gateway was not asked."""

NOT_VERIFIED: Final = "not verified"
CONFLICT: Final = "conflict"
"""Stands for the version in entries of objects for which the gateway was not asked."""

UNVERIFIED: Final = "unverified"
"""Stands for the version in entries of objects that are live, and whose routes did not answer."""


@dataclass(frozen=True, slots=True)
class QuarantineView:
    """Keys in quarantine in this cycle with the gateway's messages, and when the first is due."""

    messages: Mapping[Key, str] = field(default_factory=dict)
    until: datetime | None = None


def active_quarantine(
    entries: Mapping[Key, Quarantined],
    desired: DesiredState,
    secrets: Mapping[str, str | None],
    version: str,
    now: datetime,
) -> QuarantineView:
    """Return the part of the quarantine that is in force."""
    messages: dict[Key, str] = {}
    ends: list[datetime] = []
    for key, entry in entries.items():
        resource = desired.resources.get(key)
        if resource is None or entry.gateway_version != version:
            continue
        # A last try in the future means that the clock stepped back: the object is due.
        is_waiting = entry.last_try <= now < entry.last_try + RETRY
        if is_waiting and entry.spec_digest == fingerprint(resource, secrets):
            messages[key] = entry.message
            ends.append(entry.last_try + RETRY)
    return QuarantineView(messages, min(ends, default=None))


def fingerprint(resource: Resource, secrets: Mapping[str, str | None]) -> str:
    """Return a digest of a definition: its spec, and the HMACs of the secrets it refers to."""
    hmacs = [[list(path), secrets.get(ref)] for path, ref in secret_paths(resource.spec.value)]
    if not hmacs:
        return resource.spec.digest
    return hashlib.sha256(canonical_bytes([resource.spec.digest, hmacs])).hexdigest()


def refusals(
    outcomes: Iterable[Outcome],
    desired: DesiredState,
    secrets: Mapping[str, str | None],
    version: str,
    now: datetime,
) -> Iterator[Quarantined]:
    """Yield the entries that the outcomes of a cycle add to the quarantine."""
    for outcome in outcomes:
        resource = desired.resources.get(outcome.change.key, outcome.change.resource)
        if resource is None:
            continue
        key, identity = outcome.change.key, fingerprint(resource, secrets)
        message, source = outcome.message, resource.source
        if outcome.status is Status.QUARANTINED:
            if outcome.reason in _OWN_REFUSALS and not message.startswith(NOT_SENT):
                message = f"{NOT_SENT}: {message}"
            cause = CONFLICT if outcome.reason == ObjectConflict.reason else version
            yield Quarantined(key, identity, cause, message, now, now, source)
        elif outcome.reason in (PROBE_FAILED, NOT_PROBED):
            if not message.startswith(NOT_VERIFIED):
                message = f"{NOT_VERIFIED}: {message or 'its routes were not called in time'}"
            yield Quarantined(key, identity, UNVERIFIED, message, now, now, source)


def conflicting(entries: Mapping[Key, Quarantined]) -> dict[Key, str]:
    """Return the objects that another one was in the way of, with what was said about it.

    They wait until the gateway or the catalog is another one; a restarted process tries at once.
    """
    return {k: entry.message for k, entry in entries.items() if entry.gateway_version == CONFLICT}


def unverified(entries: Mapping[Key, Quarantined]) -> dict[Key, str]:
    """Return the objects that are live and whose routes did not answer, with what was seen.

    Those that were called longest ago come first: there may be more than there is time for.
    """
    found = [entry for entry in entries.values() if entry.gateway_version == UNVERIFIED]
    found.sort(key=lambda entry: (entry.last_try, entry.key))
    return {entry.key: entry.message for entry in found}


def obsolete(
    entries: Mapping[Key, Quarantined],
    desired: DesiredState,
    records: Mapping[Key, AppliedRecord],
    broken: BrokenScope,
) -> tuple[Key, ...]:
    """Return keys in quarantine that are no longer desired and were never applied."""
    return tuple(
        key
        for key in entries
        if key not in desired.resources and key not in records and not broken.covers(key)
    )


def with_unverified(
    plan: Plan, desired: DesiredState, quarantined: Mapping[Key, Quarantined]
) -> tuple[Plan, tuple[Resource, ...]]:
    """Return the plan with a warning for each unverified object that it leaves as it is."""
    changed = {change.key for change in plan.changes}
    found = {
        key: message
        for key, message in unverified(quarantined).items()
        if key in desired.resources and key not in changed
    }
    if not found:
        return plan, ()
    warnings = tuple(f"{key}: {message}" for key, message in sorted(found.items()))
    resources = tuple(desired.resources[key] for key in found)
    return replace(plan, warnings=(*plan.warnings, *warnings)), resources

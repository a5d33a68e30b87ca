"""Keeps what was applied last where a mistake in the catalog hides what is desired.

The law: one mistake anywhere never lessens what the callers of other documents get. What a broken
document may define is restored from the last applied record. An application keeps, of an API that
is broken, the subscriptions that it has, while everything else of it follows its document. An API
that takes a plan away from an application that is broken stays as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.keys import APPLICATION, Key
from stoa_gitops.model.resources import (
    AppliedRecord,
    Observed,
    PlanHints,
    Resource,
    SourceRef,
)
from stoa_gitops.planning.inputs import PlanContext
from stoa_gitops.planning.subscriptions import subscribed_keys, subscriptions, without_subscriptions


@dataclass(frozen=True, slots=True)
class Fallback:
    """The desired resources with what was applied last in the place of what is broken.

    wanted     all of them
    restored   keys of `wanted` that are taken from the last applied record as a whole
    partly     applications -> the broken APIs of which they keep their subscriptions
    """

    wanted: Mapping[Key, Resource]
    restored: frozenset[Key] = frozenset()
    partly: Mapping[Key, tuple[Key, ...]] = field(default_factory=dict)


def fall_back(
    wanted: Mapping[Key, Resource],
    managed: Mapping[Key, Observed],
    last: Mapping[Key, AppliedRecord],
    context: PlanContext,
    renamed: Iterable[Key],
) -> Fallback:
    """Complete what is desired; the identical mapping where nothing of the catalog is broken.

    `renamed` are keys that others replace: they are not restored.
    """
    if not context.broken:
        return Fallback(wanted)
    known = _Known(last, managed)
    found, partly = dict(wanted), {}
    for key, resource in wanted.items():
        if resource.hints.broken:
            del found[key]
            if kept := _with_known_parts(resource, known):
                found[key] = kept
                partly[key] = resource.hints.broken
    left_out = set(renamed)
    restored = {
        key: _restored(record)
        for key, record in last.items()
        if context.broken.covers(key)
        and context.is_in_scope(key)
        and key not in found
        and key not in left_out
    }
    standing = {key: item.spec for key, item in restored.items()}
    # Without a record, as after a lost store, what is on the gateway stays there.
    standing |= {
        key: seen.spec
        for key, seen in managed.items()
        if key not in found and key not in standing and context.broken.covers(key)
    }
    for api in set(_apis_that_take_plans_away(standing, found, known)):
        _restore_api(api, found, restored, last)
    return Fallback({**found, **restored}, frozenset(restored), partly)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of an object apart from its document: as applied last, else as observed."""

    last: Mapping[Key, AppliedRecord]
    managed: Mapping[Key, Observed]

    def spec(self, key: Key) -> Spec | None:
        found = self.last.get(key) or self.managed.get(key)
        return found.spec if found else None


def _with_known_parts(resource: Resource, known: _Known) -> Resource | None:
    """Return an object with what it has of broken APIs; None where nothing of it is known."""
    key, broken = resource.key, frozenset(resource.hints.broken)
    before = known.spec(key)
    if key.kind != APPLICATION:
        # What else depends on APIs is not taken apart: it stays as a whole.
        return replace(resource, spec=before) if before is not None else None
    own = without_subscriptions(resource, broken)
    kept = list(subscriptions(own.spec.value))
    if before is not None:
        kept += [s for s, api in subscribed_keys(before.value, key) if api in broken]
    elif not kept:
        return None
    kept.sort(key=lambda item: (str(item.get("api")), str(item.get("plan", ""))))
    return replace(own, spec=Spec.of({**own.spec.value, "subscriptions": kept}))


def _restored(record: AppliedRecord) -> Resource:
    source = SourceRef(f"(last applied at {record.revision})")
    return Resource(record.key, record.spec, source, PlanHints(protected=record.protected))


def _apis_that_take_plans_away(
    standing: Mapping[Key, Spec], found: Mapping[Key, Resource], known: _Known
) -> Iterator[Key]:
    """Yield APIs that no longer have what a broken application of their tenant subscribes to.

    Those of other tenants decide for themselves: a mistake must not hold up a neighbour.
    """
    for key, spec in standing.items():
        if key.kind != APPLICATION:
            continue
        for subscription, api in subscribed_keys(spec.value, key):
            now, before = found.get(api), known.spec(api)
            if now is None or before is None or api.tenant != key.tenant:
                continue
            plan = subscription.get("plan")
            if _offers(before.value, plan) and not _offers(now.spec.value, plan):
                yield api


def _offers(api: JsonObject, plan: object) -> bool:
    """Whether a subscription with this plan, None for without any, means access to an API."""
    found = api.get("plans")
    names = (
        [item.get("name") for item in found if isinstance(item, dict)]
        if isinstance(found, list)
        else []
    )
    return plan in names if names else plan is None


def _restore_api(
    api: Key,
    found: dict[Key, Resource],
    restored: dict[Key, Resource],
    last: Mapping[Key, AppliedRecord],
) -> None:
    """Restore an API with its policies; without a record it is left as it is on the gateway."""
    for key in [key for key in found if key == api or key.parent == api]:
        del found[key]
    for key, record in last.items():
        if key == api or key.parent == api:
            restored[key] = _restored(record)

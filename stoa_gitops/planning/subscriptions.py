"""Ends subscriptions of applications that have expired, and leaves out those to skipped APIs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.keys import API, APPLICATION, Key
from stoa_gitops.model.resources import DesiredState, Resource

# A cheap test on canonical bytes: most applications have no subscription that ends.
_MARK = b'"expiresAt"'
_LONG_AGO = "1970-01-01T00:00:00Z"
"""Stands for an end that nobody can read: a gateway refuses by it."""


def _parse_time(text: object) -> datetime | None:
    """Parse an ISO 8601 time; None where it is none. A time without a zone is UTC."""
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def subscriptions(spec: JsonObject) -> Iterator[JsonObject]:
    """Yield the subscriptions of an application's spec."""
    found = spec.get("subscriptions")
    if isinstance(found, list):
        yield from (item for item in found if isinstance(item, dict))


def has_expired(subscription: JsonObject, now: datetime) -> bool:
    """Whether a subscription is over; an unreadable end counts as over: access fails closed."""
    if "expiresAt" not in subscription:
        return False
    end = _parse_time(subscription["expiresAt"])
    return end is None or end <= now


def without_expired(resource: Resource, now: datetime) -> Resource:
    """Return the resource with the rights that have expired; the identical object if none has.

    A subscription that has ended is left out where that refuses: under a plan, and to APIs of other
    tenants. One to an API of the own tenant without plans stays, marked as `ended`: the application
    would be let in like every other one of the tenant if nothing named the API.
    """
    if resource.key.kind != APPLICATION or _MARK not in resource.spec.raw:
        return resource
    tree = resource.spec.value
    before = list(subscriptions(tree))
    kept = [item for entry in before if (item := _as_of(entry, resource.key, now)) is not None]
    # The identical resource tells later stages that nothing has changed.
    if kept == before:
        return resource
    return replace(resource, spec=Spec.of({**tree, "subscriptions": kept}))


def _as_of(entry: JsonObject, application: Key, now: datetime) -> JsonObject | None:
    if not has_expired(entry, now):
        return entry
    if _api_of(entry, application).tenant != application.tenant or "plan" in entry:
        return None
    end = entry["expiresAt"] if _parse_time(entry["expiresAt"]) else _LONG_AGO
    return {**entry, "expiresAt": end, "ended": True}


def next_expiry(desired: DesiredState, now: datetime) -> datetime | None:
    """Return the earliest `expiresAt` after `now` (aware): then the plan changes by itself."""
    ends = [
        end
        for resource in desired.resources.values()
        if resource.key.kind == APPLICATION and _MARK in resource.spec.raw
        for item in subscriptions(resource.spec.value)
        if (end := _parse_time(item.get("expiresAt"))) is not None and end > now
    ]
    return min(ends, default=None)


def subscribed(application: Resource) -> Iterator[Key]:
    """Yield the APIs that an application subscribes to."""
    for _, api in subscribed_keys(application.spec.value, application.key):
        yield api


def subscribed_keys(spec: JsonObject, application: Key) -> Iterator[tuple[JsonObject, Key]]:
    """Yield the subscriptions of an application's spec, each with its API."""
    for item in subscriptions(spec):
        yield item, _api_of(item, application)


def without_subscriptions(resource: Resource, missing: frozenset[Key]) -> Resource:
    """Return an application without its subscriptions to these APIs; itself if it has none."""
    tree = resource.spec.value
    subscriptions = tree.get("subscriptions")
    if not isinstance(subscriptions, list):
        return resource
    kept = [
        item
        for item in subscriptions
        if not (isinstance(item, dict) and _api_of(item, resource.key) in missing)
    ]
    if len(kept) == len(subscriptions):
        return resource
    return replace(resource, spec=Spec.of({**tree, "subscriptions": kept}))


def _api_of(subscription: JsonObject, application: Key) -> Key:
    return Key.parse_name(API, str(subscription.get("api")), application.tenant)

"""Reads the routes of APIs as patterns: those that are desired, and those that are there. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import API, POLICY, Key
from stoa_gitops.model.resources import AppliedRecord, Observed, PlaceHint, Resource
from stoa_gitops.model.routing import RoutePattern, Router

LiveSpec: TypeAlias = tuple[Spec, frozenset[str]]
"""A spec that is there, and the types of policies that give its routes further methods."""

_NO_HINT: Final = PlaceHint()


def routes_of(spec: Spec) -> list[Mapping[str, Any]]:
    """Return the routes of an API's spec; a gateway may report anything there."""
    value: Any = spec.value.get("routes", ())
    return [route for route in value if isinstance(route, Mapping) and "path" in route]


def api_of(key: Key, router: Router) -> Key | None:
    """Return the API whose routes a key decides; None for one that decides none."""
    if key.kind == API:
        return key
    return key.parent if key.kind == POLICY and key.policy_type in router.policy_methods else None


def policy_types(key: Key, router: Router, *sides: Container[Key]) -> frozenset[str]:
    """Return the types of an API's policies that give its routes further methods."""
    return frozenset(
        name for name in router.policy_methods if any(key.policy(name) in side for side in sides)
    )


def desired_patterns(
    resource: Resource, router: Router, resources: Container[Key]
) -> Iterator[tuple[RoutePattern, PlaceHint]]:
    """Yield the routes of a desired API, each with what the catalog says of its place."""
    hints = resource.hints.places
    policies = policy_types(resource.key, router, resources)
    for index, route in enumerate(routes_of(resource.spec)):
        hint = hints[index] if index < len(hints) else _NO_HINT
        yield router.read_with(route, policies), hint


def live_specs(
    key: Key, router: Router, managed: Mapping[Key, Observed], last: Mapping[Key, AppliedRecord]
) -> Iterator[LiveSpec]:
    """Yield what was applied last under a key, and what was observed where that is another one."""
    record, seen = last.get(key), managed.get(key)
    policies = policy_types(key, router, last, managed)
    if record is not None:
        yield record.spec, policies
    if seen is not None and (record is None or seen.spec is not record.spec):
        yield seen.spec, policies


def patterns_of(specs: Iterable[LiveSpec], router: Router) -> Iterator[RoutePattern]:
    """Yield the routes of specs that are there."""
    for spec, policies in specs:
        yield from (router.read_with(route, policies) for route in routes_of(spec))

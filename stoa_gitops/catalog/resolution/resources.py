"""Makes the resources of an API on a gateway, in canonical form: its policies, then the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from stoa_gitops.catalog.documents.canonical_json import to_bytes
from stoa_gitops.catalog.documents.schemas import Schemas
from stoa_gitops.catalog.evaluation.definitions import (
    ApiDefinition,
    PolicyDefinition,
    RequiredCapability,
)
from stoa_gitops.catalog.resolution.places import PlaceMap
from stoa_gitops.catalog.resolution.resolved import ResolvedApi
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.resources import PlaceHint, PlanHints, Resource


def api_resources(
    api: ResolvedApi, schemas: Schemas, places: PlaceMap, *, active: bool
) -> Iterator[Resource]:
    """Yield the policies of an API, then the API."""
    definition = api.definition
    # Policies come first: the API depends on them.
    policies = _with_implied_key(api, schemas)
    keys = []
    name = to_bytes(definition.key.name)
    for policy_type in sorted(policies):
        resource = _policy(definition, name, policies[policy_type])
        keys.append(resource.key)
        yield resource
    yield Resource(
        definition.key,
        _spec(definition, active),
        definition.source,
        PlanHints(
            requires=_requires(definition.required_capabilities, active=active),
            guarded_api=definition.key,
            depends_on=tuple(keys),
            protected=definition.annotations.protected,
            moved_from=definition.annotations.moved_from,
            ignore_fields=definition.annotations.ignore_fields,
            probes=definition.probes if active else (),
            places=_place_hints(definition, places),
            subscribers=definition.plan_tenants,
        ),
    )


def _place_hints(definition: ApiDefinition, places: PlaceMap) -> tuple[PlaceHint, ...]:
    """Return what the catalog says about the places of an API; empty where that is nothing."""
    routes = definition.routes
    if not places.has_grants and not any(route.delegates for route in routes):
        return ()
    tenant = definition.key.tenant
    hints = tuple(PlaceHint(places.is_granted(tenant, r), r.delegates) for r in routes)
    return hints if any(map(any, hints)) else ()


def _spec(definition: ApiDefinition, active: bool) -> Spec:
    # Nearly always: only an entry of `gateways` with `active` differs from the API.
    if active == definition.active:
        return definition.spec
    value: dict[str, Any] = dict(definition.spec.value)
    value["active"] = active
    return Spec(to_bytes(value))


@lru_cache(maxsize=1_000)
def _requires(
    required_capabilities: tuple[RequiredCapability, ...], *, active: bool
) -> tuple[str, ...]:
    # `inactive` is needed where the API is inactive, which each gateway decides by itself.
    names = {required.capability for required in required_capabilities} - {"inactive"}
    return tuple(sorted(names if active else names | {"inactive"}))


def _with_implied_key(api: ResolvedApi, schemas: Schemas) -> Mapping[str, PolicyDefinition]:
    """Add the `api_key` that an API with plans has when nothing else identifies its callers."""
    if not api.definition.plans or "api_key" in api.policies or "jwt" in api.policies:
        return api.policies
    implied = PolicyDefinition("api_key", _default_key(schemas), 100, "fail", api.definition.source)
    return {**api.policies, "api_key": implied}


@cache
def _default_key(schemas: Schemas) -> bytes:
    return to_bytes(schemas.normaliser("api_key")({}))


@cache
def _policy_requires(policy_type: str) -> tuple[str, ...]:
    return (f"policy:{policy_type}",)


def _policy(api: ApiDefinition, name: bytes, policy: PolicyDefinition) -> Resource:
    """Return the resource of one policy; `name` is that of the API in JSON."""
    raw = b'{"api":%b,"config":%b,"priority":%d,"type":"%b"}' % (
        name,
        policy.config,
        policy.priority,
        policy.type.encode(),
    )
    moved = api.annotations.moved_from
    return Resource(
        api.key.policy(policy.type),
        Spec(raw),
        policy.source,
        PlanHints(
            requires=_policy_requires(policy.type),
            on_unsupported=policy.on_unsupported,
            guarded_api=api.key,
            protected=policy.annotations.protected,
            moved_from=moved.policy(policy.type) if moved else None,
            ignore_fields=policy.annotations.ignore_fields,
        ),
    )

"""From a placed API or application to the resources of a gateway, in canonical forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from stoa_gitops.catalog.documents.canonical_form import normaliser
from stoa_gitops.catalog.documents.canonical_json import to_bytes
from stoa_gitops.catalog.kinds.definitions import ApiFacts, PolicyFacts, RequiredCapability
from stoa_gitops.catalog.resolution.resolved import PlacedApi, PlacedApplication
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import PlanHints, Resource


def api_resources(api: PlacedApi, *, active: bool) -> Iterator[Resource]:
    """Yield the policies of an API, then the API."""
    facts = api.facts
    policies = _with_implied_key(api)
    keys = []
    name = to_bytes(facts.key.name)
    for policy_type in sorted(policies):
        resource = _policy(facts, name, policies[policy_type])
        keys.append(resource.key)
        yield resource
    yield Resource(
        facts.key,
        _spec(facts, active),
        facts.source,
        PlanHints(
            requires=_requires(facts.needs, active=active),
            holds=facts.key,
            depends_on=tuple(keys),
            protected=facts.marks.protected,
            moved_from=facts.marks.moved_from,
            ignore_fields=facts.marks.ignore_fields,
            probe=facts.probe if active else None,
        ),
    )


def _spec(facts: ApiFacts, active: bool) -> Spec:
    if active == facts.active:
        return facts.spec
    value: dict[str, Any] = dict(facts.spec.value)
    value["active"] = active
    return Spec(to_bytes(value))


@lru_cache(maxsize=1_000)
def _requires(needs: tuple[RequiredCapability, ...], *, active: bool) -> tuple[str, ...]:
    names = {need.capability for need in needs} - {"inactive"}
    return tuple(sorted(names if active else names | {"inactive"}))


def _with_implied_key(api: PlacedApi) -> Mapping[str, PolicyFacts]:
    """Add the `api_key` that an API with plans has when nothing else identifies its callers."""
    if not api.facts.plans or "api_key" in api.policies or "jwt" in api.policies:
        return api.policies
    implied = PolicyFacts("api_key", _default_key(), 100, "fail", api.facts.source)
    return {**api.policies, "api_key": implied}


@cache
def _default_key() -> bytes:
    return to_bytes(normaliser("api_key")({}))


@cache
def _policy_requires(policy_type: str) -> tuple[str, ...]:
    return (f"policy:{policy_type}",)


def _policy(api: ApiFacts, name: bytes, policy: PolicyFacts) -> Resource:
    """Return the resource of one policy; `name` is that of the API in JSON."""
    raw = b'{"api":%b,"config":%b,"priority":%d,"type":"%b"}' % (
        name, policy.config, policy.priority, policy.type.encode(),
    )  # fmt: skip
    moved = api.marks.moved_from
    return Resource(
        api.key.policy(policy.type),
        Spec(raw),
        policy.source,
        PlanHints(
            requires=_policy_requires(policy.type),
            on_missing=policy.on_unsupported,
            holds=api.key,
            protected=policy.marks.protected,
            moved_from=moved.policy(policy.type) if moved else None,
            ignore_fields=policy.marks.ignore_fields,
        ),
    )


def application_resource(
    application: PlacedApplication, resources: Mapping[Key, Resource]
) -> Resource | None:
    """Return an application with the subscriptions to APIs that are on the gateway; None without any."""
    facts = application.facts
    here = [item for item in application.subscriptions if item.api in resources]
    if not here:
        return None
    value: dict[str, Any] = dict(facts.base.value)
    value["subscriptions"] = [dict(item.value) for item in here]
    return Resource(
        facts.key,
        Spec(to_bytes(value)),
        facts.source,
        PlanHints(
            requires=tuple(sorted({need.capability for need in facts.needs})),
            depends_on=tuple(dict.fromkeys(item.api for item in here)),
            protected=facts.marks.protected,
            moved_from=facts.marks.moved_from,
            ignore_fields=facts.marks.ignore_fields,
        ),
    )

"""From a valid document to its facts: canonical form, references, needs, and checks of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from stoa_gitops.catalog.documents.canonical_form import normaliser
from stoa_gitops.catalog.documents.canonical_json import to_bytes
from stoa_gitops.catalog.kinds.api import lower_api
from stoa_gitops.catalog.kinds.context import Place, marks_of, need, policy_of, shared, uses_of
from stoa_gitops.catalog.kinds.definitions import (
    ApplicationFacts,
    EvaluatedDocument,
    PolicyFacts,
    Reference,
    Subscription,
    TenantFacts,
)
from stoa_gitops.catalog.kinds.environment import Evaluated
from stoa_gitops.catalog.kinds.plaintext_secrets import find_plain_secrets
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import API, Key

BUILTIN_ALIASES: Final = ("echo",)
"""Aliases that need no document: `run` serves them."""


def lower(kind: str, evaluated: Evaluated, place: Place) -> EvaluatedDocument:
    """Return the facts of a document; facts are None as soon as one finding is an error."""
    if evaluated.value is None:
        return EvaluatedDocument(None, evaluated.findings, evaluated.origins, evaluated.named)
    place.findings.extend(evaluated.findings)
    place.findings.extend(
        find_plain_secrets(evaluated.value, kind, place.document, raw=evaluated.raw)
    )
    try:
        value = normaliser(kind)(evaluated.value)
        facts = _LOWER[kind](value, place)
    except ValueError as error:
        place.say("schema.value", str(error), ("spec",))
        facts = None
    broken = place.is_broken or any(finding.is_error for finding in place.findings)
    return EvaluatedDocument(
        None if broken else facts, tuple(place.findings), evaluated.origins, evaluated.named
    )


def _lower_policy(value: dict[str, Any], place: Place) -> PolicyFacts:
    marks = marks_of(value, place)
    return replace(policy_of(value["spec"], place, ("spec",)), marks=marks, name=place.key.name)


def _lower_application(value: dict[str, Any], place: Place) -> ApplicationFacts:
    spec, key = value["spec"], place.key
    credentials = []
    needs = [need("application")]
    for index, credential in enumerate(spec["credentials"]):
        credentials.append(
            {
                name.removesuffix("Ref") if name != "type" else name: item
                for name, item in credential.items()
            }
        )
        needs.append(need(f"credential:{credential['type']}", "spec", "credentials", index))
    base = {
        "displayName": spec.get("displayName", key.name),
        "credentials": credentials,
        "identifiers": {
            name: sorted(set(item)) if isinstance(item, list) else item
            for name, item in spec["identifiers"].items()
        },
    }
    if "owner" in spec:
        base["owner"] = spec["owner"]
    return ApplicationFacts(
        key,
        Spec(to_bytes(base)),
        place.source,
        marks_of(value, place),
        shared(tuple(dict.fromkeys(needs))),
        _subscriptions(spec, place),
    )


def _subscriptions(spec: dict[str, Any], place: Place) -> tuple[Subscription, ...]:
    out: dict[tuple[str, str], Subscription] = {}
    for index, entry in enumerate(spec["subscriptions"]):
        at: Pointer = ("spec", "subscriptions", index)
        api = Key.parse_name(API, entry["api"], place.key.tenant)
        value = dict(entry)
        value["api"] = api.name if api.tenant == place.key.tenant else api.short
        plan = str(entry.get("plan", ""))
        if (value["api"], plan) in out:
            place.say("subscription.twice", f"{value['api']} is subscribed twice", (*at, "api"))
        out[value["api"], plan] = Subscription(api, plan, value, at)
    return tuple(out[pair] for pair in sorted(out))


def _lower_tenant(value: dict[str, Any], place: Place) -> TenantFacts:
    spec = value["spec"]
    limits = spec.get("limits", {})
    return TenantFacts(
        place.key.name,
        tuple(
            Reference(name, ("spec", "gateways", index))
            for index, name in enumerate(spec["gateways"])
        ),
        uses_of(spec["policies"], place),
        limits.get("maxApis"),
        limits.get("maxApplications"),
    )


_LOWER: Final[dict[str, Callable[[dict[str, Any], Place], Any]]] = {
    "API": lower_api,
    "Policy": _lower_policy,
    "Application": _lower_application,
    "Tenant": _lower_tenant,
}

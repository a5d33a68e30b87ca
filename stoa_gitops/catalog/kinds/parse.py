"""From a valid document to its facts: canonical form, references, needs, and checks of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from stoa_gitops.catalog.documents.canonical_form import normaliser
from stoa_gitops.catalog.documents.canonical_json import to_bytes
from stoa_gitops.catalog.kinds.api import parse_api
from stoa_gitops.catalog.kinds.context import (
    DocumentContext,
    intern_part,
    read_annotations,
    read_policy,
    read_policy_uses,
    required,
)
from stoa_gitops.catalog.kinds.definitions import (
    ApplicationDefinition,
    EvaluatedDocument,
    PolicyDefinition,
    Reference,
    Subscription,
    TenantDefinition,
)
from stoa_gitops.catalog.kinds.environment import OverlaidDocument
from stoa_gitops.catalog.kinds.plaintext_secrets import find_plain_secrets
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import API, Key

BUILTIN_ALIASES: Final = ("echo",)
"""Aliases that need no document: `run` serves them."""


def parse_document(
    kind: str, evaluated: OverlaidDocument, context: DocumentContext
) -> EvaluatedDocument:
    """Return the facts of a document; facts are None as soon as one finding is an error."""
    if evaluated.value is None:
        return EvaluatedDocument(None, evaluated.findings, evaluated.origins, evaluated.named)
    context.findings.extend(evaluated.findings)
    context.findings.extend(
        find_plain_secrets(evaluated.value, kind, context.document, raw=evaluated.raw)
    )
    try:
        value = normaliser(kind)(evaluated.value)
        definition = _PARSERS[kind](value, context)
    except ValueError as error:
        context.report_error("schema.value", str(error), ("spec",))
        definition = None
    broken = context.is_broken or any(finding.is_error for finding in context.findings)
    return EvaluatedDocument(
        None if broken else definition, tuple(context.findings), evaluated.origins, evaluated.named
    )


def _parse_policy(value: dict[str, Any], context: DocumentContext) -> PolicyDefinition:
    annotations = read_annotations(value, context)
    return replace(
        read_policy(value["spec"], context, ("spec",)),
        annotations=annotations,
        name=context.key.name,
    )


def _parse_application(value: dict[str, Any], context: DocumentContext) -> ApplicationDefinition:
    spec, key = value["spec"], context.key
    credentials = []
    required_capabilities = [required("application")]
    for index, credential in enumerate(spec["credentials"]):
        credentials.append(
            {
                name.removesuffix("Ref") if name != "type" else name: item
                for name, item in credential.items()
            }
        )
        required_capabilities.append(
            required(f"credential:{credential['type']}", "spec", "credentials", index)
        )
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
    return ApplicationDefinition(
        key,
        Spec(to_bytes(base)),
        context.source,
        read_annotations(value, context),
        intern_part(tuple(dict.fromkeys(required_capabilities))),
        _subscriptions(spec, context),
    )


def _subscriptions(spec: dict[str, Any], context: DocumentContext) -> tuple[Subscription, ...]:
    out: dict[tuple[str, str], Subscription] = {}
    for index, entry in enumerate(spec["subscriptions"]):
        at: Pointer = ("spec", "subscriptions", index)
        api = Key.parse_name(API, entry["api"], context.key.tenant)
        value = dict(entry)
        value["api"] = api.name if api.tenant == context.key.tenant else api.short
        plan = str(entry.get("plan", ""))
        if (value["api"], plan) in out:
            context.report_error(
                "subscription.twice", f"{value['api']} is subscribed twice", (*at, "api")
            )
        out[value["api"], plan] = Subscription(api, plan, value, at)
    return tuple(out[pair] for pair in sorted(out))


def _parse_tenant(value: dict[str, Any], context: DocumentContext) -> TenantDefinition:
    spec = value["spec"]
    limits = spec.get("limits", {})
    return TenantDefinition(
        context.key.name,
        tuple(
            Reference(name, ("spec", "gateways", index))
            for index, name in enumerate(spec["gateways"])
        ),
        read_policy_uses(spec["policies"], context),
        limits.get("maxApis"),
        limits.get("maxApplications"),
    )


_PARSERS: Final[dict[str, Callable[[dict[str, Any], DocumentContext], Any]]] = {
    "API": parse_api,
    "Policy": _parse_policy,
    "Application": _parse_application,
    "Tenant": _parse_tenant,
}

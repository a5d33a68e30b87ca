"""Application documents: a consumer with its credentials, and the APIs that it may call."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from stoa_gitops.catalog.documents.canonical_json import to_bytes
from stoa_gitops.catalog.evaluation.context import (
    DocumentContext,
    intern_part,
    read_annotations,
    required,
)
from stoa_gitops.catalog.evaluation.definitions import ApplicationDefinition, Subscription
from stoa_gitops.catalog.evaluation.kind import DocumentKind, Resolver
from stoa_gitops.catalog.findings import suggest
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.resources import PlanHints, Resource


def parse_application(value: dict[str, Any], context: DocumentContext) -> ApplicationDefinition:
    """Return the definition of a valid Application document."""
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
    # By API and plan, in sorted order: the canonical form of a set.
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


def subscribed_apis(definition: ApplicationDefinition) -> tuple[Key, ...]:
    """Return the APIs that an application subscribes to, each once."""
    return tuple(dict.fromkeys(item.api for item in definition.subscriptions))


def check_subscriptions(
    definition: ApplicationDefinition, resolver: Resolver
) -> ApplicationDefinition | None:
    """Report subscriptions to APIs or plans that do not exist, and those without consent.

    A subscription to which the API's tenant does not consent, or no longer, is left out: the rest
    of the application stays. Returns None for any other mistake.
    """
    checked = [_check_subscription(item, resolver) for item in definition.subscriptions]
    if not all(checked):
        return None
    kept = tuple(
        item for item in definition.subscriptions if _has_consent(item, definition, resolver)
    )
    return (
        definition if kept == definition.subscriptions else replace(definition, subscriptions=kept)
    )


def _has_consent(item: Subscription, definition: ApplicationDefinition, resolver: Resolver) -> bool:
    own, api = definition.key.tenant, resolver.api(item.api)
    if api is None or item.api.tenant == own:
        return True
    if (item.plan, own) in api.plan_tenants or (item.plan, "*") in api.plan_tenants:
        return True
    what = f"the plan {item.plan} of {item.api.short}" if item.plan else item.api.short
    text = f"{what} takes no subscriptions of the tenant {own}"
    consent = f"plans: [{{name: {item.plan or 'NAME'}, tenants: [{own}]}}]"
    hint = f"the tenant {item.api.tenant} consents by `{consent}` in that API"
    resolver.report_error("subscription.consent", text, (*item.pointer, "api"), hint)
    return False


def _check_subscription(item: Subscription, resolver: Resolver) -> bool:
    """Check one subscription; whether its API is valid in this environment is another question."""
    tenant, name = item.api.tenant, item.api.name
    if not resolver.has_api(item.api):
        text = f"the tenant {tenant} has no API {name}"
        hint = resolver.suggest(name, "API", tenant, f"API in tenants/{tenant}/apis/")
        resolver.report_error("ref.api", text, (*item.pointer, "api"), hint)
        return False
    api = resolver.api(item.api)
    if api is None:
        return True
    if item.plan and item.plan not in api.plans:
        text = f"{item.api.short} has no plan {item.plan}"
        hint = suggest(item.plan, api.plans, what="plan of that API")
        resolver.report_error("ref.plan", text, (*item.pointer, "plan"), hint)
        return False
    if api.plans and not item.plan:
        text = f"{item.api.short} has plans, and the subscription names none"
        hint = f"write `plan:` with one of {', '.join(sorted(api.plans))}"
        resolver.report_error("ref.plan", text, item.pointer, hint)
        return False
    return True


def application_resources(
    definition: ApplicationDefinition, apis: AbstractSet[Key]
) -> Iterator[Resource]:
    """Yield the application with its subscriptions to APIs on the gateway."""
    here = [item for item in definition.subscriptions if item.api in apis]
    value: dict[str, Any] = dict(definition.base.value)
    value["subscriptions"] = [dict(item.value) for item in here]
    required_names = {item.capability for item in definition.required_capabilities}
    yield Resource(
        definition.key,
        Spec(to_bytes(value)),
        definition.source,
        PlanHints(
            requires=tuple(sorted(required_names)),
            depends_on=tuple(dict.fromkeys(item.api for item in here)),
            protected=definition.annotations.protected,
            moved_from=definition.annotations.moved_from,
            ignore_fields=definition.annotations.ignore_fields,
        ),
    )


KIND = DocumentKind(
    name="Application",
    home="tenants/<tenant>/applications/<name>.yaml",
    order=70,
    parse=parse_application,
    limit="maxApplications",
    apis_of=subscribed_apis,
    resolve=check_subscriptions,
    resources=application_resources,
    is_caller=True,
)

"""One document of each kind followed to everything that it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stoa_gitops.catalog.findings import suggest
from stoa_gitops.catalog.kinds.definitions import (
    ApiFacts,
    ApplicationFacts,
    EvaluatedDocument,
    Subscription,
    TenantFacts,
)
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.catalog.resolution.references import References
from stoa_gitops.catalog.resolution.resolved import (
    PlacedApi,
    PlacedApplication,
    PlacedTenant,
    Targets,
)
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key


def place_tenant(refs: References, documents: Iterable[Document]) -> PlacedTenant | None:
    """Return what a tenant gives to its APIs, by the last of its documents; None when that is wrong."""
    placed = None
    for document in documents:
        refs.now = document.key
        placed = None
        if not document.is_broken and refs.concerns_tenant(document):
            lowered = refs.lowered(document)
            if isinstance(lowered.facts, TenantFacts):
                placed = _place_tenant(refs, document, lowered, lowered.facts)
    return placed


def _place_tenant(
    refs: References, document: Document, lowered: EvaluatedDocument, facts: TenantFacts
) -> PlacedTenant | None:
    is_wrong = False
    for reference in facts.gateways:
        text = refs.refused(reference.name, document.tenant)
        is_wrong = is_wrong or text is not None
        if text:
            hint = refs.near_gateway(reference.name)
            refs.say(document, lowered, "ref.gateway", text, reference.pointer, hint)
    policies = refs.policies(document, lowered, facts.policies)
    if is_wrong or policies is None:
        return None
    return PlacedTenant(tuple(reference.name for reference in facts.gateways), policies)


def place_api(
    refs: References, document: Document, tenant: PlacedTenant | None
) -> tuple[PlacedApi | None, tuple[str, ...]]:
    """Return an API in its place (None when it has none here) and the policies that it names."""
    if refs.is_hidden(document):
        return None, ()
    lowered = refs.world.lowered(document, refs.overlay)
    names = tenant.gateways if tenant is not None else ()
    if lowered.named is None and not refs.concerns_tenant(document, names):
        return None, ()
    if lowered.named is not None and not refs.concerns(lowered.named):
        return None, ()
    refs.said.note(document, lowered)
    facts = lowered.facts
    if not isinstance(facts, ApiFacts):
        return None, ()
    targets, is_placed = _targets(refs, document, lowered, facts, names)
    own = refs.policies(document, lowered, facts.policies)
    has_aliases = refs.has_aliases(document, lowered, facts)
    uses = tuple(use.name for use in facts.policies if use.name)
    if tenant is None or own is None or not is_placed or not has_aliases:
        return None, uses
    policies = refs.intern({**tenant.policies, **own}) if own else tenant.policies
    return PlacedApi(document, lowered, facts, targets, policies), uses


def _targets(
    refs: References,
    document: Document,
    lowered: EvaluatedDocument,
    facts: ApiFacts,
    defaults: tuple[str, ...],
) -> tuple[Targets, bool]:
    if facts.gateways is None:
        return refs.default_targets(document.tenant, defaults, active=facts.active), True
    targets: dict[str, tuple[GatewayInstance, bool]] = {}
    is_placed = True
    for target in facts.gateways:
        text = refs.refused(target.name, document.tenant)
        if text:
            is_placed = False
            hint = refs.near_gateway(target.name)
            refs.say(document, lowered, "ref.gateway", text, target.pointer, hint)
        gateway = refs.gateways.get(target.name)
        if text is None and gateway is not None:
            active = facts.active if target.active is None else target.active
            targets[target.name] = (gateway, active)
    return tuple(targets.values()), is_placed


def place_application(
    refs: References, document: Document, apis: Mapping[Key, PlacedApi]
) -> tuple[PlacedApplication | None, tuple[Key, ...]]:
    """Return an application in its place (None when it has none) and the APIs that it asks for."""
    if not refs.concerns_tenant(document):
        return None, ()
    lowered = refs.lowered(document)
    facts = lowered.facts
    if not isinstance(facts, ApplicationFacts):
        return None, ()
    asked = tuple(dict.fromkeys(item.api for item in facts.subscriptions))
    checked = [_is_right(refs, document, lowered, item, apis) for item in facts.subscriptions]
    if not all(checked):
        return None, asked
    lead = tuple(item for item in facts.subscriptions if item.api in apis)
    return PlacedApplication(document, lowered, facts, lead), asked


def _is_right(
    refs: References,
    document: Document,
    lowered: EvaluatedDocument,
    item: Subscription,
    apis: Mapping[Key, PlacedApi],
) -> bool:
    """Whether a subscription asks for what there is; whether it is placed here is another question."""
    tenant, name = item.api.tenant, item.api.name
    if refs.world.index.get("API", tenant, name) is None:
        text = f"the tenant {tenant} has no API {name}"
        hint = refs.suggest(name, "API", tenant, f"API in tenants/{tenant}/apis/")
        refs.say(document, lowered, "ref.api", text, (*item.pointer, "api"), hint)
        return False
    api = apis.get(item.api)
    if api is None:
        return True
    plans = api.facts.plans
    wrong = ""
    if item.plan and item.plan not in plans:
        wrong = f"{item.api.short} has no plan {item.plan}"
        hint = suggest(item.plan, plans, what="plan of that API")
        refs.say(document, lowered, "ref.plan", wrong, (*item.pointer, "plan"), hint)
    elif plans and not item.plan:
        wrong = f"{item.api.short} has plans, and the subscription names none"
        hint = f"write `plan:` with one of {', '.join(sorted(plans))}"
        refs.say(document, lowered, "ref.plan", wrong, item.pointer, hint)
    return not wrong

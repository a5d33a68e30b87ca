"""One document of each kind followed to everything that it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stoa_gitops.catalog.findings import suggest
from stoa_gitops.catalog.kinds.definitions import (
    ApiDefinition,
    ApplicationDefinition,
    EvaluatedDocument,
    Subscription,
    TenantDefinition,
)
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.catalog.resolution.references import References
from stoa_gitops.catalog.resolution.resolved import (
    ResolvedApi,
    ResolvedApplication,
    ResolvedTenant,
    Targets,
)
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key


def resolve_tenant(refs: References, documents: Iterable[Document]) -> ResolvedTenant | None:
    """Return what a tenant gives to its APIs, by the last of its documents; None when that is wrong."""
    placed = None
    for document in documents:
        refs.now = document.key
        placed = None
        if not document.is_broken and refs.concerns_tenant(document):
            evaluated = refs.evaluated(document)
            if isinstance(evaluated.definition, TenantDefinition):
                placed = _resolve_tenant(refs, document, evaluated, evaluated.definition)
    return placed


def _resolve_tenant(
    refs: References, document: Document, evaluated: EvaluatedDocument, definition: TenantDefinition
) -> ResolvedTenant | None:
    is_wrong = False
    for reference in definition.gateways:
        text = refs.refused(reference.name, document.tenant)
        is_wrong = is_wrong or text is not None
        if text:
            hint = refs.near_gateway(reference.name)
            refs.report_error(document, evaluated, "ref.gateway", text, reference.pointer, hint)
    policies = refs.policies(document, evaluated, definition.policies)
    if is_wrong or policies is None:
        return None
    return ResolvedTenant(tuple(reference.name for reference in definition.gateways), policies)


def resolve_api(
    refs: References, document: Document, tenant: ResolvedTenant | None
) -> tuple[ResolvedApi | None, tuple[str, ...]]:
    """Return an API in its place (None when it has none here) and the policies that it names."""
    if refs.is_hidden(document):
        return None, ()
    evaluated = refs.evaluations.evaluated(document, refs.overlay)
    names = tenant.gateways if tenant is not None else ()
    if evaluated.named is None and not refs.concerns_tenant(document, names):
        return None, ()
    if evaluated.named is not None and not refs.concerns(evaluated.named):
        return None, ()
    refs.finding_log.note(document, evaluated)
    definition = evaluated.definition
    if not isinstance(definition, ApiDefinition):
        return None, ()
    targets, is_placed = _targets(refs, document, evaluated, definition, names)
    own = refs.policies(document, evaluated, definition.policies)
    has_aliases = refs.has_aliases(document, evaluated, definition)
    uses = tuple(use.name for use in definition.policies if use.name)
    if tenant is None or own is None or not is_placed or not has_aliases:
        return None, uses
    policies = refs.intern({**tenant.policies, **own}) if own else tenant.policies
    return ResolvedApi(document, evaluated, definition, targets, policies), uses


def _targets(
    refs: References,
    document: Document,
    evaluated: EvaluatedDocument,
    definition: ApiDefinition,
    defaults: tuple[str, ...],
) -> tuple[Targets, bool]:
    if definition.gateways is None:
        return refs.default_targets(document.tenant, defaults, active=definition.active), True
    targets: dict[str, tuple[GatewayInstance, bool]] = {}
    is_placed = True
    for target in definition.gateways:
        text = refs.refused(target.name, document.tenant)
        if text:
            is_placed = False
            hint = refs.near_gateway(target.name)
            refs.report_error(document, evaluated, "ref.gateway", text, target.pointer, hint)
        gateway = refs.gateways.get(target.name)
        if text is None and gateway is not None:
            active = definition.active if target.active is None else target.active
            targets[target.name] = (gateway, active)
    return tuple(targets.values()), is_placed


def resolve_application(
    refs: References, document: Document, apis: Mapping[Key, ResolvedApi]
) -> tuple[ResolvedApplication | None, tuple[Key, ...]]:
    """Return an application in its place (None when it has none) and the APIs that it asks for."""
    if not refs.concerns_tenant(document):
        return None, ()
    evaluated = refs.evaluated(document)
    definition = evaluated.definition
    if not isinstance(definition, ApplicationDefinition):
        return None, ()
    asked = tuple(dict.fromkeys(item.api for item in definition.subscriptions))
    checked = [
        _is_valid_subscription(refs, document, evaluated, item, apis)
        for item in definition.subscriptions
    ]
    if not all(checked):
        return None, asked
    lead = tuple(item for item in definition.subscriptions if item.api in apis)
    return ResolvedApplication(document, evaluated, definition, lead), asked


def _is_valid_subscription(
    refs: References,
    document: Document,
    evaluated: EvaluatedDocument,
    item: Subscription,
    apis: Mapping[Key, ResolvedApi],
) -> bool:
    """Whether a subscription asks for what there is; whether it is placed here is another question."""
    tenant, name = item.api.tenant, item.api.name
    if refs.evaluations.index.get("API", tenant, name) is None:
        text = f"the tenant {tenant} has no API {name}"
        hint = refs.suggest(name, "API", tenant, f"API in tenants/{tenant}/apis/")
        refs.report_error(document, evaluated, "ref.api", text, (*item.pointer, "api"), hint)
        return False
    api = apis.get(item.api)
    if api is None:
        return True
    plans = api.definition.plans
    wrong = ""
    if item.plan and item.plan not in plans:
        wrong = f"{item.api.short} has no plan {item.plan}"
        hint = suggest(item.plan, plans, what="plan of that API")
        refs.report_error(document, evaluated, "ref.plan", wrong, (*item.pointer, "plan"), hint)
    elif plans and not item.plan:
        wrong = f"{item.api.short} has plans, and the subscription names none"
        hint = f"write `plan:` with one of {', '.join(sorted(plans))}"
        refs.report_error(document, evaluated, "ref.plan", wrong, item.pointer, hint)
    return not wrong

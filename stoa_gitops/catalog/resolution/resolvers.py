"""Resolves the references of one document: gateways, policies, aliases, APIs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from stoa_gitops.catalog.evaluation.definitions import (
    ApiDefinition,
    EvaluatedDocument,
    TenantDefinition,
)
from stoa_gitops.catalog.evaluation.kind import DocumentKind
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.catalog.resolution.references import References
from stoa_gitops.catalog.resolution.resolved import (
    ApiResolution,
    ResolvedApi,
    ResolvedDependent,
    ResolvedTenant,
    Targets,
)
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key

API_KIND: Final = "API"


def resolve_tenant(refs: References, documents: Iterable[Document]) -> ResolvedTenant | None:
    """Return what a tenant gives to its APIs, by its last document; None when that is wrong."""
    resolved = None
    for document in documents:
        refs.current = document.key
        resolved = None
        if not document.is_broken and refs.concerns_tenant(document):
            evaluated = refs.evaluate(document)
            if isinstance(evaluated.definition, TenantDefinition):
                resolved = _resolve_tenant(refs, document, evaluated, evaluated.definition)
    return resolved


def _resolve_tenant(
    refs: References, document: Document, evaluated: EvaluatedDocument, definition: TenantDefinition
) -> ResolvedTenant | None:
    is_wrong = False
    for reference in definition.gateways:
        text = refs.why_gateway_unusable(reference.name, document.tenant)
        # A gateway whose own document is broken is no mistake of its tenants.
        if text:
            is_wrong = True
            hint = refs.suggest_gateway(reference.name)
            refs.report_error(document, evaluated, "ref.gateway", text, reference.pointer, hint)
    policies = refs.policies(document, evaluated, definition.policies)
    if is_wrong or policies is None:
        return None
    names = tuple(reference.name for reference in definition.gateways)
    return ResolvedTenant(names, policies, definition.annotations.allow_empty)


def resolve_api(
    refs: References, document: Document, tenant: ResolvedTenant | None
) -> ApiResolution:
    """Resolve an API with its gateways and policies; `tenant` is None where that is broken."""
    if refs.is_hidden(document):
        return ApiResolution(is_broken=True)
    evaluated = refs.evaluations.evaluate(document, refs.overlay)
    names = tenant.gateways if tenant is not None else ()
    # An API may name its gateways; only without names those of the tenant count.
    if evaluated.named is None and not refs.concerns_tenant(document, names):
        return ApiResolution()
    if evaluated.named is not None and not refs.concerns(evaluated.named):
        return ApiResolution()
    evaluated = refs.note(document, evaluated)
    definition = evaluated.definition
    if not isinstance(definition, ApiDefinition):
        return ApiResolution(is_broken=True)
    targets, are_all_known = _targets(refs, document, evaluated, definition, names)
    own = refs.policies(document, evaluated, definition.policies)
    has_aliases = refs.has_aliases(document, evaluated, definition)
    uses = tuple(use.name for use in definition.policies if use.name)
    if tenant is None or own is None or not are_all_known or not has_aliases:
        return ApiResolution(policies=uses, is_broken=True)
    policies = refs.intern({**tenant.policies, **own}) if own else tenant.policies
    if not _has_use_of_access(refs, document, evaluated, definition, policies):
        return ApiResolution(policies=uses, is_broken=True)
    _note_unknown_tenants(refs, document, evaluated, definition)
    return ApiResolution(ResolvedApi(document, evaluated, definition, targets, policies), uses)


def _has_use_of_access(
    refs: References,
    document: Document,
    evaluated: EvaluatedDocument,
    definition: ApiDefinition,
    policies: Collection[str],
) -> bool:
    """Report an `access` that nothing enforces; return whether there is none."""
    if not definition.access:
        return True
    at: Pointer = ("spec", "access")
    if definition.plans and definition.access != "subscribed":
        text = "an API with plans is for subscribers of its plans"
        hint = "remove `access`, or the plans"
        refs.report_error(document, evaluated, "access.unused", text, at, hint)
        return False
    if not definition.plans and not {"api_key", "jwt"} & set(policies):
        text = "`access` has no effect: nothing identifies the callers of this API"
        hint = "use a policy of type api_key or jwt, or write plans"
        refs.report_error(document, evaluated, "access.unused", text, at, hint)
        return False
    return True


def _note_unknown_tenants(
    refs: References, document: Document, evaluated: EvaluatedDocument, definition: ApiDefinition
) -> None:
    """Warn of consents to tenants that are not there; an error would let them break the API."""
    for plan, tenant in definition.plan_tenants:
        if tenant != "*" and refs.has_document("Tenant", tenant, tenant) is False:
            text = f"the plan {plan} takes the tenant {tenant}, which is not there"
            refs.report_warning(document, evaluated, "plan.tenant", text, ("spec", "plans"))


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
    are_all_known = True
    for target in definition.gateways:
        text = refs.why_gateway_unusable(target.name, document.tenant)
        if text:
            are_all_known = False
            hint = refs.suggest_gateway(target.name)
            refs.report_error(document, evaluated, "ref.gateway", text, target.pointer, hint)
        gateway = refs.gateways.get(target.name)
        if text is None and gateway is not None:
            active = definition.active if target.active is None else target.active
            targets[target.name] = (gateway, active)
    return tuple(targets.values()), are_all_known


class _DocumentResolver:
    """`evaluation.kind.Resolver` for one document: its questions and errors go to References."""

    def __init__(
        self,
        refs: References,
        document: Document,
        evaluated: EvaluatedDocument,
        apis: Mapping[Key, ResolvedApi],
    ) -> None:
        self._refs = refs
        self._document = document
        self._evaluated = evaluated
        self._apis = apis

    def has_api(self, key: Key) -> bool:
        return self._refs.has_document(API_KIND, key.tenant, key.name) is not False

    def api(self, key: Key) -> ApiDefinition | None:
        api = self._apis.get(key)
        return None if api is None else api.definition

    def suggest(self, name: str, kind: str, tenant: str, what: str) -> str:
        return self._refs.suggest(name, kind, tenant, what)

    def report_error(self, code: str, message: str, pointer: Pointer, hint: str) -> None:
        self._refs.report_error(self._document, self._evaluated, code, message, pointer, hint)


def resolve_dependent(
    refs: References,
    kind: DocumentKind,
    document: Document,
    apis: Mapping[Key, ResolvedApi],
    broken: Collection[Key],
) -> tuple[ResolvedDependent | None, tuple[Key, ...]]:
    """Resolve a document of a kind that depends on APIs.

    Returns it (None where it is not valid here), and all APIs that it names.
    """
    if not refs.concerns_tenant(document):
        return None, ()
    evaluated = refs.evaluate(document)
    definition = evaluated.definition
    if definition is None:
        return None, ()
    named = kind.apis_of(definition) if kind.apis_of is not None else ()
    if kind.resolve is not None:
        resolver = _DocumentResolver(refs, document, evaluated, apis)
        definition = kind.resolve(definition, resolver)
        if definition is None:
            return None, named
    valid = None if kind.apis_of is None else tuple(key for key in named if key in apis)
    unknown = tuple(
        key
        for key in named
        if key in broken or refs.has_document(API_KIND, key.tenant, key.name) is None
    )
    return ResolvedDependent(kind, document, evaluated, definition, valid, unknown), named

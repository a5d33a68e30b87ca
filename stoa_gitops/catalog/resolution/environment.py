"""Resolves the references of one environment: which API goes to which gateway, with which policies.

Resolution is incremental: a document is resolved again when it changed, or when something changed
that it refers to. What two documents do to each other on a gateway is checked in `collisions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stoa_gitops.catalog.documents.boundary import internal_finding
from stoa_gitops.catalog.evaluation.overlay import Overlay
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.evaluation_cache import EvaluationCache
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.catalog.resolution.foreign_secrets import NO_GUARD, SecretGuard
from stoa_gitops.catalog.resolution.index import Delta, DocKey
from stoa_gitops.catalog.resolution.references import References
from stoa_gitops.catalog.resolution.resolved import (
    ApiResolution,
    ResolvedApi,
    ResolvedDependent,
    ResolvedTenant,
)
from stoa_gitops.catalog.resolution.resolvers import (
    resolve_api,
    resolve_dependent,
    resolve_tenant,
)
from stoa_gitops.catalog.resolution.tenant_limits import check_limits
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import API, Key


@dataclass(slots=True)
class ResolutionChanges:
    """What an update changed: APIs as they were before (None for new ones), and dependents."""

    apis: dict[Key, ResolvedApi | None] = field(default_factory=dict)
    dependents: set[DocKey] = field(default_factory=set)


class EnvironmentResolver:
    """Resolves the references of one environment and reports those that lead nowhere.

    apis           valid ones, by key
    broken_apis    keys of those that a mistake hides, and that may concern this environment
    dependents     valid documents of kinds that depend on APIs (applications), by document
    dependents_of  dependents by the API that they name, whether the API is valid or not
    """

    def __init__(
        self,
        evaluations: EvaluationCache,
        overlay: Overlay,
        gateways: Mapping[str, GatewayInstance],
        *,
        is_partial: bool = False,
        secrets: SecretGuard = NO_GUARD,
    ) -> None:
        self.refs = References(
            evaluations, overlay, gateways, is_partial=is_partial, secrets=secrets
        )
        self.evaluations = evaluations
        self.gateways = self.refs.gateways
        self.apis: dict[Key, ResolvedApi] = {}
        self.broken_apis: set[Key] = set()
        self.dependents: dict[DocKey, ResolvedDependent] = {}
        self.dependents_of: dict[Key, set[DocKey]] = {}
        self._kinds = evaluations.kinds
        self._tenants: dict[str, ResolvedTenant | None] = {}
        self._used_policies: dict[DocKey, tuple[str, ...]] = {}
        self._named_apis: dict[DocKey, tuple[Key, ...]] = {}

    @property
    def may_be_empty(self) -> frozenset[str]:
        """Tenants that may lose all of their objects at once."""
        tenants = self._tenants.items()
        return frozenset(name for name, tenant in tenants if tenant and tenant.may_be_empty)

    def update(self, delta: Delta) -> ResolutionChanges:
        """Resolve again what `delta` names, and everything that refers to it.

        The order follows the references: tenants, then APIs, then what depends on APIs.
        """
        changes = ResolutionChanges()
        again = delta.keys | self.refs.pop_documents_hinting_at(delta.names)
        self._resolve_tenants(again)
        policies = {(tenant, name) for kind, tenant, name in delta.keys if kind == "Policy"}
        again |= self._apis_using(policies)
        for key in again:
            if key[0] == "API":
                self._resolve_api(key, changes)
        # A list, because the set grows in the loop.
        for key in [key for key in again if key[0] == "API"]:
            again |= self.dependents_of.get(Key(API, key[1], key[2]), set())
        for key in again:
            if key[0] in self._kinds.dependents:
                self._resolve_dependent(key, changes)
            elif key[0] == "Policy":
                # Its findings are reported even if no API uses it.
                self._note_policy(key)
        return changes

    def _resolve_tenants(self, again: set[DocKey]) -> None:
        """Resolve tenants; documents that depend on one that changed are added to `again`."""
        by_kind = self.evaluations.index.by_kind
        affected = {tenant for kind, tenant, _ in again if kind in ("Tenant", "Policy")}
        limited = {kind.name for kind in self._kinds.limited}
        counted = {tenant for kind, tenant, _ in again if kind in limited}
        for tenant in affected:
            documents = self._tenant_documents(tenant)
            before = self._tenants.get(tenant)
            self.refs.finding_log.begin()
            resolved = resolve_tenant(self.refs, documents)
            self.refs.finding_log.end(("tenant", tenant))
            self._tenants.pop(tenant, None)
            if resolved is not None:
                self._tenants[tenant] = resolved
            if resolved != before:
                for kind in ("API", *self._kinds.dependents):
                    again |= {(kind, tenant, n) for n in by_kind.get((kind, tenant), ())}
        for tenant in affected | counted:
            self.refs.finding_log.begin()
            check_limits(self.refs, tenant, self._tenant_documents(tenant))
            self.refs.finding_log.end(("limits", tenant))

    def _tenant_documents(self, tenant: str) -> list[Document]:
        found = self.evaluations.index.by_kind.get(("Tenant", tenant), {}).values()
        return sorted(found, key=lambda document: (document.path, document.parsed.index))

    def _apis_using(self, policies: set[tuple[str, str]]) -> set[DocKey]:
        """Return the APIs that use one of these policies, (tenant, name), by name."""
        by_kind = self.evaluations.index.by_kind
        found = set()
        for tenant in {tenant for tenant, _ in policies}:
            names = {name for owner, name in policies if owner == tenant}
            for name in by_kind.get(("API", tenant), ()):
                key = ("API", tenant, name)
                if not names.isdisjoint(self._used_policies.get(key, ())):
                    found.add(key)
        return found

    def _resolve_api(self, key: DocKey, changes: ResolutionChanges) -> None:
        document = self.evaluations.index.get(*key)
        name = Key(API, key[1], key[2])
        found = ApiResolution(is_broken=document is not None)
        self.refs.finding_log.begin()
        if document is not None and not document.is_broken:
            self.refs.current = key
            try:
                found = resolve_api(self.refs, document, self._tenants.get(key[1]))
            except BaseException as error:  # noqa: BLE001 - others must be resolved all the same
                self._report_internal(document, error)
        self.refs.finding_log.end(key)
        self._used_policies.pop(key, None)
        if found.policies:
            self._used_policies[key] = found.policies
        if found.is_broken:
            self.broken_apis.add(name)
        else:
            self.broken_apis.discard(name)
        self._replace_api(name, found.api, changes)

    def _replace_api(
        self, name: Key, resolved: ResolvedApi | None, changes: ResolutionChanges
    ) -> None:
        before = self.apis.get(name)
        if resolved is None and before is None:
            return
        # Nothing of it changed, so nothing that depends on it has to be built again.
        if resolved is not None and resolved.is_same(before):
            return
        changes.apis[name] = before
        if resolved is None:
            del self.apis[name]
        else:
            self.apis[resolved.definition.key] = resolved

    def _resolve_dependent(self, key: DocKey, changes: ResolutionChanges) -> None:
        for api in self._named_apis.pop(key, ()):
            self.dependents_of[api].discard(key)
            if not self.dependents_of[api]:
                del self.dependents_of[api]
        document = self.evaluations.index.get(*key)
        resolved: ResolvedDependent | None = None
        self.refs.finding_log.begin()
        if document is not None and not document.is_broken:
            self.refs.current = key
            apis: tuple[Key, ...] = ()
            try:
                resolved, apis = resolve_dependent(
                    self.refs,
                    self._kinds.dependents[key[0]],
                    document,
                    self.apis,
                    self.broken_apis,
                )
            except BaseException as error:  # noqa: BLE001 - others must be resolved all the same
                self._report_internal(document, error)
            if apis:
                self._named_apis[key] = apis
            for api in apis:
                self.dependents_of.setdefault(api, set()).add(key)
            if self._tenants.get(key[1]) is None:
                resolved = None  # nothing of a tenant whose own document is broken is written
        self.refs.finding_log.end(key)
        self.dependents.pop(key, None)
        if resolved is not None:
            self.dependents[key] = resolved
        changes.dependents.add(key)

    def _report_internal(self, document: Document, error: BaseException) -> None:
        finding = internal_finding(error, document=document.parsed.index)
        self.refs.finding_log.add(LocatedFinding(document.path, finding))

    def _note_policy(self, key: DocKey) -> None:
        document = self.evaluations.index.get(*key)
        refs = self.refs
        refs.finding_log.begin()
        if document is not None and not document.is_broken and refs.concerns_tenant(document):
            refs.evaluate(document)
        refs.finding_log.end(key)

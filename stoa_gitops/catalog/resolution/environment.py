"""One environment of a catalog: which API goes to which gateway, with which policies.

References are followed here, and followed again when what they lead to changed. What two documents do to
each other on a gateway is for `collisions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stoa_gitops.catalog.kinds.environment import Overlay
from stoa_gitops.catalog.resolution.evaluated import EvaluationCache
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.catalog.resolution.index import Delta, DocKey
from stoa_gitops.catalog.resolution.references import References
from stoa_gitops.catalog.resolution.resolve import resolve_api, resolve_application, resolve_tenant
from stoa_gitops.catalog.resolution.resolved import ResolvedApi, ResolvedApplication, ResolvedTenant
from stoa_gitops.catalog.resolution.tenant_limits import check_limits
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import API, Key


@dataclass(slots=True)
class ResolutionChanges:
    """What an update placed elsewhere: APIs as they were (None for new ones), and applications."""

    apis: dict[Key, ResolvedApi | None] = field(default_factory=dict)
    applications: set[DocKey] = field(default_factory=set)


class EnvironmentResolver:
    """Follows the references of one environment and notes those that lead nowhere.

    apis, applications   those that lead somewhere
    subscribers          applications by the API that they ask for
    """

    def __init__(
        self,
        evaluations: EvaluationCache,
        overlay: Overlay,
        gateways: Mapping[str, GatewayInstance],
        *,
        is_partial: bool = False,
    ) -> None:
        self.refs = References(evaluations, overlay, gateways, is_partial=is_partial)
        self.evaluations = evaluations
        self.gateways = self.refs.gateways
        self.apis: dict[Key, ResolvedApi] = {}
        self.applications: dict[DocKey, ResolvedApplication] = {}
        self.subscribers: dict[Key, set[DocKey]] = {}
        self._tenants: dict[str, ResolvedTenant | None] = {}
        self._uses: dict[DocKey, tuple[str, ...]] = {}
        self._subscribed: dict[DocKey, tuple[Key, ...]] = {}

    def update(self, delta: Delta) -> ResolutionChanges:
        """Follow again what `delta` touches, and everything that leads there."""
        moved = ResolutionChanges()
        again = delta.keys | self.refs.hinted_about(delta.names)
        self._resolve_tenants(again)
        policies = {(tenant, name) for kind, tenant, name in delta.keys if kind == "Policy"}
        again |= self._using(policies)
        for key in again:
            if key[0] == "API":
                self._resolve_api(key, moved)
        for key in [key for key in again if key[0] == "API"]:
            again |= self.subscribers.get(Key(API, key[1], key[2]), set())
        for key in again:
            if key[0] == "Application":
                self._resolve_application(key, moved)
            elif key[0] == "Policy":
                # Those that nobody uses, too.
                self._note_policy(key)
        return moved

    def _resolve_tenants(self, again: set[DocKey]) -> None:
        """Follow the references of tenants; what depends on one that changed is added to `again`."""
        by_kind = self.evaluations.index.by_kind
        concerned = {tenant for kind, tenant, _ in again if kind in ("Tenant", "Policy")}
        counted = {tenant for kind, tenant, _ in again if kind in ("API", "Application")}
        for tenant in concerned:
            documents = self._tenant_documents(tenant)
            before = self._tenants.get(tenant)
            self.refs.finding_log.begin()
            placed = resolve_tenant(self.refs, documents)
            self.refs.finding_log.end(("tenant", tenant))
            self._tenants.pop(tenant, None)
            if placed is not None:
                self._tenants[tenant] = placed
            if placed != before:
                for kind in ("API", "Application"):
                    again |= {(kind, tenant, n) for n in by_kind.get((kind, tenant), ())}
        for tenant in concerned | counted:
            self.refs.finding_log.begin()
            check_limits(self.refs, tenant, self._tenant_documents(tenant))
            self.refs.finding_log.end(("limits", tenant))

    def _tenant_documents(self, tenant: str) -> list[Document]:
        found = self.evaluations.index.by_kind.get(("Tenant", tenant), {}).values()
        return sorted(found, key=lambda document: (document.path, document.parsed.index))

    def _using(self, policies: set[tuple[str, str]]) -> set[DocKey]:
        """Return the APIs that use one of these policies by name."""
        by_kind = self.evaluations.index.by_kind
        found = set()
        for tenant in {tenant for tenant, _ in policies}:
            names = {name for of, name in policies if of == tenant}
            for name in by_kind.get(("API", tenant), ()):
                key = ("API", tenant, name)
                if not names.isdisjoint(self._uses.get(key, ())):
                    found.add(key)
        return found

    def _resolve_api(self, key: DocKey, moved: ResolutionChanges) -> None:
        document = self.evaluations.index.get(*key)
        placed: ResolvedApi | None = None
        uses: tuple[str, ...] = ()
        self.refs.finding_log.begin()
        if document is not None and not document.is_broken:
            self.refs.now = key
            placed, uses = resolve_api(self.refs, document, self._tenants.get(key[1]))
        self.refs.finding_log.end(key)
        self._uses.pop(key, None)
        if uses:
            self._uses[key] = uses
        name = Key(API, key[1], key[2])
        before = self.apis.get(name)
        if placed is None and before is None:
            return
        if placed is not None and placed.is_same(before):
            return
        moved.apis[name] = before
        if placed is None:
            del self.apis[name]
        else:
            self.apis[placed.definition.key] = placed

    def _resolve_application(self, key: DocKey, moved: ResolutionChanges) -> None:
        document = self.evaluations.index.get(*key)
        for api in self._subscribed.pop(key, ()):
            self.subscribers[api].discard(key)
            if not self.subscribers[api]:
                del self.subscribers[api]
        placed = None
        self.refs.finding_log.begin()
        if document is not None and not document.is_broken:
            self.refs.now = key
            placed, asked = resolve_application(self.refs, document, self.apis)
            if asked:
                self._subscribed[key] = asked
            for api in asked:
                self.subscribers.setdefault(api, set()).add(key)
            if self._tenants.get(key[1]) is None:
                placed = None
        self.refs.finding_log.end(key)
        self.applications.pop(key, None)
        if placed is not None:
            self.applications[key] = placed
        moved.applications.add(key)

    def _note_policy(self, key: DocKey) -> None:
        document = self.evaluations.index.get(*key)
        self.refs.finding_log.begin()
        if document is not None and not document.is_broken and self.refs.concerns_tenant(document):
            self.refs.finding_log.note(
                document, self.evaluations.evaluated(document, self.refs.overlay)
            )
        self.refs.finding_log.end(key)

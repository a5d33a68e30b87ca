"""Everything that a reader knows about one tree, updated from tree to tree by the paths that
differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from stoa_gitops.catalog.documents.isolation import Isolation
from stoa_gitops.catalog.documents.parsed_files import ParsedFile
from stoa_gitops.catalog.evaluation.kind import KindSet
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.collisions import Collisions
from stoa_gitops.catalog.resolution.completeness import missing_halves, unused_patches
from stoa_gitops.catalog.resolution.desired_state import DesiredStateBuilder
from stoa_gitops.catalog.resolution.environment import EnvironmentResolver
from stoa_gitops.catalog.resolution.evaluation_cache import EvaluationCache
from stoa_gitops.catalog.resolution.foreign_secrets import SecretGuard, SecretRefusal
from stoa_gitops.catalog.resolution.gateway_support import GatewaySupport
from stoa_gitops.catalog.resolution.index import Delta, DocKey, Index
from stoa_gitops.catalog.resolution.places import PlaceMap
from stoa_gitops.catalog.resolution.topology import Topology, read_topology
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import Resource
from stoa_gitops.model.secret_rights import SecretRights, inner_tenants


class EnvironmentState:
    """One environment of a tree: its resolved documents, collisions and desired states.

    signature   what all of that depends on besides tenants' documents; another signature means that
                the environment is built anew
    """

    def __init__(
        self,
        name: str,
        topology: Topology,
        evaluations: EvaluationCache,
        support: GatewaySupport | None,
        secret_refusal: SecretRefusal | None,
        before: Mapping[str, Mapping[Key, Resource]],
    ) -> None:
        self.signature = topology.signature(name)
        overlay, self.is_partial = topology.overlay(name)
        self._overlay, self._index = overlay, evaluations.index
        self.fingerprint = overlay.fingerprint
        self._resolver = EnvironmentResolver(
            evaluations,
            overlay,
            topology.gateways,
            is_partial=self.is_partial,
            secrets=SecretGuard(topology.rights, secret_refusal),
        )
        types = evaluations.kinds.schemas.gateway_type
        gateways = self._resolver.gateways.values()
        self._collisions = Collisions(gateways, types, support, topology.grants)
        self._index = evaluations.index
        self._builder = DesiredStateBuilder(
            self._resolver, self._collisions, support, before, PlaceMap(topology.grants)
        )

    @property
    def resources(self) -> Mapping[str, Mapping[Key, Resource]]:
        """What each gateway should have; nothing where the environment's document is broken."""
        return {} if self.is_partial else self._builder.resources

    @property
    def may_be_empty(self) -> frozenset[str]:
        """Tenants that may lose all of their objects at once."""
        return self._resolver.may_be_empty

    @property
    def found(self) -> Iterator[LocatedFinding]:
        """Everything that is wrong in this environment."""
        for items in self._resolver.refs.finding_log.found.values():
            yield from items
        yield from self._collisions.found
        for items in self._builder.finding_log.found.values():
            yield from items
        yield from unused_patches(self._overlay, self._index.by_kind, self._index.incomplete)

    def update(self, delta: Delta) -> None:
        """Update what depends on the documents of `delta`."""
        changes = self._resolver.update(delta)
        validity_changed = self._collisions.update(
            changes.apis, self._resolver.apis, self._index.tenants
        )
        self._builder.update(changes, validity_changed)


class CatalogState:
    """What a reader knows about the last tree; of no use after an update that raised."""

    def __init__(
        self,
        kinds: KindSet,
        support: GatewaySupport | None,
        secret_refusal: SecretRefusal | None = None,
        isolation: Isolation | None = None,
    ) -> None:
        self.index = Index(kinds.layout)
        self.topology = Topology()
        self.environments: dict[str, EnvironmentState] = {}
        self._kinds = kinds
        self._support = support
        self._secret_refusal = secret_refusal
        self._evaluations = EvaluationCache(self.index, kinds, isolation or Isolation())
        self.files: Mapping[str, str] = {}
        self.links: Mapping[str, str] = {}
        self._is_first = True

    @property
    def found(self) -> Iterator[LocatedFinding]:
        """Everything that is wrong with the tree."""
        for found in (self.index.found, self._evaluations.found):
            for items in found.values():
                yield from items
        yield from self.topology.found
        yield from missing_halves(
            self.index.documents("GatewayInstance"),
            self.index.tenant_paths,
            self.index.incomplete,
        )
        for environment in self.environments.values():
            yield from environment.found

    def update(
        self, tree: Tree, changed: Iterable[str], parsed_files: Mapping[str, ParsedFile]
    ) -> None:
        """Update to a tree whose paths differ in `changed` from the one before.

        `parsed_files` has every file by blob id. Raises CatalogError when files of the tree are
        gone.
        """
        delta = self.index.update(tree.files, changed, parsed_files.__getitem__, tree.problems)
        self._evaluations.update(tree, delta)
        # Gateways and environments lie outside of tenants' folders.
        if self._is_first or delta.is_outside:
            self.topology = read_topology(self.index, self._kinds, self._secret_refusal)
        self._is_first = False
        self._update_rights()
        self.files, self.links = tree.files, tree.links
        self._update_environments(delta)

    def _update_rights(self) -> None:
        """Note which tenants' names lie within others: whose a variable is depends on it."""
        topology = self.topology
        inner = inner_tenants({*self.index.tenants, *topology.grants.tenants})
        rights = SecretRights(topology.grants, inner, topology.operators_secrets)
        if rights != topology.rights:
            topology.rights = rights

    def _update_environments(self, delta: Delta) -> None:
        names = sorted({gateway.environment for gateway in self.topology.gateways.values()})
        before, self.environments = self.environments, {}
        # Equal resources stay the same objects even if their environment is built anew.
        resources = {n: held for item in before.values() for n, held in item.resources.items()}
        everything: Delta | None = None
        # Without any gateway, documents are checked all the same, in an environment without name.
        for name in names or [""]:
            known = before.get(name)
            if known is not None and known.signature == self.topology.signature(name):
                known.update(delta)
                self.environments[name] = known
                continue
            fresh = EnvironmentState(
                name,
                self.topology,
                self._evaluations,
                self._support,
                self._secret_refusal,
                resources,
            )
            everything = everything or self._everything()
            self.environments[name] = fresh
            fresh.update(everything)
        if everything is not None:
            self._evaluations.drop_other_overlays(
                item.fingerprint for item in self.environments.values()
            )

    def _everything(self) -> Delta:
        """Return a delta of all documents that lie in tenants' folders."""
        keys: set[DocKey] = set()
        for (kind, tenant), documents in self.index.by_kind.items():
            if kind in self._kinds.in_tenants:
                keys.update((kind, tenant, name) for name in documents)
        return Delta(keys)

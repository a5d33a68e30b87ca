"""Everything that a reader knows about one tree, brought from tree to tree by the paths that differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from stoa_gitops.catalog.documents.parse import ParsedFile
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.collisions import Collisions
from stoa_gitops.catalog.resolution.desired_state import DesiredStateBuilder
from stoa_gitops.catalog.resolution.environment import EnvironmentResolver
from stoa_gitops.catalog.resolution.evaluated import EvaluationCache
from stoa_gitops.catalog.resolution.gateway_support import GatewaySupport
from stoa_gitops.catalog.resolution.index import Delta, DocKey, Index
from stoa_gitops.catalog.resolution.topology import Topology, read_topology
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import Resource

_KINDS = ("Tenant", "API", "Application", "Policy")


class Environment:
    """One environment of a tree: who goes where, what collides there, and what its gateways should have.

    signature   what all of that depends on besides tenants' documents; another one means another Environment
    """

    def __init__(
        self,
        name: str,
        base: Topology,
        evaluations: EvaluationCache,
        support: GatewaySupport | None,
        before: Mapping[str, Mapping[Key, Resource]],
    ) -> None:
        self.signature = base.signature(name)
        overlay, self.is_partial = base.overlay(name)
        self.fingerprint = overlay.fingerprint
        self._scene = EnvironmentResolver(
            evaluations, overlay, base.gateways, is_partial=self.is_partial
        )
        self._collisions = Collisions(self._scene.gateways.values(), support)
        self._assembly = DesiredStateBuilder(self._scene, self._collisions, support, before)

    @property
    def resources(self) -> Mapping[str, Mapping[Key, Resource]]:
        """What each gateway should have; nothing where the environment's document is broken."""
        return {} if self.is_partial else self._assembly.resources

    @property
    def found(self) -> Iterator[LocatedFinding]:
        """Everything that is wrong in this environment."""
        for items in self._scene.refs.finding_log.found.values():
            yield from items
        yield from self._collisions.found
        for items in self._assembly.finding_log.found.values():
            yield from items

    def update(self, delta: Delta) -> None:
        """Work out again what depends on the documents of `delta`."""
        moved = self._scene.update(delta)
        validity_changed = self._collisions.update(moved.apis, self._scene.apis)
        self._assembly.update(moved, validity_changed)


class State:
    """What a reader knows about the last tree; of no use after an update that did not end."""

    def __init__(self, support: GatewaySupport | None) -> None:
        self.index = Index()
        self.base = Topology()
        self.environments: dict[str, Environment] = {}
        self._support = support
        self._evaluations = EvaluationCache(self.index)
        self.files: Mapping[str, str] = {}
        self._is_first = True

    @property
    def found(self) -> Iterator[LocatedFinding]:
        """Everything that is wrong with the tree."""
        for found in (self.index.found, self._evaluations.found):
            for items in found.values():
                yield from items
        yield from self.base.found
        for environment in self.environments.values():
            yield from environment.found

    def update(self, tree: Tree, changed: Iterable[str], blobs: Mapping[str, ParsedFile]) -> None:
        """Take in a tree whose paths differ in `changed` from the one before; `blobs` is what files hold.

        Raises CatalogError when its files are gone meanwhile.
        """
        delta = self.index.update(tree.files, changed, blobs.__getitem__, tree.problems)
        self._evaluations.update(tree, delta)
        if self._is_first or any(not key[1] for key in delta.keys):
            self.base = read_topology(self.index)
        self._is_first = False
        self.files = tree.files
        self._update_environments(delta)

    def _update_environments(self, delta: Delta) -> None:
        names = sorted({gateway.environment for gateway in self.base.gateways.values()}) or [""]
        before, self.environments = self.environments, {}
        resources = {n: held for item in before.values() for n, held in item.resources.items()}
        everything: Delta | None = None
        for name in names:
            known = before.get(name)
            if known is not None and known.signature == self.base.signature(name):
                known.update(delta)
                self.environments[name] = known
                continue
            fresh = Environment(name, self.base, self._evaluations, self._support, resources)
            everything = everything or self._everything()
            self.environments[name] = fresh
            fresh.update(everything)
        if everything is not None:
            self._evaluations.forget(item.fingerprint for item in self.environments.values())

    def _everything(self) -> Delta:
        keys: set[DocKey] = set()
        for (kind, tenant), documents in self.index.by_kind.items():
            if kind in _KINDS:
                keys.update((kind, tenant, name) for name in documents)
        return Delta(keys)

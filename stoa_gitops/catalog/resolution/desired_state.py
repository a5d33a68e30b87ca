"""Builds the desired state of each gateway of one environment, and updates it by what changed."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from stoa_gitops.catalog.resolution.collisions import Collisions
from stoa_gitops.catalog.resolution.environment import EnvironmentResolver, ResolutionChanges
from stoa_gitops.catalog.resolution.finding_log import FindingLog
from stoa_gitops.catalog.resolution.gateway_support import GatewaySupport, check_dependent
from stoa_gitops.catalog.resolution.index import DocKey
from stoa_gitops.catalog.resolution.places import PlaceMap
from stoa_gitops.catalog.resolution.resolved import ResolvedDependent
from stoa_gitops.catalog.resolution.resources import api_resources
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import Resource


class DesiredStateBuilder:
    """The resources of each gateway; a resource that did not change stays the same object.

    That sameness is what later layers rely on to find in no time what did not change. `before` is
    what gateways had by an earlier builder; equal resources are taken from there.

    resources   by gateway; a new mapping whenever one of them changes, so that what a reader holds
                is never modified
    """

    def __init__(
        self,
        resolver: EnvironmentResolver,
        collisions: Collisions,
        support: GatewaySupport | None,
        before: Mapping[str, Mapping[Key, Resource]],
        places: PlaceMap,
    ) -> None:
        self.resources: dict[str, dict[Key, Resource]] = {name: {} for name in resolver.gateways}
        self.finding_log = FindingLog()
        self._resolver = resolver
        self._schemas = resolver.evaluations.kinds.schemas
        self._collisions = collisions
        self._places = places
        gateways = resolver.gateways.items()
        self._support = {name: support.of(g) for name, g in gateways} if support else {}
        self._before = before
        self._written: dict[str, dict[Key | DocKey, tuple[Resource, ...]]] = {
            name: {} for name in resolver.gateways
        }
        # By gateway and tenant: the APIs that let in every application of their tenant.
        self._open: dict[str, dict[str, set[Key]]] = {name: {} for name in resolver.gateways}

    def update(self, changes: ResolutionChanges, validity_changed: set[Key]) -> None:
        """Build the resources of what was resolved otherwise, or whose validity changed."""
        apis = changes.apis.keys() | validity_changed
        dependents = set(changes.dependents)
        for key in apis:
            dependents |= self._resolver.dependents_of.get(key, set())
        # Made once, and shared by all gateways on which the API is active (or is not).
        made: dict[tuple[Key, bool], tuple[Resource, ...]] = {}
        for name, gateway in self._resolver.gateways.items():
            edit = _Edit(self.resources[name], self._before.get(name))
            were_open = {tenant for tenant, open_apis in self._open[name].items() if open_apis}
            for key in apis:
                self._write_api(key, gateway, edit, made)
            are_open = {tenant for tenant, open_apis in self._open[name].items() if open_apis}
            dependents |= self._callers_of(were_open ^ are_open)
            # After the APIs: an application names those that are on the gateway.
            for document in dependents:
                self._write_dependent(document, gateway, edit)
            self.resources[name] = edit.resources
        # Needed by the first update only; it would keep all resources of an earlier state alive.
        self._before = {}
        if self._support:
            for document in dependents:
                self._check_dependent(document)

    def _write_api(
        self,
        key: Key,
        gateway: GatewayInstance,
        edit: _Edit,
        made: dict[tuple[Key, bool], tuple[Resource, ...]],
    ) -> None:
        written = self._written[gateway.name]
        before = written.pop(key, ())
        api = self._resolver.apis.get(key)
        now: tuple[Resource, ...] = ()
        if api is not None and key not in self._collisions.broken:
            for target, active in api.targets:
                if target is gateway:
                    if (key, active) not in made:
                        resources = api_resources(api, self._schemas, self._places, active=active)
                        made[key, active] = tuple(resources)
                    now = made[key, active]
        if now:
            now = written[key] = edit.kept(now)
        open_apis = self._open[gateway.name].setdefault(key.tenant, set())
        open_apis.discard(key)
        if now and api is not None and api.is_open_to_tenant:
            open_apis.add(key)
        edit.replace(before, now)

    def _callers_of(self, tenants: set[str]) -> set[DocKey]:
        """Return the documents of these tenants that go where an API lets in all of them."""
        if not tenants:
            return set()
        found = self._resolver.dependents.items()
        return {key for key, one in found if one.kind.is_caller and key[1] in tenants}

    def _write_dependent(self, key: DocKey, gateway: GatewayInstance, edit: _Edit) -> None:
        written = self._written[gateway.name]
        before = written.pop(key, ())
        dependent = self._resolver.dependents.get(key)
        now: tuple[Resource, ...] = ()
        if dependent is not None and dependent.kind.resources is not None:
            broken = self._broken_of(dependent)
            apis = edit.resources.keys() | broken if broken else edit.resources.keys()
            if self._has_place(dependent, gateway, apis):
                now = tuple(dependent.kind.resources(dependent.definition, apis))
                now = tuple(_with_broken(resource, broken) for resource in now) if broken else now
        if now:
            now = written[key] = edit.kept(now)
        edit.replace(before, now)

    def _has_place(
        self, dependent: ResolvedDependent, gateway: GatewayInstance, apis: AbstractSet[Key]
    ) -> bool:
        """Whether an object of a document has a place on a gateway that has these APIs."""
        apis_of = dependent.kind.apis_of
        if apis_of is None or not _takes_tenant(gateway, dependent):
            return self._goes_to(dependent, gateway)
        # Of the definition: what it has no right to was left out of it.
        is_named = any(key in apis for key in apis_of(dependent.definition))
        return is_named or self._is_let_in(dependent, gateway)

    def _is_let_in(self, dependent: ResolvedDependent, gateway: GatewayInstance) -> bool:
        return dependent.kind.is_caller and bool(
            self._open[gateway.name].get(dependent.document.tenant)
        )

    def _goes_to(self, dependent: ResolvedDependent, gateway: GatewayInstance) -> bool:
        """Whether a document concerns a gateway: one of its APIs goes there, or it needs none."""
        if not _takes_tenant(gateway, dependent):
            return False
        if dependent.apis is None:
            return True
        if self._is_let_in(dependent, gateway):
            return True
        apis = self._resolver.apis
        return any(apis[key].is_on(gateway) for key in dependent.apis)

    def _broken_of(self, dependent: ResolvedDependent) -> frozenset[Key]:
        """Return the APIs that a document names and of which a mistake hides what they are."""
        colliding = self._collisions.broken.intersection(dependent.apis or ())
        return frozenset((*dependent.broken, *colliding))

    def _check_dependent(self, key: DocKey) -> None:
        dependent = self._resolver.dependents.get(key)
        self.finding_log.begin()
        for gateway in self._resolver.gateways.values() if dependent is not None else ():
            if dependent is not None and self._goes_to(dependent, gateway):
                for item in check_dependent(dependent, self._support[gateway.name]):
                    self.finding_log.add(item)
        self.finding_log.end(key)


def _takes_tenant(gateway: GatewayInstance, dependent: ResolvedDependent) -> bool:
    return not gateway.tenants or dependent.document.tenant in gateway.tenants


def _with_broken(resource: Resource, broken: frozenset[Key]) -> Resource:
    named = tuple(key for key in resource.hints.depends_on if key in broken)
    return replace(resource, hints=replace(resource.hints, broken=named)) if named else resource


class _Edit:
    """A mapping that is copied before its first change."""

    def __init__(
        self, resources: dict[Key, Resource], known: Mapping[Key, Resource] | None
    ) -> None:
        self.resources = resources
        self._known = resources if known is None else known
        self._is_own = False

    def kept(self, now: tuple[Resource, ...]) -> tuple[Resource, ...]:
        """Return resources, as the objects that they were before where they are equal."""
        known = self._known
        if not known:
            return now
        return tuple(old if (old := known.get(new.key)) == new else new for new in now)

    def replace(self, before: tuple[Resource, ...], now: tuple[Resource, ...]) -> None:
        """Take resources out, and others in."""
        # Most updates end here: nothing is copied for a gateway on which nothing changed.
        if _is_same(before, now):
            return
        if not self._is_own:
            self.resources = self.resources.copy()
            self._is_own = True
        for resource in now:
            self.resources[resource.key] = resource
        if not before:
            return
        # Resources under the same key were replaced above; only the others are removed.
        left = {resource.key for resource in now}
        for resource in before:
            if resource.key not in left:
                self.resources.pop(resource.key, None)


def _is_same(before: tuple[Resource, ...], now: tuple[Resource, ...]) -> bool:
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))

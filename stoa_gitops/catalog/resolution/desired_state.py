"""The desired state of each gateway of one environment, kept and changed by the difference."""

from __future__ import annotations

from collections.abc import Mapping

from stoa_gitops.catalog.resolution.collisions import Collisions
from stoa_gitops.catalog.resolution.environment import EnvironmentResolver, ResolutionChanges
from stoa_gitops.catalog.resolution.finding_log import FindingLog
from stoa_gitops.catalog.resolution.gateway_support import GatewaySupport, check_application
from stoa_gitops.catalog.resolution.index import DocKey
from stoa_gitops.catalog.resolution.resolved import ResolvedApplication
from stoa_gitops.catalog.resolution.resources import api_resources, application_resource
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import APPLICATION, Key
from stoa_gitops.model.resources import Resource


class DesiredStateBuilder:
    """The resources of each gateway; what did not change stays the same object.

    `before` is what gateways had by another assembly; equal resources are taken from there.

    resources   by gateway; a new mapping whenever one of them changes, so that a reader's is never touched
    """

    def __init__(
        self,
        scene: EnvironmentResolver,
        collisions: Collisions,
        support: GatewaySupport | None,
        before: Mapping[str, Mapping[Key, Resource]],
    ) -> None:
        self.resources: dict[str, dict[Key, Resource]] = {name: {} for name in scene.gateways}
        self.finding_log = FindingLog()
        self._scene = scene
        self._collisions = collisions
        gateways = scene.gateways.items()
        self._support = {name: support.of(g) for name, g in gateways} if support else {}
        self._before = before
        self._written: dict[str, dict[Key, tuple[Resource, ...]]] = {
            name: {} for name in scene.gateways
        }

    def update(self, moved: ResolutionChanges, validity_changed: set[Key]) -> None:
        """Write again what moved, and what broke or was mended (`flipped`)."""
        apis = moved.apis.keys() | validity_changed
        applications = set(moved.applications)
        for key in apis:
            applications |= self._scene.subscribers.get(key, set())
        made: dict[tuple[Key, bool], tuple[Resource, ...]] = {}
        for name, gateway in self._scene.gateways.items():
            edit = _Edit(self.resources[name], self._before.get(name))
            for key in apis:
                self._write_api(key, gateway, edit, made)
            for document in applications:
                self._write_application(document, gateway, edit)
            self.resources[name] = edit.resources
        self._before = {}
        if self._support:
            for document in applications:
                self._check_application(document)

    def _write_api(
        self,
        key: Key,
        gateway: GatewayInstance,
        edit: _Edit,
        made: dict[tuple[Key, bool], tuple[Resource, ...]],
    ) -> None:
        written = self._written[gateway.name]
        before = written.pop(key, ())
        api = self._scene.apis.get(key)
        now: tuple[Resource, ...] = ()
        if api is not None and key not in self._collisions.broken:
            for target, active in api.targets:
                if target is gateway:
                    if (key, active) not in made:
                        made[key, active] = tuple(api_resources(api, active=active))
                    now = made[key, active]
        if now:
            now = written[key] = edit.kept(now)
        edit.replace(before, now)

    def _write_application(self, document: DocKey, gateway: GatewayInstance, edit: _Edit) -> None:
        key = Key(APPLICATION, document[1], document[2])
        application = self._scene.applications.get(document)
        before = edit.resources.get(key)
        resource = None
        if application is not None and self._goes_to(application, gateway):
            resource = application_resource(application, edit.resources)
        edit.replace(
            () if before is None else (before,),
            () if resource is None else edit.kept((resource,)),
        )

    def _goes_to(self, application: ResolvedApplication, gateway: GatewayInstance) -> bool:
        """Whether an application is written to a gateway: it subscribes to an API that is there."""
        if gateway.tenants and application.document.tenant not in gateway.tenants:
            return False
        apis = self._scene.apis
        return any(apis[item.api].is_on(gateway) for item in application.subscriptions)

    def _check_application(self, document: DocKey) -> None:
        application = self._scene.applications.get(document)
        self.finding_log.begin()
        for gateway in self._scene.gateways.values() if application is not None else ():
            if application is not None and self._goes_to(application, gateway):
                for item in check_application(application, self._support[gateway.name]):
                    self.finding_log.add(item)
        self.finding_log.end(document)


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
        if _is_same(before, now):
            return
        if not self._is_own:
            self.resources = self.resources.copy()
            self._is_own = True
        for resource in now:
            self.resources[resource.key] = resource
        if not before:
            return
        left = {resource.key for resource in now}
        for resource in before:
            if resource.key not in left:
                self.resources.pop(resource.key, None)


def _is_same(before: tuple[Resource, ...], now: tuple[Resource, ...]) -> bool:
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))

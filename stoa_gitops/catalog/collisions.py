"""What documents do to each other on one gateway, and what a gateway cannot do for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from stoa_gitops.catalog.backends import denied, foreign_family
from stoa_gitops.catalog.facts import ApiFacts, PolicyFacts, Route
from stoa_gitops.catalog.nodes import Pointer
from stoa_gitops.catalog.scene import PlacedApi, PlacedApplication, Scene
from stoa_gitops.model.diagnostics import Severity
from stoa_gitops.model.instances import GatewayInstance

Unsupported: TypeAlias = Callable[[GatewayInstance, str], "str | None"]
"""Says why a gateway has not a capability (names of `adapters.contract.Capabilities`); None when it has."""

_ONE_NAME_SPACE: Final = ("kong", "gravitee", "webmethods", "apigee", "aws_apigateway")
"""Types that know no tenants: `<tenant>-<name>` is what people and tools see there."""


def check(scene: Scene, unsupported: Unsupported | None) -> None:
    """Note everything that cannot stand together; the later document of two is broken by it."""
    order = sorted(scene.apis.values(), key=lambda api: api.document.path)
    for gateway in scene.gateways.values():
        here = [api for api in order if any(target is gateway for target, _ in api.targets)]
        _check_routes(scene, gateway, here)
        _check_names(scene, gateway, here)
        for api in here:
            _check_backends(scene, gateway, api)
            if unsupported is not None:
                _check_needs(scene, gateway, api, unsupported)
        if unsupported is not None:
            _check_applications(scene, gateway, unsupported)


def _check_routes(scene: Scene, gateway: GatewayInstance, apis: Iterable[PlacedApi]) -> None:
    taken: dict[tuple[str, str], list[tuple[Route, PlacedApi]]] = {}
    for api in apis:
        for route in api.facts.routes:
            for host in route.hosts or ("",):
                others = taken.setdefault((route.path, host), [])
                for other, owner in others:
                    if _overlap(route, other):
                        _say_collision(scene, gateway, api, route, owner, host)
                        break
                others.append((route, api))
    if gateway.gateway_type == "gravitee":
        _check_nested(scene, gateway, taken)


def _overlap(one: Route, two: Route) -> bool:
    return not one.methods or not two.methods or bool(set(one.methods) & set(two.methods))


def _say_collision(
    scene: Scene,
    gateway: GatewayInstance,
    api: PlacedApi,
    route: Route,
    owner: PlacedApi,
    host: str,
) -> None:
    api.is_broken = True
    where = f"{host}{route.path}" if host else route.path
    whose = "itself" if owner is api else owner.facts.key.short
    scene.world.say(
        api.document,
        "route.collision",
        f"{where} on {gateway.name} is taken by {whose} ({owner.facts.source})",
        (*route.pointer, "path") if route.pointer else ("metadata", "name"),
        "give one of them another path, host or other methods",
        lowered=api.lowered,
    )


def _check_nested(
    scene: Scene,
    gateway: GatewayInstance,
    taken: dict[tuple[str, str], list[tuple[Route, PlacedApi]]],
) -> None:
    """Gravitee refuses a path that lies below another API's, whatever the methods."""
    for (path, host), routes in taken.items():
        for above in _above(path):
            for _, owner in taken.get((above, host), ()):
                for route, api in routes:
                    if owner is not api:
                        api.is_broken = True
                        scene.world.say(
                            api.document,
                            "route.nested",
                            f"{path} on {gateway.name} lies below {above} of {owner.facts.key.short}, "
                            "which Gravitee refuses",
                            (*route.pointer, "path") if route.pointer else ("metadata", "name"),
                            "choose paths that do not contain one another",
                            lowered=api.lowered,
                        )


def _above(path: str) -> Iterator[str]:
    parts = path.split("/")
    for length in range(1, len(parts)):
        yield "/".join(parts[:length]) or "/"


def _check_names(scene: Scene, gateway: GatewayInstance, apis: Iterable[PlacedApi]) -> None:
    if gateway.gateway_type not in _ONE_NAME_SPACE:
        return
    taken: dict[str, PlacedApi] = {}
    for api in apis:
        key = api.facts.key
        owner = taken.setdefault(f"{key.tenant}-{key.name}", api)
        if owner is not api:
            api.is_broken = True
            scene.world.say(
                api.document,
                "name.collision",
                f"{key.short} and {owner.facts.key.short} have one name on {gateway.name}, "
                f"{key.tenant}-{key.name} ({owner.facts.source})",
                ("metadata", "name"),
                "rename one of them",
                lowered=api.lowered,
            )


def _check_backends(scene: Scene, gateway: GatewayInstance, api: PlacedApi) -> None:
    for backend in api.facts.backends:
        reason = denied(backend, gateway) if backend.addresses else ""
        if reason:
            api.is_broken = True
            scene.world.say(
                api.document,
                "backend.address",
                f"{gateway.name} may not reach {backend.host}: {reason}",
                backend.pointer,
                f"use another address, or add it to backends.allow of {gateway.name}",
                lowered=api.lowered,
            )
        other = foreign_family(backend.host, gateway.environment)
        if other:
            scene.world.say(
                api.document,
                "environment.mixup",
                f"{backend.host} looks like {other}, and {gateway.name} is {gateway.environment}",
                backend.pointer,
                "write ${NAME} and set it for each environment",
                lowered=api.lowered,
                severity=Severity.WARNING,
            )


def _check_needs(
    scene: Scene, gateway: GatewayInstance, api: PlacedApi, unsupported: Unsupported
) -> None:
    for need in api.facts.needs:
        reason = unsupported(gateway, need.capability)
        if reason is not None:
            _warn(scene, gateway, api, need.capability, reason, need.pointer)
    for use_type, policy in api.policies.items():
        reason = unsupported(gateway, f"policy:{use_type}")
        if reason is not None:
            end = {
                "fail": "the API is held back there",
                "warn": "the API goes there without it",
                "skip": "the API goes there without it",
            }[policy.on_unsupported]
            pointer = _use_of(api.facts, policy)
            _warn(scene, gateway, api, f"policy:{use_type}", f"{reason}; {end}", pointer)


def _use_of(api: ApiFacts, policy: PolicyFacts) -> Pointer:
    """Return where an API uses a policy; its own name where its tenant does."""
    for use in api.policies:
        if use.inline is policy or (use.name and use.name == policy.name):
            return use.pointer
    return ("metadata", "name")


def _check_applications(scene: Scene, gateway: GatewayInstance, unsupported: Unsupported) -> None:
    for application in scene.applications:
        if not goes_to(scene, application, gateway):
            continue
        for need in application.facts.needs:
            reason = unsupported(gateway, need.capability)
            if reason is not None:
                _warn(scene, gateway, application, need.capability, reason, need.pointer)


def goes_to(scene: Scene, application: PlacedApplication, gateway: GatewayInstance) -> bool:
    """Whether an application is written to a gateway: it subscribes to an API that is there."""
    tenant = application.document.tenant
    if gateway.tenants and tenant not in gateway.tenants:
        return False
    return any(
        target is gateway
        for item in application.subscriptions
        for target, _ in scene.apis[item.api].targets
    )


def _warn(
    scene: Scene,
    gateway: GatewayInstance,
    what: PlacedApi | PlacedApplication,
    capability: str,
    reason: str,
    pointer: Pointer,
) -> None:
    scene.world.say(
        what.document,
        "gateway.unsupported",
        f"{gateway.name} ({gateway.gateway_type}) cannot express {capability}: {reason}",
        pointer,
        "leave it out there, or choose another gateway",
        lowered=what.lowered,
        severity=Severity.WARNING,
    )

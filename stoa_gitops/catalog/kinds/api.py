"""From a valid API document to its facts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from stoa_gitops.catalog.documents.canonical_json import to_bytes
from stoa_gitops.catalog.kinds.backend_urls import Backend, check_url
from stoa_gitops.catalog.kinds.context import Place, marks_of, need, shared, uses_of
from stoa_gitops.catalog.kinds.definitions import (
    ApiFacts,
    Reference,
    RequiredCapability,
    Route,
    Target,
)
from stoa_gitops.catalog.kinds.route_paths import wrong_in
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.resources import Probe

_DEFAULT_TIMEOUT: Final = "30s"


def lower_api(value: dict[str, Any], place: Place) -> ApiFacts:
    """Return the facts of an API; what is wrong with it is said at its place."""
    spec, key = value["spec"], place.key
    backends: list[Backend] = []
    aliases: list[Reference] = []
    needs = [need("api")]
    out: dict[str, Any] = {
        "displayName": spec.get("displayName", key.name),
        "version": spec["version"],
        "active": spec["active"],
        "backend": _backend(spec["backend"], place, backends, aliases, needs),
        "routes": [],
        "plans": sorted(spec["plans"], key=lambda plan: str(plan["name"])),
    }
    if "description" in spec:
        out["description"] = spec["description"]
    if place.openapi is not None:
        out["openapi"] = place.openapi
    routes = _routes(spec, place)
    order = sorted(routes, key=lambda route: (route.path, route.hosts, route.methods))
    strips = [_strips(spec, route) for route in order]
    out["routes"] = [
        {"path": route.path, "methods": route.methods, "hosts": route.hosts, "stripPath": strip}
        for route, strip in zip(order, strips, strict=True)
    ]
    needs.extend(_route_needs(order, strips))
    if not spec["active"]:
        needs.append(need("inactive", "spec", "active"))
    if spec["plans"]:
        needs.append(need("plans", "spec", "plans"))
        _unique((plan["name"] for plan in spec["plans"]), "plan", ("spec", "plans"), place)
    return ApiFacts(
        key=key,
        spec=Spec(to_bytes(out)),
        active=spec["active"],
        source=place.source,
        marks=marks_of(value, place),
        routes=tuple(order),
        backends=tuple(backends),
        aliases=tuple(aliases),
        needs=shared(tuple(needs)),
        policies=uses_of(spec["policies"], place),
        plans=shared(frozenset(plan["name"] for plan in spec["plans"])),
        gateways=_targets(spec),
        probe=_probe(spec["probe"], order) if "probe" in spec else None,
    )


def _probe(probe: dict[str, Any], routes: list[Route]) -> Probe:
    """Return the call that proves a route: the first one that answers GET, at one of its hosts."""
    route = next((one for one in routes if not one.methods or "GET" in one.methods), routes[0])
    host = next((name for name in route.hosts if not name.startswith("*")), "")
    return Probe(route.path.rstrip("/") + probe["path"], probe["expect"], host)


def _backend(
    backend: dict[str, Any],
    place: Place,
    backends: list[Backend],
    aliases: list[Reference],
    needs: list[RequiredCapability],
) -> dict[str, Any]:
    base: Pointer = ("spec", "backend")
    out: dict[str, Any] = {
        "url": _address(backend, base, place, backends, aliases, needs),
        "timeout": backend["timeout"],
        "retries": backend["retries"],
    }
    if backend["timeout"] != _DEFAULT_TIMEOUT:
        needs.append(need("timeout", *base, "timeout"))
        if backend["timeout"] == "0s":
            place.say("schema.range", "a timeout is longer than nothing", (*base, "timeout"))
    if backend["retries"]:
        needs.append(need("retries", *base, "retries"))
    if "auth" in backend:
        auth = backend["auth"]
        out["auth"] = {"in": auth["in"], "name": auth["name"], "value": auth["valueRef"]}
        needs.append(need(f"backend_auth:{auth['in']}", *base, "auth"))
    if "fallback" in backend:
        at: Pointer = (*base, "fallback")
        out["fallback"] = _address(backend["fallback"], at, place, backends, aliases, needs)
        needs.append(need("fallback", *at))
    return out


def _address(
    target: dict[str, Any],
    at: Pointer,
    place: Place,
    backends: list[Backend],
    aliases: list[Reference],
    needs: list[RequiredCapability],
) -> str:
    if "alias" in target:
        aliases.append(Reference(target["alias"], (*at, "alias")))
        needs.append(need("builtin_echo", *at, "alias"))
        return f"builtin:{target['alias']}"
    backend, found = check_url(target["url"], shared((*at, "url")), place.document)
    place.findings.extend(found)
    if backend is not None:
        backends.append(backend)
    return str(target["url"])


def _routes(spec: dict[str, Any], place: Place) -> list[Route]:
    if "routes" not in spec:
        return [Route(f"/apis/{place.key.tenant}/{place.key.name}", (), (), ())]
    routes: list[Route] = []
    for index, route in enumerate(spec["routes"]):
        at = shared(("spec", "routes", index))
        path = route["path"].rstrip("/") or "/"
        wrong = wrong_in(path)
        if wrong is not None:
            place.say("route.path", wrong.message, (*at, "path"), wrong.hint)
        methods, hosts = shared(tuple(route["methods"])), shared(tuple(route["hosts"]))
        routes.append(Route(path, methods, hosts, at))
    return routes


def _strips(spec: dict[str, Any], route: Route) -> bool:
    return bool(spec["routes"][route.pointer[2]]["stripPath"]) if route.pointer else True


def _route_needs(routes: list[Route], strips: list[bool]) -> Iterable[RequiredCapability]:
    if len(routes) > 1:
        yield need("multiple_routes", "spec", "routes")
    hosts = next((route for route in routes if route.hosts), None)
    if hosts is not None:
        yield need("hosts", *hosts.pointer, "hosts")
    if False in strips:
        kept = routes[strips.index(False)]
        yield need("strip_path:false", *kept.pointer, "stripPath")


def _targets(spec: dict[str, Any]) -> tuple[Target, ...] | None:
    if not spec.get("gateways"):
        return None
    targets = []
    for index, entry in enumerate(spec["gateways"]):
        at: Pointer = ("spec", "gateways", index)
        if isinstance(entry, str):
            targets.append(Target(entry, at))
        else:
            targets.append(Target(entry["name"], (*at, "name"), entry.get("active")))
    return tuple(targets)


def _unique(names: Iterable[str], what: str, at: Pointer, place: Place) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            place.say("name.twice", f"the {what} {name} is written twice", (*at, index, "name"))
        seen.add(name)

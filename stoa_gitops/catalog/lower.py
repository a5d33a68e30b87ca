"""From a valid document to its facts: canonical form, references, needs, and checks of its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, TypeVar

from stoa_gitops.catalog.backends import Backend, check_url
from stoa_gitops.catalog.environments import Evaluated
from stoa_gitops.catalog.facts import (
    UNMARKED,
    ApiFacts,
    ApplicationFacts,
    Lowered,
    Marks,
    Need,
    PolicyFacts,
    PolicyUse,
    Reference,
    Route,
    Subscription,
    Target,
    TenantFacts,
)
from stoa_gitops.catalog.findings import Finding, near, shown
from stoa_gitops.catalog.json_bytes import to_bytes
from stoa_gitops.catalog.nodes import Pointer
from stoa_gitops.catalog.normalise import normaliser
from stoa_gitops.catalog.plain_secrets import find_plain_secrets
from stoa_gitops.catalog.route_paths import wrong_in
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.resources import Probe, SourceRef

BUILTIN_ALIASES: Final = ("echo",)
"""Aliases that need no document: `run` serves them."""

_Part = TypeVar("_Part", bound=Hashable)

_DEFAULT_TIMEOUT: Final = "30s"
_ANNOTATIONS: Final = "gostoa.dev/"
_KNOWN: Final = ("moved-from", "protect", "ignore-fields")


@dataclass(slots=True)
class Place:
    """Where a document stands, what it lies beside, and what is found in it.

    `is_broken` when it must not be used though nothing is found in this very document.
    """

    key: Key
    source: SourceRef
    document: int
    openapi: dict[str, str] | None = None
    findings: list[Finding] = field(default_factory=list)
    is_broken: bool = False

    def say(self, code: str, message: str, pointer: Pointer, hint: str = "") -> None:
        """Note an error."""
        self.findings.append(Finding(code, message, pointer, hint, document=self.document))


@lru_cache(maxsize=1_000)
def _need(capability: str, *pointer: str | int) -> Need:
    return Need(capability, pointer)


@lru_cache(maxsize=4_000)
def _shared(part: _Part) -> _Part:
    """Return the part of another document that is equal: documents are much alike, and are held for long."""
    return part


def lower(kind: str, evaluated: Evaluated, place: Place) -> Lowered:
    """Return the facts of a document; facts are None as soon as one finding is an error."""
    if evaluated.value is None:
        return Lowered(None, evaluated.findings, evaluated.origins, evaluated.named)
    place.findings.extend(evaluated.findings)
    place.findings.extend(
        find_plain_secrets(evaluated.value, kind, place.document, raw=evaluated.raw)
    )
    try:
        value = normaliser(kind)(evaluated.value)
        facts = _LOWER[kind](value, place)
    except ValueError as error:
        place.say("schema.value", str(error), ("spec",))
        facts = None
    broken = place.is_broken or any(finding.is_error for finding in place.findings)
    return Lowered(
        None if broken else facts, tuple(place.findings), evaluated.origins, evaluated.named
    )


def marks_of(value: dict[str, Any], place: Place) -> Marks:
    """Read the annotations that have a meaning."""
    annotations = value["metadata"].get("annotations")
    if not annotations:
        return UNMARKED
    protected, moved, ignored = False, None, ()
    for name, text in annotations.items():
        at: Pointer = ("metadata", "annotations", name)
        if not name.startswith(_ANNOTATIONS):
            continue
        match name.removeprefix(_ANNOTATIONS):
            case "protect":
                protected = text == "true"
                if text not in ("true", "false"):
                    place.say("annotation.value", f'{shown(text)} is not "true" or "false"', at)
            case "moved-from":
                moved = _moved_from(text, place, at)
            case "ignore-fields":
                ignored = tuple(sorted({part.strip() for part in text.split(",")} - {""}))
            case other:
                known = [_ANNOTATIONS + known for known in _KNOWN]
                place.say(
                    "annotation.unknown",
                    f"{name} has no meaning",
                    at,
                    near(_ANNOTATIONS + other, known),
                )
    return Marks(protected, moved, ignored)


def _moved_from(text: str, place: Place, at: Pointer) -> Key | None:
    try:
        key = Key.parse(text)
    except ValueError as error:
        place.say("annotation.value", str(error), at)
        return None
    if key.kind != place.key.kind or key == place.key:
        place.say("annotation.value", f"{text} is not another {place.key.kind}", at)
        return None
    return key


def _lower_api(value: dict[str, Any], place: Place) -> ApiFacts:
    spec, key = value["spec"], place.key
    backends: list[Backend] = []
    aliases: list[Reference] = []
    needs = [_need("api")]
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
        needs.append(_need("inactive", "spec", "active"))
    if spec["plans"]:
        needs.append(_need("plans", "spec", "plans"))
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
        needs=_shared(tuple(needs)),
        policies=_uses(spec["policies"], place),
        plans=_shared(frozenset(plan["name"] for plan in spec["plans"])),
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
    needs: list[Need],
) -> dict[str, Any]:
    base: Pointer = ("spec", "backend")
    out: dict[str, Any] = {
        "url": _address(backend, base, place, backends, aliases, needs),
        "timeout": backend["timeout"],
        "retries": backend["retries"],
    }
    if backend["timeout"] != _DEFAULT_TIMEOUT:
        needs.append(_need("timeout", *base, "timeout"))
        if backend["timeout"] == "0s":
            place.say("schema.range", "a timeout is longer than nothing", (*base, "timeout"))
    if backend["retries"]:
        needs.append(_need("retries", *base, "retries"))
    if "auth" in backend:
        auth = backend["auth"]
        out["auth"] = {"in": auth["in"], "name": auth["name"], "value": auth["valueRef"]}
        needs.append(_need(f"backend_auth:{auth['in']}", *base, "auth"))
    if "fallback" in backend:
        at: Pointer = (*base, "fallback")
        out["fallback"] = _address(backend["fallback"], at, place, backends, aliases, needs)
        needs.append(_need("fallback", *at))
    return out


def _address(
    target: dict[str, Any],
    at: Pointer,
    place: Place,
    backends: list[Backend],
    aliases: list[Reference],
    needs: list[Need],
) -> str:
    if "alias" in target:
        aliases.append(Reference(target["alias"], (*at, "alias")))
        needs.append(_need("builtin_echo", *at, "alias"))
        return f"builtin:{target['alias']}"
    backend, found = check_url(target["url"], _shared((*at, "url")), place.document)
    place.findings.extend(found)
    if backend is not None:
        backends.append(backend)
    return str(target["url"])


def _routes(spec: dict[str, Any], place: Place) -> list[Route]:
    if "routes" not in spec:
        return [Route(f"/apis/{place.key.tenant}/{place.key.name}", (), (), ())]
    routes: list[Route] = []
    for index, route in enumerate(spec["routes"]):
        at = _shared(("spec", "routes", index))
        path = route["path"].rstrip("/") or "/"
        wrong = wrong_in(path)
        if wrong is not None:
            place.say("route.path", wrong.message, (*at, "path"), wrong.hint)
        methods, hosts = _shared(tuple(route["methods"])), _shared(tuple(route["hosts"]))
        routes.append(Route(path, methods, hosts, at))
    return routes


def _strips(spec: dict[str, Any], route: Route) -> bool:
    return bool(spec["routes"][route.pointer[2]]["stripPath"]) if route.pointer else True


def _route_needs(routes: list[Route], strips: list[bool]) -> Iterable[Need]:
    if len(routes) > 1:
        yield _need("multiple_routes", "spec", "routes")
    hosts = next((route for route in routes if route.hosts), None)
    if hosts is not None:
        yield _need("hosts", *hosts.pointer, "hosts")
    if False in strips:
        kept = routes[strips.index(False)]
        yield _need("strip_path:false", *kept.pointer, "stripPath")


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


@lru_cache(maxsize=1_000)
def _named_uses(names: tuple[str, ...]) -> tuple[PolicyUse, ...]:
    return tuple(PolicyUse(("spec", "policies", i), name=name) for i, name in enumerate(names))


def _uses(uses: list[Any], place: Place) -> tuple[PolicyUse, ...]:
    if all(isinstance(use, str) for use in uses):
        return _named_uses(tuple(uses))
    out = []
    for index, use in enumerate(uses):
        at = _shared(("spec", "policies", index))
        if isinstance(use, str):
            out.append(PolicyUse(at, name=use))
        else:
            out.append(PolicyUse(at, inline=_policy(use, place, at)))
    return tuple(out)


def _policy(holder: dict[str, Any], place: Place, at: Pointer) -> PolicyFacts:
    config = normaliser(holder["type"])(holder["config"])
    return PolicyFacts(
        holder["type"],
        to_bytes(config),
        holder["priority"],
        holder["onUnsupported"],
        place.source,
        at,
    )


def _lower_policy(value: dict[str, Any], place: Place) -> PolicyFacts:
    marks = marks_of(value, place)
    return replace(_policy(value["spec"], place, ("spec",)), marks=marks, name=place.key.name)


def _lower_application(value: dict[str, Any], place: Place) -> ApplicationFacts:
    spec, key = value["spec"], place.key
    credentials = []
    needs = [_need("application")]
    for index, credential in enumerate(spec["credentials"]):
        credentials.append(
            {
                name.removesuffix("Ref") if name != "type" else name: item
                for name, item in credential.items()
            }
        )
        needs.append(_need(f"credential:{credential['type']}", "spec", "credentials", index))
    base = {
        "displayName": spec.get("displayName", key.name),
        "credentials": credentials,
        "identifiers": {
            name: sorted(set(item)) if isinstance(item, list) else item
            for name, item in spec["identifiers"].items()
        },
    }
    if "owner" in spec:
        base["owner"] = spec["owner"]
    return ApplicationFacts(
        key,
        Spec(to_bytes(base)),
        place.source,
        marks_of(value, place),
        _shared(tuple(dict.fromkeys(needs))),
        _subscriptions(spec, place),
    )


def _subscriptions(spec: dict[str, Any], place: Place) -> tuple[Subscription, ...]:
    out: dict[tuple[str, str], Subscription] = {}
    for index, entry in enumerate(spec["subscriptions"]):
        at: Pointer = ("spec", "subscriptions", index)
        tenant, _, name = entry["api"].rpartition("/")
        api = Key(API, tenant or place.key.tenant, name)
        value = dict(entry)
        value["api"] = name if api.tenant == place.key.tenant else f"{api.tenant}/{name}"
        plan = str(entry.get("plan", ""))
        if (value["api"], plan) in out:
            place.say("subscription.twice", f"{value['api']} is subscribed twice", (*at, "api"))
        out[value["api"], plan] = Subscription(api, plan, value, at)
    return tuple(out[pair] for pair in sorted(out))


def _lower_tenant(value: dict[str, Any], place: Place) -> TenantFacts:
    spec = value["spec"]
    limits = spec.get("limits", {})
    return TenantFacts(
        place.key.name,
        tuple(
            Reference(name, ("spec", "gateways", index))
            for index, name in enumerate(spec["gateways"])
        ),
        _uses(spec["policies"], place),
        limits.get("maxApis"),
        limits.get("maxApplications"),
    )


def _unique(names: Iterable[str], what: str, at: Pointer, place: Place) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            place.say("name.twice", f"the {what} {name} is written twice", (*at, index, "name"))
        seen.add(name)


_LOWER: Final[dict[str, Callable[[dict[str, Any], Place], Any]]] = {
    "API": _lower_api,
    "Policy": _lower_policy,
    "Application": _lower_application,
    "Tenant": _lower_tenant,
}

"""API documents: where an API listens, what stands behind it, and who may call it."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter, itemgetter
from typing import Any, Final

from stoa_gitops.catalog.documents.canonical_json import to_bytes
from stoa_gitops.catalog.evaluation.api_backends import ApiBackends
from stoa_gitops.catalog.evaluation.context import (
    DocumentContext,
    intern_part,
    read_annotations,
    read_policy_uses,
    required,
)
from stoa_gitops.catalog.evaluation.definitions import (
    ApiDefinition,
    RequiredCapability,
    Route,
    Target,
)
from stoa_gitops.catalog.evaluation.http_methods import find_unregistered
from stoa_gitops.catalog.evaluation.kind import DocumentKind
from stoa_gitops.catalog.evaluation.route_headers import read_route_headers
from stoa_gitops.catalog.evaluation.route_paths import find_path_problem
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.path_parameters import has_parameters
from stoa_gitops.model.resources import Probe

_BY_NAME: Final = itemgetter("name")
_BY_MATCH: Final = attrgetter("path", "hosts", "methods", "headers")


def parse_api(value: dict[str, Any], context: DocumentContext) -> ApiDefinition:
    """Return the definition of a valid API document; errors beyond the schema go to the context."""
    spec, key = value["spec"], context.key
    behind = ApiBackends(context)
    required_capabilities = behind.needs
    required_capabilities.append(required("api"))
    out: dict[str, Any] = {
        "displayName": spec.get("displayName", key.name),
        "version": spec["version"],
        "active": spec["active"],
        "backend": behind.canonical(spec),
        "routes": [],
        "plans": _plans(spec),
    }
    if "description" in spec:
        out["description"] = spec["description"]
    if context.openapi is not None:
        out["openapi"] = context.openapi
    if context.wsdl is not None:
        out["wsdl"] = context.wsdl
        required_capabilities.append(required("soap", "spec", "wsdl"))
    if "wsdl" in spec and "openapi" in spec:
        text = "an API has one description: an OpenAPI document, or a WSDL document"
        context.report_error("schema.choice", text, ("spec", "wsdl"), "remove one of both")
    routes = _routes(spec, context)
    # The order of routes in a document has no meaning, so the canonical form has one order.
    order = sorted(routes, key=_BY_MATCH)
    strips = [_strips(spec, route) for route in order]
    out["routes"] = [
        {**route.matched, "stripPath": strip} for route, strip in zip(order, strips, strict=True)
    ]
    required_capabilities.extend(_route_needs(order, strips))
    if not spec["active"]:
        required_capabilities.append(required("inactive", "spec", "active"))
    if spec["plans"]:
        required_capabilities.append(required("plans", "spec", "plans"))
        _unique((plan["name"] for plan in spec["plans"]), "plan", ("spec", "plans"), context)
    elif spec.get("access") == "subscribed":
        out["access"] = "subscribed"
        required_capabilities.append(required("access:subscribed", "spec", "access"))
    return ApiDefinition(
        key=key,
        spec=Spec(to_bytes(out)),
        active=spec["active"],
        source=context.source,
        annotations=read_annotations(value, context),
        routes=tuple(order),
        backends=tuple(behind.backends),
        aliases=tuple(behind.aliases),
        required_capabilities=intern_part(tuple(required_capabilities)),
        policies=read_policy_uses(spec["policies"], context),
        plans=intern_part(frozenset(plan["name"] for plan in spec["plans"])),
        plan_tenants=intern_part(
            tuple((plan["name"], tenant) for plan in spec["plans"] for tenant in plan["tenants"])
        ),
        access=spec.get("access", ""),
        gateways=_targets(spec),
        probes=_probes(spec["probe"], order, context) if "probe" in spec else (),
    )


def _plans(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the plans of the canonical form: who may subscribe is checked here, not there."""
    plans = []
    for plan in spec["plans"]:
        own = plan.copy()
        del own["tenants"]
        plans.append(own)
    if len(plans) > 1:
        plans.sort(key=_BY_NAME)
    return plans


def _probes(
    probe: dict[str, Any], routes: list[Route], context: DocumentContext
) -> tuple[Probe, ...]:
    """Return the calls that prove the routes: each that answers GET, at each of its hosts."""
    # Nobody says which value of a parameter there is.
    routes = [route for route in routes if not has_parameters(route.path)]
    if not routes:
        text = "a probe calls routes without parameters, and this API has none"
        hint = "remove it, or add a route without parameters"
        context.report_error("route.path", text, ("spec", "probe"), hint)
    # A request that changes nothing proves a route: GET (RFC 9110 §9.2.1).
    reads = [route for route in routes if not route.methods or "GET" in route.methods]
    calls = [
        Probe(
            route.path.rstrip("/") + probe["path"],
            probe["expect"],
            host.replace("*", "probe"),
            tuple((name, values[0]) for name, values in route.headers),
        )
        for route in reads or routes[:1]
        for host in route.hosts or ("",)
    ]
    return tuple(dict.fromkeys(calls))


def _routes(spec: dict[str, Any], context: DocumentContext) -> list[Route]:
    if "routes" not in spec:
        return [Route(f"/apis/{context.key.tenant}/{context.key.name}", (), (), ())]
    routes: list[Route] = []
    for index, route in enumerate(spec["routes"]):
        at = intern_part(("spec", "routes", index))
        path = route["path"].rstrip("/") or "/"
        wrong = find_path_problem(path)
        if wrong is not None:
            context.report_error("route.path", wrong.message, (*at, "path"), wrong.hint)
        methods, hosts = intern_part(tuple(route["methods"])), intern_part(tuple(route["hosts"]))
        context.findings.extend(find_unregistered(methods, (*at, "methods"), context.document))
        delegates = intern_part(tuple(route["delegates"]))
        headers = read_route_headers(route["headers"], (*at, "headers"), context)
        routes.append(Route(path, methods, hosts, at, delegates, headers))
    return routes


def _strips(spec: dict[str, Any], route: Route) -> bool:
    return bool(spec["routes"][route.pointer[2]]["stripPath"]) if route.pointer else True


def _route_needs(routes: list[Route], strips: list[bool]) -> Iterable[RequiredCapability]:
    if len(routes) > 1:
        yield required("multiple_routes", "spec", "routes")
    hosts = next((route for route in routes if route.hosts), None)
    if hosts is not None:
        yield required("hosts", *hosts.pointer, "hosts")
    headers = next((route for route in routes if route.headers), None)
    if headers is not None:
        yield required("route_headers", *headers.pointer, "headers")
    parameters = next((route for route in routes if has_parameters(route.path)), None)
    if parameters is not None:
        yield required("path_parameters", *parameters.pointer, "path")
    if False in strips:
        kept = routes[strips.index(False)]
        yield required("strip_path:false", *kept.pointer, "stripPath")


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


def _unique(names: Iterable[str], what: str, at: Pointer, context: DocumentContext) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            context.report_error(
                "name.twice", f"the {what} {name} is written twice", (*at, index, "name")
            )
        seen.add(name)


KIND = DocumentKind(
    name="API",
    home="tenants/<tenant>/apis/<api>/api.yaml",
    order=50,
    policies_at=("spec", "policies"),
    parse=parse_api,
    limit="maxApis",
)

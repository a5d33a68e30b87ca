"""Maps routes to the paths of a listener and to flows that refuse other methods, and back. Pure.

Gravitee's paths end where a segment ends, take every method, and are stripped. A listener has no
methods: a flow answers 405 to those that no route names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.flows import PREFIX, make_flow, make_step
from stoa_gitops.adapters.gravitee.mapping.losses import quoted
from stoa_gitops.model.losses import Loss

METHODS: Final = (
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "OTHER",
)  # fmt: skip
"""Methods that a selector of Gravitee knows; `OTHER` is all others."""

MOCK: Final = "mock"
_FLOW: Final = "methods"
# Characters of Gravitee's paths; `~`, `%` and others are refused (HttpListener's path pattern).
_PATH: Final = re.compile(r"[/.A-Za-z0-9_-]+")


def gravitee_path(path: str) -> str:
    """Return a path as Gravitee stores it: with a slash at its end."""
    return "/" if path == "/" else f"{path.rstrip('/')}/"


def canonical_path(path: str) -> str:
    """Return a path of Gravitee as documents have it."""
    return path.rstrip("/") or "/"


def compile_paths(routes: Sequence[Mapping[str, Any]]) -> list[JsonTree]:
    """Return the paths of a listener, each once, in the order of the routes."""
    found: dict[tuple[str, str], JsonTree] = {}
    for route in routes:
        path = gravitee_path(route["path"])
        for host in route["hosts"] or ("",):
            entry = {"path": path, "overrideAccess": False, **({"host": host} if host else {})}
            found.setdefault((path, host), entry)
    return list(found.values())


def compile_methods(routes: Sequence[Mapping[str, Any]]) -> list[JsonTree]:
    """Return the flows that refuse methods: one for all paths where they agree, else one each."""
    allowed = _methods_by_path(routes)
    kinds = {tuple(methods) for methods in allowed.values()}
    if kinds == {()} or not kinds:
        return []
    if len(kinds) == 1:
        return [_refusal(_FLOW, next(iter(allowed.values())), "")]
    return [
        _refusal(f"{_FLOW} {path}", methods, path) for path, methods in allowed.items() if methods
    ]


def _methods_by_path(routes: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the methods of each path, empty for all: routes of one path add up."""
    found: dict[str, list[str]] = {}
    for route in routes:
        path, methods = route["path"], list(route["methods"])
        held = found.setdefault(path, methods)
        found[path] = sorted({*held, *methods}) if held and methods else []
    return found


def _refusal(name: str, methods: Sequence[str], path: str) -> JsonTree:
    refused = [method for method in METHODS if method not in methods]
    selectors: list[JsonTree] = [
        {"type": "HTTP", "path": "/", "pathOperator": "STARTS_WITH", "methods": refused}
    ]
    if path:
        # Whether the path that was matched ends with its slash differs between versions.
        start = quoted(gravitee_path(path))
        condition = f"{{#request.contextPath.concat('/').startsWith({start})}}"
        selectors.append({"type": "CONDITION", "condition": condition})
    headers = [{"name": "Allow", "value": ", ".join(methods)}]
    step = make_step(_FLOW, MOCK, {"status": "405", "headers": headers, "content": ""})
    return make_flow(name, [step], selectors=selectors)


def is_refusal(flow: Mapping[str, Any]) -> bool:
    """Whether a flow is one that `compile_methods` makes."""
    name = str(flow.get("name") or "")
    return name == f"{PREFIX}{_FLOW}" or name.startswith(f"{PREFIX}{_FLOW} ")


def read_routes(definition: Mapping[str, Any], *, keeps_path: bool) -> list[JsonTree]:
    """Return the routes of a definition in the canonical order."""
    hosts: dict[str, set[str]] = {}
    for listener in definition.get("listeners") or ():
        for entry in listener.get("paths") or ():
            path = canonical_path(str(entry.get("path") or "/"))
            hosts.setdefault(path, set()).add(str(entry.get("host") or "").lower())
    methods = _read_methods(definition)
    routes = [
        {
            "path": path,
            "methods": methods.get(path, methods.get("", [])),
            "hosts": [] if "" in names else sorted(names),
            "stripPath": not keeps_path,
        }
        for path, names in hosts.items()
    ]
    return sorted(routes, key=route_order)


def _read_methods(definition: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return allowed methods by path; the empty path stands for all that have no flow."""
    found: dict[str, list[str]] = {}
    for flow in definition.get("flows") or ():
        if not is_refusal(flow) or flow.get("enabled") is False:
            continue
        _, _, path = str(flow["name"]).partition(" ")
        for selector in flow.get("selectors") or ():
            if selector.get("type") == "HTTP":
                refused = set(selector.get("methods") or ())
                found[path] = sorted(method for method in METHODS if method not in refused)
    return found


def route_order(route: Mapping[str, Any]) -> tuple[str, list[str], list[str]]:
    """Sort routes as the canonical form does."""
    return route["path"], route["hosts"], route["methods"]


def stored_routes(routes: Sequence[Mapping[str, Any]]) -> list[JsonTree]:
    """Return the routes in the spelling in which they are compared."""
    found = [
        {
            "path": canonical_path(route["path"]),
            "methods": list(route["methods"]),
            "hosts": sorted({host.lower() for host in route["hosts"]}),
            # Of the root there is nothing to strip.
            "stripPath": route["stripPath"] or route["path"] == "/",
        }
        for route in routes
    ]
    return sorted(found, key=route_order)


def route_losses(routes: Sequence[Mapping[str, Any]]) -> Iterator[Loss]:
    """Yield what Gravitee cannot say of routes."""
    for index, route in enumerate(routes):
        at = ("routes", index)
        if _PATH.fullmatch(route["path"]) is None:
            message = f"the path {route['path']}: Gravitee takes letters, digits, . - _ and /"
            yield Loss(message, at=(*at, "path"))
        for host in route["hosts"]:
            if "*" in host:
                yield Loss(f"the host {host}: Gravitee compares whole names", at=(*at, "hosts"))
        odd = [method for method in route["methods"] if method not in METHODS[:-1]]
        if odd:
            message = f"the methods {', '.join(odd)}: Gravitee's flows do not know them"
            yield Loss(message, at=(*at, "methods"))
    kept = [route for route in routes if not route["stripPath"] and route["path"] != "/"]
    if kept and len({route["path"] for route in routes}) > 1:
        yield Loss(
            "stripPath: false beside another path: Gravitee strips the path of each, and puts one "
            "path of the backend in its place",
            at=("routes",),
        )
    yield from _host_losses(routes)


def _host_losses(routes: Sequence[Mapping[str, Any]]) -> Iterator[Loss]:
    """Yield paths whose methods differ by host: flows see the path alone."""
    by_path: dict[str, set[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for route in routes:
        form = tuple(sorted(route["hosts"])), tuple(sorted(route["methods"]))
        by_path.setdefault(route["path"], set()).add(form)
    for path, forms in by_path.items():
        if len({hosts for hosts, _ in forms}) > 1 and len({methods for _, methods in forms}) > 1:
            yield Loss(
                f"the path {path} with other methods for other hosts: Gravitee's flows do not "
                "tell hosts apart",
                at=("routes",),
            )

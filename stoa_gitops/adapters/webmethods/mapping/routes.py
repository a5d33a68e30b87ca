"""Routes as URL aliases, and the definition of the resources below them. Pure.

An API is served at `/gateway/<name>/<version>`; a path of the catalog is a URL alias for that. Only
resources and methods that its definition has are served, so that one without a document of its own
has one resource for each number of segments.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from stoa_gitops.adapters.webmethods.entities.names import alias_of_path, path_of_alias
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.model.losses import Loss

METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
"""The operations of an OpenAPI 3.0 path that are served; TRACE is not."""

RESERVED: Final = (
    "/rest/*", "/ws/*", "/invoke/*", "/is/*", "/metrics", "/apigatewayui/*",
    "/WmRoot/*", "/WmPublic/*", "/WmAdmin/*",
)  # fmt: skip
"""Paths that the gateway's port serves itself (contract webmethods.md A.1, A.2, A.3)."""

# A URL alias takes no space and none of # % ? ' " < \ (vendor's manual, "Creating URL alias").
_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&()*+,;=:@/-]*")


Operations = frozenset[tuple[str, str]]
"""(path, method) of each operation that is served."""


@lru_cache(maxsize=64)
def make_paths(methods: tuple[str, ...], depth: int) -> tuple[JsonTree, Operations, str]:
    """Return the `paths` that serve these methods (none: all) below an API, and their operations.

    With the print of the operations. All APIs of a kind share the paths: nobody may change them.
    """
    paths = _make_paths(methods, depth)
    operations = frozenset(_operations(paths))
    return paths, operations, operations_print(operations)


def _make_paths(methods: Sequence[str], depth: int) -> JsonTree:
    found: JsonTree = {}
    for number in range(depth + 1):
        names = [f"segment{index}" for index in range(1, number + 1)]
        path = "/" + "/".join(f"{{{name}}}" for name in names)
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
        # Of the path, not of each operation: the definition is read back for every API.
        item: JsonTree = {"parameters": parameters} if parameters else {}
        for method in methods or METHODS:
            item[method.lower()] = {
                "operationId": f"{method.lower()}{number}",
                "responses": {"default": {"description": "What the backend answers"}},
            }
        found[path] = item
    return found


def operations_in(definition: object) -> Operations | None:
    """Return the operations of a definition, ours or as it is read back; None for no definition.

    The server adds fields to each and switches each on (contract A.3): what is off is not served.
    """
    paths = definition.get("paths") if isinstance(definition, Mapping) else None
    if not isinstance(paths, Mapping):
        return None
    return frozenset(_operations(paths))


def _operations(paths: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for path, item in paths.items():
        if not isinstance(item, Mapping) or item.get("enabled") is False:
            continue
        for method in METHODS:
            operation = item.get(method.lower())
            if isinstance(operation, Mapping) and operation.get("enabled") is not False:
                yield str(path), method


def operations_print(operations: Operations) -> str:
    """Return the print of operations: a document may have thousands of them."""
    text = "\n".join(f"{method} {path}" for path, method in sorted(operations))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def methods_of(routes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the methods that all routes allow; none for all."""
    return list(routes[0]["methods"]) if routes else []


def url_aliases(routes: Iterable[Mapping[str, Any]], path: str) -> dict[str, str]:
    """Return the URL aliases of routes, each with the path that it leads to.

    The path that the gateway gives an API itself needs none: an adopted API may have it.
    """
    found = (alias_of_path(route["path"]) for route in routes)
    return {alias: path for alias in found if alias != path}


def read_routes(
    paths: Iterable[str], kept: Sequence[JsonTree], methods: list[str], runtime: str
) -> list[JsonTree]:
    """Return the routes at some paths, `kept` ones as they were written.

    `runtime` is the path that the gateway gives the API itself: a route only where it is kept.
    """
    known = {path_of_alias(route["path"]): dict(route) for route in kept}
    found = {*paths} | ({runtime} & known.keys())
    return [
        known.get(path) or {"path": path, "methods": methods, "hosts": [], "stripPath": True}
        for path in sorted(found)
    ]


def stored_routes(routes: Sequence[Mapping[str, Any]]) -> list[JsonTree]:
    """Return the routes in the spelling in which they are compared."""
    found = [
        {
            "path": path_of_alias(route["path"]),
            "methods": [one for one in route["methods"] if one in METHODS],
            "hosts": list(route["hosts"]),
            "stripPath": route["stripPath"],
        }
        for route in routes
    ]
    return sorted(found, key=lambda route: (route["path"], route["hosts"], route["methods"]))


def route_losses(routes: Sequence[Mapping[str, Any]], depth: int) -> Iterator[Loss]:
    """Yield what webMethods cannot say of routes."""
    for index, route in enumerate(routes):
        at = ("routes", index)
        if _PATH.fullmatch(route["path"]) is None:
            message = f"the path {route['path']}: a URL alias cannot have all of its characters"
            yield Loss(message, at=(*at, "path"))
        elif not alias_of_path(route["path"]):
            yield Loss("the path /: a URL alias has at least one letter", at=(*at, "path"))
        if route["hosts"]:
            yield Loss("hosts: a URL alias is for all of them", at=(*at, "hosts"))
        odd = [one for one in route["methods"] if one not in METHODS]
        if odd:
            message = f"the methods {', '.join(odd)}: webMethods does not serve them"
            yield Loss(message, at=(*at, "methods"))
    if len({tuple(sorted(route["methods"])) for route in routes}) > 1:
        yield Loss(
            "routes with methods of their own: the definition of an API has them for all its paths",
            at=("routes",),
        )
    kept = [route for route in routes if not route["stripPath"]]
    if kept and len({route["path"] for route in routes}) > 1:
        yield Loss(
            "stripPath: false beside another path: webMethods strips the path of each, and puts "
            "one path of the backend in its place",
            at=("routes",),
        )


def find_overlapping(alias: str, others: Sequence[str]) -> str:
    """Return another alias, of sorted ones, that begins like this one or that it begins with.

    Empty for none. Aliases are compared by letters and not by segments (vendor's manual, "Enabling
    partial matching of URL aliases"): requests of one could go to the other.
    """
    at = bisect_right(others, alias)
    if at < len(others) and others[at].startswith(alias):
        return others[at]
    for length in range(1, len(alias)):
        start = alias[:length]
        found = bisect_left(others, start)
        if found < len(others) and others[found] == start:
            return start
    return ""

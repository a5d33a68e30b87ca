"""Maps routes to Kong's routes, and back. Pure.

Kong's prefixes end anywhere (`/apis/a` takes `/apis/ab`), so a path is written as a regular
expression that ends where a segment ends. It consumes the slash after the path; Kong joins the
service's path and the rest with one slash either way (path handling v0). Without look-around: since
3.0 Kong's router runs Rust's expressions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stoa_gitops.adapters.kong.entities.entity import ApiParts, Entity, JsonTree, NodeInfo
from stoa_gitops.adapters.kong.entities.tags import entity_name, owner_tag, tag_values
from stoa_gitops.adapters.kong.mapping.route_numbers import path_order
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.path_parameters import PARAMETER, parameters_problem
from stoa_gitops.model.routing import HeaderValues, read_headers

_ADDED: Final = "stoa-method"
"""Tag of a route for a method that a policy needs of it and no document names."""

_END: Final = "(?:/|$)"
# Characters that a path of the catalog may have and that mean something in an expression.
_SPECIAL: Final = re.compile(r"([.+()$])")
_ESCAPED: Final = re.compile(r"\\([.+()$])")
_GROUP: Final = r"\(\?P?<([A-Za-z_][A-Za-z0-9_]{0,31})>\[\^/\]\+\)"
_SEGMENT: Final = rf"/(?:(?:[A-Za-z0-9_~!&',;=:@%-]|\\[.+()$])+|{_GROUP})"
# What kong_path writes, and nothing else: any other expression is no path of ours.
_FORM: Final = re.compile(rf"~((?:{_SEGMENT})+)\(\?:/\|\$\)")
_GROUPS: Final = re.compile(_GROUP)
_ENCODED: Final = re.compile(r"%([0-9A-Fa-f]{2})")
# What a document may say of a header (schemas/v1alpha1/api.json).
_HEADER: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,98}[A-Za-z0-9])?")
_HEADER_VALUE: Final = re.compile(r"(?!~\*)[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?")
# RFC 3986 §2.2; Kong keeps escapes of these and decodes all others before it compares.
_RESERVED: Final = frozenset("!*'();:@&=+$,/?%#[]")
# RFC 3986 §2.3.
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def normal_path(path: str) -> str:
    """Return the spelling that Kong compares: escapes of unreserved characters decoded, others in
    capitals (RFC 3986 §6.2.2).
    """
    return _ENCODED.sub(_decoded, path) if "%" in path else path


def _decoded(found: re.Match[str]) -> str:
    char = chr(int(found[1], 16))
    return char if char in _UNRESERVED else found[0].upper()


def path_loss(path: str) -> Loss | None:
    """Return the loss of a path whose escapes Kong decodes before it compares."""
    odd = [one[0] for one in _ENCODED.finditer(path) if chr(int(one[1], 16)) not in _RESERVED]
    if odd or path.count("%") != len(_ENCODED.findall(path)):
        where = odd[0] if odd else "a lone %"
        return Loss(f"the path {path}: Kong decodes {where} before it compares paths")
    return None


def kong_path(path: str, node: NodeInfo) -> str:
    """Return a path as Kong's route has it."""
    if path == "/" or node.options.paths == "prefix":
        return path
    expression = "/".join(map(_expression, path.split("/"))) if "{" in path else _escaped(path)
    return f"~{expression}{_END}"


def _expression(segment: str) -> str:
    # Rust's expressions and PCRE both have named groups of this spelling.
    return f"(?P<{segment[1:-1]}>[^/]+)" if PARAMETER.fullmatch(segment) else _escaped(segment)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return f"\\{found[1]}"


def canonical_path(path: str) -> str | None:
    """Parse a path of Kong: our expressions and plain prefixes; None for any other expression."""
    if not path.startswith("~"):
        return path.rstrip("/") or "/"
    found = _FORM.fullmatch(path)
    if found is None:
        return None
    canonical = _ESCAPED.sub(r"\1", _GROUPS.sub(r"{\1}", found[1]))
    is_written = "{" not in canonical or parameters_problem(canonical) is None
    return canonical if is_written else None


def compile_routes(
    parts: ApiParts, further_methods: Sequence[str], node: NodeInfo, owner: str
) -> list[Entity]:
    """Return the routes of an API, in the order of the canonical form.

    `further_methods` are what its policies need of a route that does not take every method.
    """
    api: Any = parts.api
    return [
        Entity.of("routes", _route(parts, index, route, further_methods, node, owner))
        for index, route in enumerate(api["routes"])
    ]


def _route(
    parts: ApiParts,
    index: int,
    route: Mapping[str, Any],
    further_methods: Sequence[str],
    node: NodeInfo,
    owner: str,
) -> JsonTree:
    key, path = parts.key, kong_path(route["path"], node)
    tree: JsonTree = {
        "id": key.identifier(owner, f"route|{index}"),
        "name": f"{entity_name(key)}.{index}",
        "paths": [path],
        "service": {"id": parts.service_id},
        "tags": [owner_tag(owner)],
    }
    if path.startswith("~"):
        # Among expressions Kong looks at this number, among prefixes at their length: the longer
        # path wins.
        tree["regex_priority"] = path_order(route["path"], node, len(route.get("headers") or ()))
    if route["hosts"]:
        tree["hosts"] = list(route["hosts"])
    if route["methods"]:
        added = sorted(set(further_methods) - set(route["methods"]))
        tree["methods"] = sorted([*route["methods"], *added])
        tree["tags"] += [f"{_ADDED}:{method}" for method in added]
    if route.get("headers"):
        tree["headers"] = {one["name"]: list(one["values"]) for one in route["headers"]}
    if not route["stripPath"]:
        tree["strip_path"] = False
    return tree


def read_routes(trees: Sequence[JsonTree]) -> list[tuple[JsonTree, JsonTree]]:
    """Return each canonical route with the route of Kong that it comes from, in canonical order.

    A route with several paths is several; one without paths matches all. What is no path of ours is
    left out, and so is a route whose headers no document can say: without them it takes everybody.
    """
    found = []
    for tree in trees:
        if canonical_headers(tree) is None:
            continue
        for path in tree.get("paths") or ("/",):
            canonical = canonical_path(path)
            if canonical is not None:
                found.append((_canonical(canonical, tree), tree))
    return sorted(found, key=lambda pair: route_order(pair[0]))


def _canonical(path: str, tree: JsonTree) -> JsonTree:
    headers = canonical_headers(tree)
    return {
        "path": path,
        "methods": sorted(set(tree.get("methods") or ()) - set(tag_values(tree, "method"))),
        "hosts": sorted({host.lower() for host in tree.get("hosts") or ()}),
        "stripPath": tree.get("strip_path") is not False,
        **({"headers": headers} if headers else {}),
    }


def canonical_headers(tree: JsonTree) -> list[JsonTree] | None:
    """Return the headers that a route of Kong asks for; None where no document can say that.

    Kong compares values whatever the case of letters, takes `_` in names for `-`, and a value that
    begins with `~*` for an expression (kong/router/transform.lua of 3.9, compat.lua of 3.4).
    """
    found: dict[str, list[str]] = {}
    for name, values in (tree.get("headers") or {}).items():
        key = name.lower().replace("_", "-")
        if key in found or not _HEADER.fullmatch(key) or not values:
            return None
        if not isinstance(values, list):
            return None
        if not all(isinstance(one, str) and _HEADER_VALUE.fullmatch(one) for one in values):
            return None
        found[key] = sorted({value.lower() for value in values})
    return [{"name": name, "values": found[name]} for name in sorted(found)]


def route_order(route: Mapping[str, Any]) -> tuple[str, list[str], list[str], HeaderValues]:
    """Sort routes as the canonical form does."""
    return route["path"], route["hosts"], route["methods"], read_headers(route)


def path_mode(tree: JsonTree, node: NodeInfo) -> str | list[str] | None:
    """Return how the paths of a route are written where that is not what our options ask for.

    `prefix`, `segments`, or the paths that are no paths of ours.
    """
    paths = [path for path in tree.get("paths") or () if path != "/"]
    odd = [path for path in paths if canonical_path(path) is None]
    if odd:
        return odd
    modes = {"segments" if path.startswith("~") else "prefix" for path in paths}
    others = modes - {"prefix" if node.options.paths == "prefix" else "segments"}
    return others.pop() if others else None

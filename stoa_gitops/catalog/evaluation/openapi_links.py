"""Finds what an OpenAPI document promises and does not have: warnings, for it can be served so.

These are references to nowhere in the document, operationIds that two operations have, and
parameters of a path that none of its operations declares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

from stoa_gitops.catalog.findings import Finding, shown
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.diagnostics import Severity

_METHODS: Final = frozenset(
    ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
)
_PARAMETER: Final = re.compile(r"\{([^{}/]+)\}")
_DATA: Final = frozenset(("example", "examples", "default", "enum", "const"))
"""Keywords whose values are data: a `$ref` in them is none."""

_NAMES: Final = frozenset((
    "properties", "patternProperties", "definitions", "$defs", "schemas", "responses", "parameters",
    "requestBodies", "headers", "securitySchemes", "links", "callbacks", "pathItems", "paths",
    "webhooks", "dependentSchemas", "content", "encoding",
))  # fmt: skip
"""Keywords whose values map names, so that `default` below them is a name, too."""

_ANCHORS: Final = ("$anchor", "$dynamicAnchor")
_NOTHING: Final = object()


def find_broken_links(value: dict[str, Any]) -> Iterator[Finding]:
    """Yield warnings about a valid OpenAPI document."""
    yield from _refs(value)
    yield from _operation_ids(value)
    yield from _path_parameters(value)


def _warning(code: str, message: str, at: Pointer, hint: str) -> Finding:
    return Finding(code, message, at, hint, Severity.WARNING)


def _refs(document: dict[str, Any]) -> Iterator[Finding]:
    anchors: set[str] = set()
    found: dict[str, Pointer] = {}
    # A stack: documents of vendors nest deeper than a recursion should go.
    todo: list[tuple[Any, Pointer, bool]] = [(document, (), False)]
    while todo:
        value, at, are_names = todo.pop()
        if isinstance(value, list):
            todo.extend((item, (*at, i), False) for i, item in enumerate(value) if item)
            continue
        if not isinstance(value, dict):
            continue
        if not are_names:
            # A schema with an address of its own is the base of the references in it.
            if at and isinstance(value.get("$id"), str):
                continue
            _note_names(value, at, anchors, found)
        for key, item in value.items():
            if not item or (type(item) is not dict and type(item) is not list):
                continue
            if not are_names and (key in _DATA or key.startswith("x-")):
                continue
            todo.append((item, (*at, key), not are_names and key in _NAMES))
    for ref, at in sorted(found.items(), key=lambda item: repr(item[1])):
        if ref[1:] in anchors or _resolve(document, ref) is not _NOTHING:
            continue
        yield _warning(
            "openapi.ref",
            f"{shown(ref)} leads nowhere in this document",
            at,
            "correct the name, or write what it should lead to",
        )


def _note_names(
    schema: dict[str, Any], at: Pointer, anchors: set[str], found: dict[str, Pointer]
) -> None:
    """Add the anchors of a schema and the reference that it is."""
    for key in _ANCHORS:
        if key in schema:
            anchors.add(str(schema[key]))
    ref = schema.get("$ref")
    if isinstance(ref, str) and ref.startswith("#"):
        found.setdefault(ref, (*at, "$ref"))


def _resolve(document: dict[str, Any], ref: str) -> Any:
    """Return what a reference within the document leads to (RFC 6901 §6), `_NOTHING` for none."""
    if ref == "#":
        return document
    if not ref.startswith("#/"):
        return _NOTHING
    value: Any = document
    for part in ref[2:].split("/"):
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name[:9]) < len(value):
            value = value[int(name[:9])]
        else:
            return _NOTHING
    return value


def _operations(
    document: dict[str, Any], *, only_paths: bool = False
) -> Iterator[tuple[Pointer, dict[str, Any], dict[str, Any]]]:
    """Yield (place, path item, operation)."""
    for group in ("paths",) if only_paths else ("paths", "webhooks"):
        items = document.get(group)
        for path, item in items.items() if isinstance(items, dict) else ():
            if not isinstance(item, dict) or str(path).startswith("x-"):
                continue
            for method, operation in item.items():
                if method in _METHODS and isinstance(operation, dict):
                    yield (group, path, method), item, operation


def _operation_ids(document: dict[str, Any]) -> Iterator[Finding]:
    first: dict[str, Pointer] = {}
    for at, _, operation in _operations(document):
        name = operation.get("operationId")
        if not isinstance(name, str):
            continue
        if name not in first:
            first[name] = at
            continue
        _, path, method = first[name]
        yield _warning(
            "openapi.operation-id",
            f"the operationId {shown(name)} is that of {str(method).upper()} {path}, too",
            (*at, "operationId"),
            "tools call operations by this name: give each its own",
        )


def _path_parameters(document: dict[str, Any]) -> Iterator[Finding]:
    for at, item, operation in _operations(document, only_paths=True):
        names = _PARAMETER.findall(str(at[1]))
        declared = _declared(document, [item, operation]) if names else None
        if declared is None or isinstance(item.get("$ref"), str):
            continue
        for name in dict.fromkeys(names):
            if name not in declared:
                yield _warning(
                    "openapi.path-parameter",
                    f"{{{name}}} of the path is no parameter of {str(at[2]).upper()}",
                    at,
                    f"declare it: `- {{name: {name}, in: path, required: true, …}}`",
                )


def _declared(document: dict[str, Any], holders: list[dict[str, Any]]) -> set[str] | None:
    """Return the names of path parameters; None where one stands in another document."""
    names = set()
    for holder in holders:
        parameters = holder.get("parameters")
        for parameter in parameters if isinstance(parameters, list) else ():
            found = parameter
            if isinstance(parameter, dict) and isinstance(parameter.get("$ref"), str):
                found = _resolve(document, parameter["$ref"])
            if not isinstance(found, dict):
                return None
            if found.get("in") == "path":
                names.add(str(found.get("name")))
    return names

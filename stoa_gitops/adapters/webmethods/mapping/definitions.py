"""The definition of an API: made of its routes, or of the document beside it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.adapters.webmethods.entities.parts import ApiParts, GatewayInfo, JsonTree
from stoa_gitops.adapters.webmethods.mapping.backends import STUB
from stoa_gitops.adapters.webmethods.mapping.documents import DATA, NAMED, ApiDocument
from stoa_gitops.adapters.webmethods.mapping.routes import (
    Operations,
    make_paths,
    methods_of,
    operations_in,
    operations_print,
)
from stoa_gitops.adapters.webmethods.mapping.soap import is_soap
from stoa_gitops.adapters.webmethods.mapping.stored_forms import (
    EMPTY,
    FILLED_IN,
    KEPT_BY_UPDATES,
    OTHER_FIELDS,
)
from stoa_gitops.model.canonical import canonical_bytes

STUB_VERSION: Final = "0"
"""Version of an API of which only policies are written."""


def title_of(parts: ApiParts) -> str:
    """Return the title of an API's definition."""
    api: Any = parts.api
    return str(api["displayName"]) if api is not None else parts.key.short


def make_definition(
    parts: ApiParts, info: GatewayInfo, document: ApiDocument | None, remembered: str
) -> tuple[JsonTree | None, str, Operations | None, str]:
    """Return the definition of an API, its print, its operations and their print.

    Definition and operations are None where the document is not at hand: its operations have the
    print that was `remembered`.
    """
    api: Any = parts.api
    title, version = title_of(parts), str(api["version"]) if api is not None else STUB_VERSION
    backend = str(api["backend"]["url"]) if api is not None else STUB
    if is_soap(api):
        nothing: Operations = frozenset()
        printed = _print_of({"sha256": api["wsdl"]["sha256"]})
        return None, printed, nothing, operations_print(nothing)
    methods = methods_of(api["routes"]) if api is not None else []
    if api is not None and "openapi" in api:
        source = {"sha256": api["openapi"]["sha256"], "title": title, "version": version}
        printed = _print_of({**source, "methods": methods})
        if document is None:
            return None, printed, None, remembered
        found = document.definition(title, version, backend, methods)
        operations = operations_in(found) or frozenset()
        return found, printed, operations, operations_print(operations)
    depth = info.options.depth if api is not None else 0
    paths, operations, of_operations = make_paths(tuple(methods), depth)
    definition: JsonTree = {
        "openapi": "3.0.3",
        "info": {"title": title, "version": version},
        "servers": [{"url": backend}],
        "paths": paths,
    }
    # The backend is an alias of its own: another one is no other definition.
    source = {"title": title, "version": version, "operations": of_operations}
    return definition, _print_of(source), operations, of_operations


def content_print(definition: object) -> str:
    """Return a print of what people read of a stored definition; empty where there is none.

    Only prints of what the gateway gave back compare: what it makes of a document is its own matter
    (contract webmethods.md A.3). CPU-bound: 20 ms for a definition of 1 MB.
    """
    if not isinstance(definition, Mapping):
        return ""
    kept = {
        name: {n: one for n, one in value.items() if n not in OTHER_FIELDS["info"]}
        if name == "info" and isinstance(value, Mapping)
        else value
        for name, value in definition.items()
        if name not in OTHER_FIELDS[""]
    }
    try:
        return _print_of(_stored_form(kept, ""))
    except (RecursionError, ValueError):
        # No import of ours is as deep, or has a number that is none.
        return "unreadable"


def _stored_form(node: Any, name: str) -> Any:
    """Return a part of a definition without what the gateway fills in, and what updates keep."""
    if name in DATA:
        return node
    if isinstance(node, list):
        return [_stored_form(one, "") for one in node]
    if not isinstance(node, Mapping):
        return node
    is_map = name in NAMED
    found: JsonTree = {}
    for key, value in node.items():
        if is_map:
            # A name in there is no keyword, not even `enabled`.
            found[key] = _stored_form(value, "")
        elif key not in KEPT_BY_UPDATES and value not in FILLED_IN.get(key, ()):
            form = _stored_form(value, key)
            if form not in EMPTY:
                found[key] = form
    if "$ref" in node:
        found.pop("type", None)
    return found


def _print_of(value: JsonTree) -> str:
    return hashlib.sha256(canonical_bytes(value)).hexdigest()[:16]

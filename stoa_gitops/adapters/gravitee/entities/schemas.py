"""JSON Schemas of plugins' configurations: what fields they name, and with what default. Pure.

Schemas of Gravitee are written for forms: fields stand below `allOf`, `anyOf`, `oneOf`,
`dependencies` and references within the schema as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.entities.parts import JsonTree

DEEPEST: Final = 20
"""Levels of a configuration or schema that are looked at."""

_COMBINERS: Final = ("allOf", "anyOf", "oneOf")


def properties_of(schema: Any, root: JsonTree, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the fields that a schema names, one of several alternatives once for each."""
    if depth > DEEPEST or not isinstance(schema, Mapping):
        return
    schema = resolved(schema, root)
    yield from (schema.get("properties") or {}).items()
    for word in _COMBINERS:
        for part in schema.get(word) or ():
            yield from properties_of(part, root, depth + 1)
    for dependency in (schema.get("dependencies") or {}).values():
        yield from properties_of(dependency, root, depth + 1)


def resolved(schema: Mapping[str, Any], root: JsonTree) -> Mapping[str, Any]:
    """Follow references within the schema, from one to the next."""
    for _ in range(DEEPEST):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        found: Any = root
        for part in reference.removeprefix("#/").split("/"):
            found = found.get(part, {}) if isinstance(found, Mapping) else {}
        schema = found if isinstance(found, Mapping) else {}
    return schema

"""Makes a small valid value for any field of a schema, for help that shows one."""

from __future__ import annotations

import re
from typing import Any, Final

from stoa_gitops.catalog.documents.schema_tree import Schema, follow

_NAMED: Final = re.compile(r"(?:such as|one of) ([^\s,]+)")
_DEEPEST: Final = 6
"""Levels of an example: no schema of documents is deeper, and one may refer to itself."""

_BY_PATTERN: Final = (
    "orders",
    "NAME",
    "/health",
    "team@acme.example",
    "https://acme.example/path",
    "1.0",
)
"""What is tried where a field has a pattern and its title names no example."""


def example_value(node: Schema, root: Schema, depth: int = 0) -> Any:
    """Return a value that a field takes: its own example, or the least that its schema asks."""
    field = follow(node, root)
    if "examples" in field:
        return field["examples"][0]
    if "const" in field:
        return field["const"]
    if "enum" in field:
        return field["enum"][0]
    if field.get("x-canonical") == "secret":
        return {"env": "ACME_KEY"}
    # Empty defaults show nothing.
    if field.get("default") not in (None, [], {}, "", False, 0):
        return field["default"]
    wanted = field.get("type", "string" if "pattern" in field else "object")
    match wanted if isinstance(wanted, str) else wanted[0]:
        case "integer" | "number":
            return field.get("minimum", 1) or 1
        case "boolean":
            return not field.get("default", False)
        case "array":
            return [example_value(field.get("items", {}), root, depth + 1)]
        case "string":
            return _text(field)
        case _:
            return {} if depth > _DEEPEST else _mapping(field, root, depth)


def _mapping(field: Schema, root: Schema, depth: int) -> dict[str, Any]:
    properties = field.get("properties", {})
    names = list(field.get("required", ()))
    for keyword in ("oneOf", "anyOf"):
        first: Schema = next(iter(field.get(keyword, ())), {})
        names += [name for name in first.get("required", ()) if name not in names]
    made = {n: example_value(properties[n], root, depth + 1) for n in names if n in properties}
    for rule in field.get("allOf", ()):
        made |= _conditional(rule, made, properties, root, depth)
    rest = field.get("additionalProperties")
    if not properties and isinstance(rest, dict):
        name = field.get("propertyNames")
        key = str(example_value(name, root, depth + 1)) if name else "name"
        return {key: example_value(rest, root, depth + 1)}
    if not made and properties:
        name, item = next(iter(properties.items()))
        made = {name: example_value(item, root, depth + 1)}
    return made


def _conditional(
    rule: Schema, made: dict[str, Any], properties: Schema, root: Schema, depth: int
) -> dict[str, Any]:
    """Return what a rule `if … then required` adds to a value."""
    condition = rule.get("if", {})
    wanted, absent = condition.get("properties", {}), condition.get("not", {}).get("required", ())
    applies = (wanted or absent) and all(
        made.get(n) == part.get("const") for n, part in wanted.items()
    )
    applies = applies and not (absent and made.keys() >= set(absent))
    names = rule.get("then", {}).get("required", ()) if applies else ()
    return {n: example_value(properties[n], root, depth + 1) for n in names if n not in made}


def _text(field: Schema) -> str:
    named = _NAMED.search(field.get("title", ""))
    candidates = [named[1]] if named else []
    candidates += ["text", *_BY_PATTERN]
    pattern = re.compile(field.get("pattern", ""))
    least = field.get("minLength", 0)
    found = (text for text in candidates if pattern.search(text) and len(text) >= least)
    return next(found, candidates[0])

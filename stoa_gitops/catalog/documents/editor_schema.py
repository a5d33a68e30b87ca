"""One JSON Schema for all documents of a catalog, for editors and for SchemaStore.

Beside the kinds' own schemas it knows the configs of policies and the options of gateway types, and
takes `${NAME}` wherever a variable may stand. It is of draft-07, which every editor reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.catalog.documents.schema_tree import Schema
from stoa_gitops.catalog.documents.schemas import OPTIONS, Schemas

TITLE: Final = "stoa-gitops catalog"
_VARIABLE: Final = "variable"
_SCALARS: Final = frozenset({"integer", "number", "boolean"})
_DEFINITIONS: Final = "#/definitions/"
# Decide which schema holds, or name the document: no variable is looked up for them.
_FIXED: Final = frozenset({"apiVersion", "kind", "metadata"})


def editor_schema(schemas: Schemas) -> Schema:
    """Return the schema; it stands alone and is of draft-07."""
    definitions: dict[str, Schema] = {
        _VARIABLE: {
            "title": "variable of the environment",
            "description": "`${NAME}`, or `${NAME:-default}`.",
            "type": "string",
            "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}",
        }
    }
    for name in _names(schemas):
        bundled = schemas.complete_schema(name)
        kind = schemas.kinds.get(name)
        takes_variables = kind is None or kind.takes_variables
        prefix = _key(name)
        own = bundled.get("$defs", {})
        for definition, schema in own.items():
            definitions[f"{prefix}.{definition}"] = _rewritten(
                schema, prefix, schemas, variables=takes_variables
            )
        root = {key: value for key, value in bundled.items() if key not in ("$defs", "$schema")}
        definitions[prefix] = _rewritten(
            root, prefix, schemas, variables=takes_variables, is_document=kind is not None
        )
    _add_options(definitions, schemas)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": TITLE,
        "description": "Documents of a catalog of stoa-gitops.",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {
            "apiVersion": {"const": "gostoa.dev/v1alpha1"},
            "kind": {"enum": list(schemas.kinds), "description": "Kind of the document."},
        },
        "allOf": [_when("kind", kind, f"{_DEFINITIONS}{kind}") for kind in schemas.kinds],
        "definitions": _shared(definitions),
    }


def kind_editor_schema(whole: Schema, kind: str) -> Schema:
    """Return the part of an `editor_schema` that is about one kind; it stands alone, too."""
    definitions, used = whole["definitions"], dict[str, Schema]()
    waiting = [kind]
    while waiting:
        name = waiting.pop()
        if name not in used:
            used[name] = definitions[name]
            waiting.extend(_referred(definitions[name]))
    root = used.pop(kind)
    rest = {name: used[name] for name in definitions if name in used}
    return {"$schema": whole["$schema"], **root, "definitions": rest}


def _referred(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix(_DEFINITIONS)
        for value in node.values():
            yield from _referred(value)
    elif isinstance(node, list):
        for item in node:
            yield from _referred(item)


def _names(schemas: Schemas) -> Iterator[str]:
    yield from schemas.kinds
    yield from schemas.policy_types
    yield from (f"{OPTIONS}{name}" for name in schemas.option_types)


def _key(name: str) -> str:
    return name.replace("/", ".")


def _when(field: str, value: str, ref: str) -> Schema:
    return {
        "if": {"properties": {field: {"const": value}}, "required": [field]},
        "then": {"$ref": ref},
    }


def _rewritten(
    node: Any, prefix: str, schemas: Schemas, *, variables: bool, is_document: bool = False
) -> Any:
    """Return a schema with references into the whole, variables, and configs of policies."""
    if isinstance(node, list):
        return [_rewritten(item, prefix, schemas, variables=variables) for item in node]
    if not isinstance(node, Mapping):
        return node
    made: dict[str, Any] = {}
    for key, value in node.items():
        if key.startswith("x-"):
            continue
        if key == "$ref":
            made[key] = f"{_DEFINITIONS}{prefix}.{str(value).rpartition('/')[2]}"
        elif key == "properties":
            made[key] = {
                name: _rewritten(
                    item,
                    prefix,
                    schemas,
                    variables=variables and not (is_document and name in _FIXED),
                )
                for name, item in value.items()
            }
        elif key in ("enum", "const", "default", "examples", "required"):
            made[key] = value
        elif key in ("if", "not", "propertyNames"):
            # What these ask is asked of what is written.
            made[key] = _rewritten(value, prefix, schemas, variables=False)
        else:
            made[key] = _rewritten(value, prefix, schemas, variables=variables)
    if {"type", "config"} <= set(node.get("properties", ())):
        made["allOf"] = [*made.get("allOf", ()), *_configs(schemas)]
    return _with_variable(made) if variables else made


def _configs(schemas: Schemas) -> Iterator[Schema]:
    """Yield what holds for the config of a policy of each type."""
    for name in schemas.policy_types:
        yield {
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": {"properties": {"config": {"$ref": f"{_DEFINITIONS}{name}"}}},
        }


def _with_variable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of a scalar that takes a variable, too; any other one as it is."""
    kind = schema.get("type")
    if not isinstance(kind, str | None):
        return schema
    bounds = {"pattern", "enum", "const", "minLength", "format"} & set(schema)
    is_scalar = kind in _SCALARS or (kind in ("string", None) and bounds and "$ref" not in schema)
    if not is_scalar:
        return schema
    words: dict[str, Any] = {
        key: schema[key] for key in ("title", "description", "default") if key in schema
    }
    rest = {key: value for key, value in schema.items() if key not in words}
    return {**words, "anyOf": [rest, {"$ref": f"{_DEFINITIONS}{_VARIABLE}"}]}


def _add_options(definitions: dict[str, Schema], schemas: Schemas) -> None:
    """Say of the gateways of each type which options they have."""
    spec = definitions.get("GatewayInstance", {}).get("properties", {}).get("spec")
    if spec is None:
        return
    spec["allOf"] = [
        *spec.get("allOf", ()),
        *(
            {
                "if": {
                    "properties": {"gatewayType": {"const": name}},
                    "required": ["gatewayType"],
                },
                "then": {
                    "properties": {"options": {"$ref": f"{_DEFINITIONS}{_key(OPTIONS + name)}"}}
                },
            }
            for name in schemas.option_types
        ),
    ]


def _shared(definitions: dict[str, Schema]) -> dict[str, Schema]:
    """Return the definitions with those that say the same under one name.

    Kinds bring their own copies of shared definitions: `API.name`, `Tenant.name`.
    """
    while True:
        by_text: dict[str, str] = {}
        renamed: dict[str, str] = {}
        for name, schema in definitions.items():
            text = json.dumps(schema, sort_keys=True)
            first = by_text.setdefault(text, name)
            if first != name and "." in name:
                renamed[name] = first
        if not renamed:
            return definitions
        kept = {name: one for name, one in definitions.items() if name not in renamed}
        definitions = {name: _with_names(one, renamed) for name, one in kept.items()}


def _with_names(node: Any, renamed: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return [_with_names(item, renamed) for item in node]
    if not isinstance(node, Mapping):
        return node
    found = {key: _with_names(value, renamed) for key, value in node.items()}
    ref = node.get("$ref")
    if isinstance(ref, str):
        name = ref.removeprefix(_DEFINITIONS)
        found["$ref"] = f"{_DEFINITIONS}{renamed.get(name, name)}"
    return found

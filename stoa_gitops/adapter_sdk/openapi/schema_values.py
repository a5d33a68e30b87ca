"""Values of schema keywords: which ones OpenAPI 3.0 takes, types, and schemas that allow null."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

TYPES: Final = ("string", "number", "integer", "boolean", "array", "object", "null")

ABSENT: Final[Any] = object()
"""Stands for a keyword that is not there: None is JSON's null."""

ANNOTATIONS: Final = frozenset((
    "title", "description", "default", "example", "examples", "readOnly", "writeOnly", "deprecated",
    "externalDocs", "xml", "$comment",
))  # fmt: skip
"""Keywords that no value is validated against."""

_COMPOSED: Final = frozenset((
    "$id", "$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "not", "if",
))  # fmt: skip

NUMERIC_FORMATS: Final = frozenset(("int32", "int64", "float", "double", "decimal"))

OF_TYPE: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("minLength", "maxLength", "pattern"), ("string",)),
    **dict.fromkeys(
        ("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        ("number", "integer"),
    ),
    **dict.fromkeys(("items", "minItems", "maxItems", "uniqueItems"), ("array",)),
    **dict.fromkeys(
        ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
        ("object",),
    ),
}
"""Keywords of OpenAPI 3.0 that say something about values of some types alone."""

NULL: Final[Mapping[str, Any]] = {"type": "string", "nullable": True, "enum": [None]}
"""The schema of null: `nullable` means nothing without a type (OpenAPI 3.0.3, "nullable")."""


def count_of(value: Any) -> Any:
    """Return a count as 3.0 has it, an integer; JSON Schema 2020-12 takes 2.0 for one, too."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        return ABSENT
    return int(value) if value % 1 == 0 else ABSENT


def _number(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number else ABSENT


def _positive(value: Any) -> Any:
    return value if _number(value) is not ABSENT and value > 0 else ABSENT


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else ABSENT


def _flag(value: Any) -> Any:
    return value if isinstance(value, bool) else ABSENT


def _mapping(value: Any) -> Any:
    return value if isinstance(value, Mapping) else ABSENT


def _external_docs(value: Any) -> Any:
    return value if isinstance(value, Mapping) and isinstance(value.get("url"), str) else ABSENT


def required_of(value: Any) -> Any:
    """Return names without repetitions; ABSENT for what are no names."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return ABSENT
    return list(dict.fromkeys(value))


SIMPLE: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("title", "description", "format", "pattern"), _text),
    **dict.fromkeys(("readOnly", "writeOnly", "deprecated", "uniqueItems"), _flag),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        count_of,
    ),
    "multipleOf": _positive,
    "xml": _mapping,
    "externalDocs": _external_docs,
    "default": lambda value: value,
    "example": lambda value: value,
}
"""Keywords that 3.0 has as they are, each with what returns its value, or ABSENT."""

number_of: Final = _number


def types_of(schema: Mapping[str, Any]) -> list[str] | None:
    """Return the types that a schema names, None for one without `type`, or with unknown ones."""
    found = schema.get("type")
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list) or not found:
        return None
    types = list(dict.fromkeys(str(name) for name in found))
    if not set(types) <= set(TYPES):
        return None
    if "number" in types and "integer" in types:
        types.remove("integer")
    return types


def type_of_value(value: Any) -> str:
    """Return the type of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", float: "number", list: "array"}
    return names.get(type(value), "object")


def is_anything(schema: Any) -> bool:
    """Whether a schema plainly accepts every value."""
    return schema is True or schema == {}


def is_null_only(schema: Any) -> bool:
    """Whether a schema says nothing but that a value is null."""
    if not isinstance(schema, Mapping):
        return False
    said = schema.keys() - ANNOTATIONS
    if said == {"type"}:
        return schema["type"] in ("null", ["null"])
    if said == {"const"}:
        return schema["const"] is None
    return said == {"enum"} and schema["enum"] == [None]


def can_take_null(schema: Any) -> bool:
    """Whether a schema refuses null for its type alone, so that null can be added to it."""
    if not isinstance(schema, Mapping) or schema.keys() & _COMPOSED:
        return False
    types = types_of(schema)
    return types is not None and "null" not in types


def with_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema for which `can_take_null`, with null added."""
    changed = dict(schema)
    changed["type"] = [*(types_of(schema) or ()), "null"]
    values = schema.get("enum")
    if "const" in schema:
        del changed["const"]
        constant = schema["const"]
        if isinstance(values, list) and not is_member(constant, values):
            changed["enum"] = [None]
        else:
            changed["enum"] = [constant, None]
    elif isinstance(values, list):
        changed["enum"] = [*values, None]
    return changed


def is_member(value: Any, values: list[Any]) -> bool:
    """Whether a value is among others, as JSON has it: true is not 1."""
    return any(
        value == other and isinstance(value, bool) == isinstance(other, bool) for other in values
    )


def distinct(values: list[Any]) -> list[Any]:
    """Return values without repetitions, as JSON has it: 1 is 1.0, and true is neither."""
    found: dict[Any, Any] = {}
    for value in values:
        if isinstance(value, (list, Mapping)):
            key: Any = json.dumps(value, sort_keys=True, default=str)
        else:
            key = (isinstance(value, (bool, str)), value)
        found.setdefault(key, value)
    return list(found.values())


def is_joinable(outer: Mapping[str, Any], keyword: str, branch: Mapping[str, Any]) -> bool:
    """Whether the only branch of `anyOf` or `oneOf` can be written into the schema around it."""
    rest = outer.keys() - {keyword}
    if rest & branch.keys():
        return False
    return all(name in ANNOTATIONS or name.startswith("x-") for name in rest)

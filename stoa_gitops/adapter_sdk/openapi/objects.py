"""The objects of OpenAPI 3.0.3 and their fields, as data.

Source: OpenAPI Specification 3.0.3, "Schema", https://spec.openapis.org/oas/v3.0.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

SCHEMA: Final = "schema"
PATH_ITEM: Final = "pathItem"
CALLBACK: Final = "callback"
RESPONSE: Final = "response"
SECURITY_SCHEME: Final = "securityScheme"
OPERATION: Final = "operation"
DOCUMENT: Final = "document"
COMPONENTS: Final = "components"


class Shape(Enum):
    """How a field holds objects of its kind."""

    ONE = "one"
    LIST = "list"
    MAP = "map"


Field = tuple[Shape, str] | None
"""A field that holds objects, or None for one whose value is taken over as it is."""


def _values(*names: str) -> dict[str, Field]:
    return dict.fromkeys(names)


_CONTENT: Final[dict[str, Field]] = {"content": (Shape.MAP, "mediaType")}
_PARAMETER: Final[dict[str, Field]] = {
    **_values(
        "description", "required", "deprecated", "allowEmptyValue", "style", "explode",
        "allowReserved", "example",
    ),
    "schema": (Shape.ONE, SCHEMA),
    "examples": (Shape.MAP, "example"),
    **_CONTENT,
}  # fmt: skip

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

FIELDS: Final[Mapping[str, Mapping[str, Field]]] = {
    DOCUMENT: {
        **_values("openapi", "tags", "externalDocs", "security"),
        "info": (Shape.ONE, "info"),
        "servers": (Shape.LIST, "server"),
        "paths": (Shape.ONE, "paths"),
        "components": (Shape.ONE, COMPONENTS),
    },
    "info": {
        **_values("title", "description", "termsOfService", "contact", "version"),
        "license": (Shape.ONE, "license"),
    },
    "license": _values("name", "url"),
    "server": {**_values("url", "description"), "variables": (Shape.MAP, "serverVariable")},
    "serverVariable": _values("enum", "default", "description"),
    COMPONENTS: {
        "schemas": (Shape.MAP, SCHEMA),
        "responses": (Shape.MAP, RESPONSE),
        "parameters": (Shape.MAP, "parameter"),
        "examples": (Shape.MAP, "example"),
        "requestBodies": (Shape.MAP, "requestBody"),
        "headers": (Shape.MAP, "header"),
        "securitySchemes": (Shape.MAP, SECURITY_SCHEME),
        "links": (Shape.MAP, "link"),
        "callbacks": (Shape.MAP, CALLBACK),
    },
    PATH_ITEM: {
        **_values("$ref", "summary", "description"),
        **dict.fromkeys(METHODS, (Shape.ONE, OPERATION)),
        "servers": (Shape.LIST, "server"),
        "parameters": (Shape.LIST, "parameter"),
    },
    OPERATION: {
        **_values(
            "tags", "summary", "description", "externalDocs", "operationId", "deprecated",
            "security",
        ),
        "parameters": (Shape.LIST, "parameter"),
        "requestBody": (Shape.ONE, "requestBody"),
        "responses": (Shape.ONE, "responses"),
        "callbacks": (Shape.MAP, CALLBACK),
        "servers": (Shape.LIST, "server"),
    },
    "parameter": {**_values("name", "in"), **_PARAMETER},
    "header": _PARAMETER,
    "requestBody": {**_values("description", "required"), **_CONTENT},
    "mediaType": {
        **_values("example"),
        "schema": (Shape.ONE, SCHEMA),
        "examples": (Shape.MAP, "example"),
        "encoding": (Shape.MAP, "encoding"),
    },
    "encoding": {
        **_values("contentType", "style", "explode", "allowReserved"),
        "headers": (Shape.MAP, "header"),
    },
    RESPONSE: {
        **_values("description"),
        "headers": (Shape.MAP, "header"),
        **_CONTENT,
        "links": (Shape.MAP, "link"),
    },
    "example": _values("summary", "description", "value", "externalValue"),
    "link": {
        **_values("operationId", "operationRef", "parameters", "requestBody", "description"),
        "server": (Shape.ONE, "server"),
    },
    SECURITY_SCHEME: _values(
        "type", "description", "name", "in", "scheme", "bearerFormat", "flows", "openIdConnectUrl"
    ),
}  # fmt: skip
"""Fields by kind of object; all objects but these may have `x-` fields, too."""

NAMED: Final[Mapping[str, str]] = {
    "paths": PATH_ITEM,
    "responses": RESPONSE,
    CALLBACK: PATH_ITEM,
}
"""Objects whose fields are names, by what each holds."""

SECTIONS: Final[Mapping[str, str]] = {
    field[1]: section for section, field in FIELDS[COMPONENTS].items() if field
}
"""Sections of `components` by the kind of object in them; only these may be references."""

REFERABLE: Final = frozenset((*SECTIONS, PATH_ITEM)) - {SCHEMA}

# Applicators of JSON Schema 2020-12, and what older drafts had in their stead.
SCHEMA_ONE: Final = frozenset((
    "items", "additionalItems", "additionalProperties", "not", "if", "then", "else", "contains",
    "propertyNames", "unevaluatedItems", "unevaluatedProperties",
))  # fmt: skip
SCHEMA_LIST: Final = frozenset(("allOf", "anyOf", "oneOf", "prefixItems", "items"))
SCHEMA_MAP: Final = frozenset(("properties", "patternProperties", "dependentSchemas", "$defs"))


def is_extension(name: object) -> bool:
    """Whether a field is an extension, which every version of OpenAPI takes."""
    return isinstance(name, str) and name.startswith("x-")

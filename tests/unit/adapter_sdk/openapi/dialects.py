"""Validates values as JSON Schema 2020-12 and as OpenAPI 3.0 do, and documents as 3.0.3."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import reject
from jsonschema import Draft202012Validator
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import OpenAPIV30SpecValidator

DOCUMENT = {"openapi": "3.1.0", "info": {"title": "T", "version": "1"}}


def document_of(components: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document with these schemas."""
    return {**DOCUMENT, "paths": {}, "components": {"schemas": components}, **more}


def validator_31(components: Mapping[str, Any], name: str) -> Any:
    """Return what validates values under a component as JSON Schema 2020-12 has it.

    The components become `$defs`, for anchors are looked for in schemas alone.
    """
    text = json.dumps(components).replace('"#/components/schemas/', '"#/$defs/')
    return Draft202012Validator({"$defs": json.loads(text), "$ref": f"#/$defs/{name}"})


def validator_30(document: Mapping[str, Any], name: str) -> Any:
    """Return what validates values under a component as OpenAPI 3.0.3 has it."""
    return OAS30Validator({**document, "$ref": f"#/components/schemas/{name}"})


_ADVICE = "Required list has not defined properties"
"""Advice of the validator that no specification has: JSON Schema requires what nobody lists."""


def errors_30(document: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with an OpenAPI 3.0.3 document.

    One whose circles the validator does not come out of is no example: it says nothing of it.
    """
    try:
        found = [error.message for error in OpenAPIV30SpecValidator(dict(document)).iter_errors()]
    except RecursionError:
        reject()
    return [message for message in found if not message.startswith(_ADVICE)]


def oversights_30(document: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the schemas of a document and no validator says."""
    found = []
    todo: list[tuple[str, Any]] = [("", document)]
    while todo:
        at, value = todo.pop()
        if isinstance(value, list):
            todo += [(f"{at}/{index}", item) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            continue
        if "$ref" in value and len(value) > 1:
            found.append(f"{at}: a reference with siblings")
        if value.get("type") == "array" and "items" not in value:
            found.append(f"{at}: an array without items")
        if "nullable" in value and "type" not in value:
            found.append(f"{at}: nullable without a type")
        # What stands in these is data.
        data = ("example", "enum", "default")
        todo += [(f"{at}/{key}", item) for key, item in value.items() if key not in data]
    return found

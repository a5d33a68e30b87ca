from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.adapter_sdk.openapi.conversion import convert
from stoa_gitops.adapter_sdk.openapi.losses import Effect
from tests.unit.adapter_sdk.openapi.dialects import document_of

NULL = {"type": "string", "nullable": True, "enum": [None]}
ADDRESS = {"$ref": "#/components/schemas/Address"}


def schema_and_losses(schema: Any) -> tuple[Any, list[tuple[str, str]]]:
    """Return the converted schema, and (pointer below it, effect) of each loss."""
    address = {"type": "object", "title": "Address"}
    converted = convert(document_of({"It": schema, "Address": address}))
    prefix = "/components/schemas/It/"
    losses = [(loss.pointer.removeprefix(prefix), str(loss.effect)) for loss in converted.losses]
    return converted.document["components"]["schemas"]["It"], losses


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string"]}, {"type": "string"}),
        ({"type": "null"}, NULL),
        ({"const": None}, NULL),
        (
            {"type": ["string", "integer"], "minLength": 1, "minimum": 2, "title": "T"},
            {
                "anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 2}],
                "title": "T",
            },
        ),
        (
            {"type": ["array", "string", "null"]},
            {"anyOf": [{"type": "array", "nullable": True, "items": {}}, {"type": "string"}]},
        ),
        ({"type": ["number", "integer"]}, {"type": "number"}),
        (
            {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}], "title": "T"},
            {"type": "string", "nullable": True, "maxLength": 3, "title": "T"},
        ),
        (
            {"oneOf": [{"type": "string"}, ADDRESS, {"type": "null"}]},
            {"oneOf": [{"type": "string", "nullable": True}, ADDRESS]},
        ),
        (
            {"anyOf": [ADDRESS, {"type": "null"}]},
            {"type": "object", "nullable": True, "anyOf": [ADDRESS, NULL]},
        ),
        (
            {"anyOf": [{"enum": ["a"], "type": "string"}, {"const": None}]},
            {"type": "string", "nullable": True, "enum": ["a", None]},
        ),
        ({"const": "v"}, {"type": "string", "enum": ["v"]}),
        ({"type": "string", "const": "v"}, {"type": "string", "enum": ["v"]}),
        ({"const": 1, "enum": [True, 2]}, {"not": {}}),
        ({"examples": [1]}, {"example": 1}),
        ({"exclusiveMinimum": 1}, {"minimum": 1, "exclusiveMinimum": True}),
        ({"minimum": 2, "exclusiveMinimum": 1}, {"minimum": 2}),
        ({"maximum": 2, "exclusiveMaximum": 2}, {"maximum": 2, "exclusiveMaximum": True}),
        (
            {"type": "string", "contentEncoding": "base64"},
            {"type": "string", "format": "byte"},
        ),
        (
            {"type": "string", "contentMediaType": "application/octet-stream"},
            {"type": "string", "format": "binary"},
        ),
        ({"type": "array"}, {"type": "array", "items": {}}),
        (True, {}),
        (False, {"not": {}}),
        ({"properties": {"a": True, "b": False}}, {"properties": {"a": {}, "b": {"not": {}}}}),
        (
            {**ADDRESS, "description": "Where"},
            {"allOf": [ADDRESS], "description": "Where"},
        ),
        (ADDRESS, ADDRESS),
        (
            {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
            {"allOf": [{"anyOf": [{"not": {"required": ["a"]}}, {"required": ["b"]}]}]},
        ),
        (
            {"dependentRequired": {"a": ["b"]}},
            {
                "allOf": [
                    {
                        "anyOf": [
                            {"not": {"type": "object", "required": ["a"]}},
                            {"required": ["b"]},
                        ]
                    }
                ]
            },
        ),
        (
            {"contains": {"type": "string"}},
            {"not": {"type": "array", "items": {"not": {"type": "string"}}}},
        ),
        (
            {"prefixItems": [{"type": "number"}, {"type": "number"}], "items": False},
            {"maxItems": 2, "items": {"type": "number"}},
        ),
        (
            {"properties": {"a": {}}, "unevaluatedProperties": False},
            {"properties": {"a": {}}, "additionalProperties": False},
        ),
        (
            {"patternProperties": {"^.*$": {"type": "string"}}},
            {"additionalProperties": {"type": "string"}},
        ),
        ({"minLength": 2.0}, {"minLength": 2}),
        ({"required": []}, {}),
        ({"propertyNames": {"type": "string"}}, {}),
        ({"x-own": {"type": ["a"]}}, {"x-own": {"type": ["a"]}}),
    ],
)
def test_what_3_0_can_say_otherwise_is_no_loss(schema: Any, expected: Any) -> None:
    assert schema_and_losses(schema) == (expected, [])


@pytest.mark.parametrize(
    ("schema", "expected", "losses"),
    [
        (
            {"prefixItems": [{"type": "string"}, {"type": "number"}], "items": False},
            {"maxItems": 2, "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}},
            [("prefixItems", "validation")],
        ),
        (
            {"patternProperties": {"^a": {"type": "string"}}, "additionalProperties": False},
            {"additionalProperties": {"type": "string"}},
            [("patternProperties", "validation")],
        ),
        ({"propertyNames": {"maxLength": 2}}, {}, [("propertyNames", "validation")]),
        (
            {"allOf": [ADDRESS], "unevaluatedProperties": False},
            {"allOf": [ADDRESS]},
            [("unevaluatedProperties", "validation")],
        ),
        (
            {"not": {"propertyNames": {"maxLength": 2}}},
            {},
            [("not", "validation"), ("not/propertyNames", "validation")],
        ),
        (
            {"oneOf": [{"propertyNames": {"maxLength": 2}}, ADDRESS]},
            {"anyOf": [{}, ADDRESS]},
            [("oneOf", "validation"), ("oneOf/0/propertyNames", "validation")],
        ),
        (
            {"contains": {"type": "string"}, "minContains": 2, "maxContains": 3},
            {"not": {"type": "array", "items": {"not": {"type": "string"}}}},
            [("maxContains", "validation"), ("minContains", "validation")],
        ),
        (
            {"$id": "urn:it", "$schema": "urn:s", "$comment": "c", "$anchor": "a", "title": "T"},
            {"title": "T"},
            [("$anchor", "text"), ("$comment", "text"), ("$id", "text"), ("$schema", "text")],
        ),
        ({"examples": [1, 2]}, {"example": 1}, [("examples", "text")]),
        (
            {"type": "string", "contentEncoding": "base64url", "contentMediaType": "image/png"},
            {"type": "string"},
            [("contentEncoding", "text"), ("contentMediaType", "text")],
        ),
        (
            {"type": "string", "nullable": True},
            {"type": "string", "nullable": True},
            [("nullable", "validation")],
        ),
        ({"required": True}, {}, [("required", "validation")]),
        ({"type": "file"}, {}, [("type", "validation")]),
        ({"madeUp": 1}, {}, [("madeUp", "text")]),
        ({"$ref": "other.yaml#/A"}, {"$ref": "other.yaml#/A"}, [("$ref", "content")]),
        ({"$ref": "#/nowhere"}, {}, [("$ref", "validation")]),
    ],
)
def test_what_3_0_cannot_say_is_listed_once_with_its_place(
    schema: Any, expected: Any, losses: list[tuple[str, str]]
) -> None:
    assert schema_and_losses(schema) == (expected, losses)


def test_definitions_become_components_and_recursion_stays() -> None:
    node = {
        "$defs": {"Node": {"properties": {"next": {"$ref": "#/components/schemas/It/$defs/Node"}}}},
        "properties": {"first": {"$ref": "#/components/schemas/It/$defs/Node"}},
    }
    taken = {"type": "string"}
    converted = convert(document_of({"It": node, "Node": taken}))
    reference = {"$ref": "#/components/schemas/Node_2"}
    assert converted.document["components"]["schemas"] == {
        "It": {"properties": {"first": reference}},
        "Node": taken,
        "Node_2": {"properties": {"next": reference}},
    }
    assert converted.losses == ()


def test_anchors_and_addresses_are_resolved() -> None:
    schemas = {
        "It": {"properties": {"a": {"$ref": "#name"}, "b": {"$ref": "https://own/it#/$defs/x"}}},
        "Named": {"items": {"$anchor": "name", "type": "string"}},
        "Addressed": {"$id": "https://own/it", "$defs": {"x": {"type": "number"}}},
        "Inside": {"$id": "https://own/", "properties": {"c": {"$ref": "it"}}},
    }
    converted = convert(document_of(schemas))
    found = converted.document["components"]["schemas"]
    assert found["It"]["properties"] == {
        "a": {"$ref": "#/components/schemas/name"},
        "b": {"$ref": "#/components/schemas/x"},
    }
    assert found["Named"] == {"items": {"$ref": "#/components/schemas/name"}}
    assert (found["name"], found["x"]) == ({"type": "string"}, {"type": "number"})
    addressed = found["Inside"]["properties"]["c"]["$ref"].removeprefix("#/components/schemas/")
    assert found[addressed] == {}
    assert {loss.effect for loss in converted.losses} == {Effect.TEXT}


def test_a_dynamic_reference_is_resolved_where_it_can_only_lead_to_one_schema() -> None:
    tree = {"$dynamicAnchor": "node", "properties": {"child": {"$dynamicRef": "#node"}}}
    converted = convert(document_of({"Tree": tree}))
    names = converted.document["components"]["schemas"]
    assert names["Tree"] == {"$ref": "#/components/schemas/node"}
    assert names["node"] == {"properties": {"child": {"$ref": "#/components/schemas/node"}}}
    converted = convert(document_of({"Tree": tree, "Other": {"$dynamicAnchor": "node"}}))
    assert "/components/schemas/Tree/properties/child/$dynamicRef" in [
        loss.pointer for loss in converted.losses
    ]


def test_a_pointer_into_what_changes_its_form_still_leads_there() -> None:
    schemas = {
        "A": {"anyOf": [{"type": "null"}, {"type": "string", "title": "Text"}]},
        "B": {"$ref": "#/components/schemas/A/anyOf/1"},
    }
    found = convert(document_of(schemas)).document["components"]["schemas"]
    name = found["B"]["$ref"].removeprefix("#/components/schemas/")
    assert found[name] == {"type": "string", "title": "Text"}


def test_the_mapping_of_a_discriminator_follows_its_schemas() -> None:
    schema = {
        "$defs": {"Cat": {"type": "object"}},
        "discriminator": {
            "propertyName": "kind",
            "mapping": {"cat": "#/components/schemas/It/$defs/Cat", "dog": "Dog"},
        },
    }
    found = convert(document_of({"It": schema})).document["components"]["schemas"]["It"]
    assert found["discriminator"]["mapping"] == {"cat": "#/components/schemas/Cat", "dog": "Dog"}

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.adapter_sdk.openapi import bounds
from stoa_gitops.adapter_sdk.openapi.conversion import convert
from stoa_gitops.adapter_sdk.openapi.errors import ConversionRefused
from stoa_gitops.adapter_sdk.openapi.losses import Effect, summary_lines
from tests.unit.adapter_sdk.openapi.dialects import DOCUMENT, document_of, errors_30

OK = {"responses": {"200": {"description": "Fine"}}}


def document(**more: Any) -> dict[str, Any]:
    return {**DOCUMENT, **more}


def losses_of(value: dict[str, Any]) -> list[tuple[str, str]]:
    return [(loss.pointer, str(loss.effect)) for loss in convert(value).losses]


def test_a_3_0_document_is_returned_as_it_is() -> None:
    value = {"openapi": "3.0.1", "anything": {"type": ["string", "null"]}}
    converted = convert(value)
    assert converted.document is value
    assert converted.losses == ()


@pytest.mark.parametrize("version", ["2.0", "3.2.0", "4", None])
def test_other_versions_are_refused(version: str | None) -> None:
    with pytest.raises(ConversionRefused, match=r"only OpenAPI 3\.1"):
        convert({"openapi": version} if version else {"swagger": "2.0"})


def test_the_head_of_a_document() -> None:
    value = document(
        jsonSchemaDialect="https://spec.openapis.org/oas/3.1/dialect/base",
        webhooks={"new": {"post": OK}},
    )
    value["info"] = {
        "title": "T",
        "version": "1",
        "summary": "Short.",
        "description": "Long.",
        "license": {"name": "Apache", "identifier": "Apache-2.0"},
    }
    converted = convert(value).document
    assert errors_30(converted) == []
    assert converted["openapi"] == "3.0.3"
    assert converted["paths"] == {}
    assert converted["info"]["description"] == "Short.\n\nLong."
    assert converted["info"]["license"]["url"] == "https://spdx.org/licenses/Apache-2.0.html"
    assert losses_of(value) == [("/jsonSchemaDialect", "text"), ("/webhooks", "content")]


def test_an_expression_of_licences_has_no_address() -> None:
    value = document(paths={})
    value["info"] = {**value["info"], "license": {"name": "n", "identifier": "MIT OR ISC"}}
    assert convert(value).document["info"]["license"] == {"name": "n"}
    assert losses_of(value) == [("/info/license/identifier", "text")]


def test_operations_get_the_responses_that_3_0_demands() -> None:
    value = document(paths={"/a": {"get": {}, "put": {"responses": {"x-note": 1}}}})
    converted = convert(value).document
    assert errors_30(converted) == []
    assert converted["paths"]["/a"]["get"] == {"responses": {"default": {"description": ""}}}
    assert converted["paths"]["/a"]["put"]["responses"]["x-note"] == 1


def test_path_items_are_written_where_they_are_referred_to() -> None:
    value = document(
        paths={
            "/a": {"$ref": "#/components/pathItems/shared", "summary": "Own"},
            "/b": {"$ref": "#/components/pathItems/shared"},
        },
        components={
            "pathItems": {
                "shared": {"summary": "Shared", "get": OK},
                "unused": {"get": OK},
            }
        },
    )
    converted = convert(value).document
    assert errors_30(converted) == []
    assert converted["paths"]["/a"] == {"summary": "Own", "get": OK}
    assert converted["paths"]["/b"] == {"summary": "Shared", "get": OK}
    assert losses_of(value) == [("/components/pathItems/unused", "content")]


def test_a_path_item_that_calls_back_to_itself_ends() -> None:
    item = {"post": {**OK, "callbacks": {"c": {"{$url}": {"$ref": "#/components/pathItems/i"}}}}}
    value = document(
        paths={"/a": {"$ref": "#/components/pathItems/i"}}, components={"pathItems": {"i": item}}
    )
    assert errors_30(convert(value).document) == []
    ((_, effect),) = losses_of(value)
    assert effect == "content"


def test_references_lose_their_siblings_and_lead_to_components() -> None:
    value = document(
        paths={
            "/a": {
                "parameters": [{"name": "q", "in": "query", "schema": {"type": "string"}}],
                "get": {
                    **OK,
                    "parameters": [{"$ref": "#/paths/~1a/parameters/0", "description": "More"}],
                },
            }
        }
    )
    converted = convert(value).document
    assert errors_30(converted) == []
    reference = converted["paths"]["/a"]["get"]["parameters"][0]["$ref"]
    assert reference.startswith("#/components/parameters/")
    assert converted["paths"]["/a"]["parameters"] == [{"$ref": reference}]
    assert losses_of(value) == [("/paths/~1a/get/parameters/0/description", "text")]


def test_references_to_nowhere_and_elsewhere_are_listed() -> None:
    value = document(
        paths={
            "/a": {
                "get": {
                    "parameters": [{"$ref": "#/components/parameters/none"}],
                    "responses": {
                        "200": {"$ref": "#/components/responses/none"},
                        "400": {"$ref": "https://example.invalid/problems.yaml#/400"},
                    },
                }
            }
        }
    )
    operation = convert(value).document["paths"]["/a"]["get"]
    assert operation["parameters"] == []
    assert operation["responses"]["200"] == {"description": ""}
    assert operation["responses"]["400"] == {"$ref": "https://example.invalid/problems.yaml#/400"}
    assert len(losses_of(value)) == 3


def test_mutual_tls_is_left_out_and_never_becomes_access_for_anybody() -> None:
    value = document(
        paths={"/a": {"get": {**OK, "security": [{"mtls": []}, {"key": [], "mtls": []}]}}},
        security=[{"key": ["reader"]}, {}],
        components={
            "securitySchemes": {
                "mtls": {"type": "mutualTLS"},
                "key": {"type": "apiKey", "in": "header", "name": "K"},
            }
        },
    )
    converted = convert(value).document
    assert errors_30(converted) == []
    assert converted["security"] == [{"key": []}, {}]
    assert converted["paths"]["/a"]["get"]["security"] == [{"key": []}]
    assert list(converted["components"]["securitySchemes"]) == ["key"]
    assert losses_of(value) == [
        ("/components/securitySchemes/mtls", "security"),
        ("/paths/~1a/get/security/0/mtls", "security"),
        ("/paths/~1a/get/security/1/mtls", "security"),
        ("/security/0/key", "security"),
    ]


def test_values_that_openapi_does_not_have_are_left_out_and_listed() -> None:
    value = document(paths={"/a": {"get": "text", "parameters": {}}}, madeUp=1)
    value["components"] = None
    converted = convert(value).document
    assert converted["paths"]["/a"] == {}
    assert losses_of(value) == [
        ("/madeUp", "text"),
        ("/paths/~1a/get", "content"),
        ("/paths/~1a/parameters", "content"),
    ]


def test_keys_that_yaml_read_as_numbers_are_text() -> None:
    value = document(paths={"/a": {"get": {"responses": {200: {"description": "Fine"}}}}})
    assert list(convert(value).document["paths"]["/a"]["get"]["responses"]) == ["200"]


def test_a_document_that_nests_or_contains_itself_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"properties": {"a": deep}}
    with pytest.raises(ConversionRefused, match="nests deeper than 256 levels"):
        convert(document_of({"Deep": deep}))
    circle: dict[str, Any] = {"type": "object"}
    circle["properties"] = {"me": circle}
    with pytest.raises(ConversionRefused, match="contains itself"):
        convert(document_of({"Circle": circle}))


def test_aliases_that_stand_for_millions_of_values_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "MAX_VALUES", 50_000)
    schema: Any = {"type": "string"}
    for _ in range(40):
        schema = {"allOf": [schema, schema]}
    with pytest.raises(ConversionRefused, match="more than 50000 values"):
        convert(document_of({"Bomb": schema}))


def test_path_items_that_multiply_are_refused() -> None:
    item = {"get": {**OK, "parameters": [{"name": "q", "in": "query"}] * 1_000}}
    paths = {f"/{n}": {"$ref": "#/components/pathItems/i"} for n in range(400)}
    value = document(paths=paths, components={"pathItems": {"i": item}})
    with pytest.raises(ConversionRefused, match="written more than"):
        convert(value)


def test_losses_are_summed_up_with_the_gravest_first() -> None:
    value = document_of(
        {
            "A": {"$comment": "c", "propertyNames": {"maxLength": 1}},
            "B": {"$comment": "c"},
        }
    )
    losses = convert(value).losses
    assert [loss.effect for loss in losses] == [Effect.TEXT, Effect.VALIDATION, Effect.TEXT]
    assert summary_lines(losses) == [
        "propertyNames: left out; every name is accepted (/components/schemas/A/propertyNames)",
        "$comment: left out (2 places, first /components/schemas/A/$comment)",
    ]

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.catalog.export.openapi.api_facts import ApiFacts, Choices, find_facts
from stoa_gitops.catalog.export.openapi.names import name_from, with_version

KEY = {"type": "apiKey", "in": "header", "name": "X-Key"}
OIDC = {
    "type": "openIdConnect",
    "openIdConnectUrl": "https://id.example/realm/.well-known/openid-configuration",
}


def facts(origin: str = "", choices: Choices | None = None, **fields: Any) -> ApiFacts:
    document = {"openapi": "3.0.3", "info": {"title": "T", "version": "1"}, **fields}
    if "swagger" in fields:
        del document["openapi"]
    return find_facts(document, origin, choices or Choices("acme", {}))


def backend(**fields: Any) -> Any:
    return facts(**fields).spec["backend"]


def effects(found: ApiFacts) -> list[tuple[str, str]]:
    return [(item.what, item.effect) for item in found.unmapped]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"servers": [{"url": "https://a.example/v1/"}]}, "https://a.example/v1"),
        ({"servers": [{"url": "HTTP://A.Example:8080"}]}, "http://a.example:8080"),
        ({"servers": [{"url": "//a.example/x"}]}, "https://a.example/x"),
        ({"servers": [{"url": "wss://a.example"}, {"url": "http://b.example"}]}, "http://b.example"),
        (
            {"servers": [{"url": "https://{h}/{v}", "variables": {
                "h": {"default": "a.example"}, "v": {"default": 2}}}]},
            "https://a.example/2",
        ),
        ({"servers": [{"url": "/v1"}], "origin": "https://o.example/d/openapi.yaml"},
         "https://o.example/v1"),
        (
            {"swagger": "2.0", "host": "a.example", "basePath": "v2", "schemes": ["http", "https"]},
            "https://a.example/v2",
        ),
        ({"swagger": "2.0", "host": "a.example", "schemes": ["http"]}, "http://a.example"),
    ],
)  # fmt: skip
def test_servers_become_the_backend(fields: dict[str, Any], expected: str) -> None:
    assert backend(**fields) == {"url": expected}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"servers": []},
        {"servers": [{"url": "/v1"}]},
        {"servers": [{"url": "https://{tenant}.example"}]},
        {"servers": [{"url": "https://user:secret@a.example"}]},
        {"servers": [{"url": "https://a.example:port"}]},
        {"servers": [{"url": "grpc://a.example"}]},
        {"servers": "https://a.example"},
        {"swagger": "2.0"},
    ],
)
def test_without_a_server_the_echo_answers_and_that_is_said(fields: dict[str, Any]) -> None:
    found = facts(**fields)
    assert found.spec["backend"] == {"alias": "echo"}
    assert any("the built-in echo answers" in effect for _, effect in effects(found))


def test_a_person_chooses_variables_and_backend() -> None:
    servers = [{"url": "https://{env}.example", "variables": {"env": {"default": "prod"}}}]
    chosen = Choices("acme", {"env": "dev"})
    assert facts(choices=chosen, servers=servers).spec["backend"] == {"url": "https://dev.example"}
    chosen = Choices("acme", {}, backend="http://mine.example")
    assert facts(choices=chosen, servers=servers).spec["backend"] == {"url": "http://mine.example"}


def test_the_base_path_becomes_a_route_beside_the_tenants_own() -> None:
    found = facts(servers=[{"url": "https://a.example/api/v2"}])
    assert found.document("acme", "t")["spec"]["routes"] == [
        {"path": "/apis/acme/t"},
        {"path": "/api/v2"},
    ]
    assert "routes" not in facts(servers=[{"url": "https://a.example/"}]).document("acme", "t")


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        ([{"key": []}], [{"type": "api_key", "config": {"in": "header", "name": "X-Key"}}]),
        ([{"oidc": []}], [{"type": "jwt", "config": {"issuer": "https://id.example/realm"}}]),
        ([{"oauth": ["a"]}, {"key": []}], [{"type": "api_key", "config": {
            "in": "header", "name": "X-Key"}}]),
        ([{"key": []}, {"oidc": []}], [
            {"type": "api_key", "config": {"in": "header", "name": "X-Key"}},
            {"type": "jwt", "config": {"issuer": "https://id.example/realm"}},
        ]),
        # Both policies would mean either: of what is asked for together one is written.
        ([{"key": [], "oidc": []}], [{"type": "api_key", "config": {
            "in": "header", "name": "X-Key"}}]),
        ([{"key": [], "basic": []}, {"oidc": []}], [
            {"type": "jwt", "config": {"issuer": "https://id.example/realm"}}]),
        ([{"oauth": ["a"]}], None),
        ([{"basic": []}], None),
        ([{"tls": []}], None),
        ([{"cookie": []}], None),
        ([{"unknown": []}], None),
        ([{}, {"key": []}], None),
        ([], None),
    ],
)  # fmt: skip
def test_security_becomes_policies_and_says_what_is_lost(security: Any, expected: Any) -> None:
    schemes = {
        "key": KEY,
        "oidc": OIDC,
        "oauth": {"type": "oauth2", "flows": {}},
        "basic": {"type": "http", "scheme": "basic"},
        "tls": {"type": "mutualTLS"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "session"},
    }
    found = facts(security=security, components={"securitySchemes": schemes})
    assert found.spec.get("policies") == expected
    assert found.unmapped


def test_operations_that_all_require_the_same_count_as_the_api() -> None:
    def paths(*security: Any) -> dict[str, Any]:
        return {f"/{n}": {"get": {"security": one}} for n, one in enumerate(security)}

    schemes = {"securitySchemes": {"key": KEY, "oidc": OIDC}}
    same = facts(paths=paths([{"key": []}], [{"key": []}]), components=schemes)
    assert [policy["type"] for policy in same.spec["policies"]] == ["api_key"]
    mixed = facts(paths=paths([{"key": []}], [{"oidc": []}]), components=schemes)
    assert "policies" not in mixed.spec
    assert any("different things" in effect for _, effect in effects(mixed))


def test_the_head_of_a_document() -> None:
    info = {
        "title": "  Pets\n and  more ",
        "version": 1.0,
        "description": "# Pets\nwith ${VARIABLE}.\n\nMore.",
    }
    found = facts(info=info, tags=[{"name": "a"}, {"name": "a"}, "b"])
    spec = found.document("acme", "pets")["spec"]
    assert spec["displayName"] == "Pets and more"
    assert spec["version"] == "1.0"
    assert spec["description"] == "Pets with $${VARIABLE}."
    assert spec["portal"] == {"tags": ["a"]}
    assert ("info", "a number, of which zeros at the end are lost; write it in quotes") in effects(
        found
    )


def test_references_to_other_documents_and_what_gateways_have_no_place_for_are_said() -> None:
    found = facts(
        paths={
            "/a": {"get": {"servers": [{"url": "http://x.example"}]}},
            "/b": {"$ref": "paths/b.yaml#/get"},
        },
        webhooks={"new": {}},
    )
    said = {item.what: item.value for item in found.unmapped}
    assert said["$ref"] == "paths/b.yaml"
    assert said["paths"] == "GET /a"
    assert said["webhooks"] == "new"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("Swagger Petstore — Ünïcode",), "swagger-petstore-unicode"),
        (("../../etc/passwd",), "etc-passwd"),
        (("宠物", "openapi"), "openapi"),
        (("", ""), "api"),
        (("a" * 80,), "a" * 63),
        (("x" * 62 + " y",), "x" * 62),
    ],
)
def test_names_fit_a_catalog(texts: tuple[str, ...], expected: str) -> None:
    assert name_from(*texts) == expected


def test_two_versions_have_two_names() -> None:
    assert with_version("pets", "2.0") == "pets-v2-0"
    assert with_version("p" * 63, "V1") == "p" * 60 + "-v1"

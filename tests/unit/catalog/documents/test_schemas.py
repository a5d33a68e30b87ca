from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog import docs, kind_names, schema_text
from stoa_gitops.catalog.documents.parse import parse_file
from stoa_gitops.catalog.kinds import kind_set
from stoa_gitops.errors import UsageError
from stoa_gitops.model.catalog import PLAN_DECIDES

ROOT = Path(__file__).resolve().parents[4]
SCHEMAS = kind_set(gateway_types()).schemas
EVERY = [
    *kind_names(),
    *SCHEMAS.policy_types,
    *(f"options/{name}" for name in SCHEMAS.option_types),
]


def nodes(value: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield at, value
        for key, item in value.items():
            yield from nodes(item, f"{at}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from nodes(item, f"{at}/{index}")


@pytest.mark.parametrize("kind", EVERY)
def test_every_schema_is_a_schema_that_stands_alone(kind: str) -> None:
    found = SCHEMAS.schema(kind)
    jsonschema.Draft202012Validator.check_schema(found)
    references = [node["$ref"] for _, node in nodes(found) if isinstance(node.get("$ref"), str)]
    assert all(ref.startswith("#/$defs/") and ref[8:] in found["$defs"] for ref in references)
    assert set(found.get("$defs", {})) == {ref[8:] for ref in references}


@pytest.mark.parametrize("kind", EVERY)
def test_unknown_keys_are_errors_everywhere(kind: str) -> None:
    open_ones = {"options", "patch", "config"}
    for at, node in nodes(SCHEMAS.schema(kind)):
        if "properties" in node and "/allOf" not in at:
            assert node["additionalProperties"] is False, at
        elif node.get("type") == "object" and at.rsplit("/", 1)[-1] not in open_ones:
            assert isinstance(node["additionalProperties"], dict), at


@pytest.mark.parametrize("kind", EVERY)
def test_each_secret_has_a_field_of_its_own_whose_name_ends_in_ref(kind: str) -> None:
    """`evaluation.parse` counts these names: a document has no more references than that."""
    found = SCHEMAS.schema(kind)
    for at, node in nodes({name: item for name, item in found.items() if name != "$defs"}):
        reference = str(node.get("$ref", ""))
        target = found["$defs"][reference[8:]] if reference.startswith("#/$defs/") else node
        if target.get("x-canonical") == "secret":
            *_, parent, name = at.split("/")
            assert (parent, name[-3:]) == ("properties", "Ref"), at
    for at, node in nodes(found.get("$defs", {})):
        assert node.get("x-canonical") != "secret" or at.count("/") == 1, at


@pytest.mark.parametrize("kind", EVERY)
def test_every_field_says_what_it_means(kind: str) -> None:
    for at, node in nodes(SCHEMAS.schema(kind)):
        for name, field in node.get("properties", {}).items() if "/allOf" not in at else ():
            assert {"description", "title", "$ref"} & set(field) or name in (
                "spec",
                "in",
                "type",
            ), f"{at}/{name}"


def test_kinds_are_found_in_any_case_and_others_are_named() -> None:
    assert schema_text("api") == schema_text("API")
    assert json.loads(schema_text("rate_limit"))["title"] == "rate_limit"
    with pytest.raises(UsageError, match="no schema for 'Nothing': there are Catalog"):
        schema_text("Nothing")


@pytest.mark.parametrize("kind", EVERY)
def test_both_validators_agree(kind: str) -> None:
    for value in (
        {},
        {"spec": 1},
        {"apiVersion": "gostoa.dev/v1alpha1", "kind": kind, "metadata": {"name": "x"}},
        {"requests": 0},
        {"requests": 1.0, "window": "1m"},
        [],
        None,
        "x",
    ):
        assert SCHEMAS.validator(kind)(value) == SCHEMAS.explainer(kind).is_valid(value)


def full(document: Callable[..., str], kind: str, spec: str) -> dict[str, Any]:
    (parsed,) = parse_file(document(kind, "x", spec).encode(), SCHEMAS).documents
    value: dict[str, Any] = SCHEMAS.normaliser(kind)(json.loads(parsed.raw))["spec"]  # type: ignore[assignment]
    return value


def test_defaults_of_an_api_stand_in_the_schema(document: Callable[..., str]) -> None:
    spec = full(document, "API", "version: '1'\nbackend: {url: https://x}\nroutes: [{path: /x}]")
    assert spec == {
        "version": "1", "active": True, "plans": [], "policies": [], "loadBalancing": "weighted",
        "backend": {"url": "https://x", "timeout": "30s", "retries": 0},
        "routes": [
            {"path": "/x", "methods": [], "hosts": [], "headers": [], "stripPath": True,
             "delegates": []}
        ],
    }  # fmt: skip


def test_defaults_of_a_gateway_stand_in_the_schema(document: Callable[..., str]) -> None:
    spec = full(
        document, "GatewayInstance", "gatewayType: stoa\nenvironment: dev\nbaseUrl: embedded"
    )
    assert spec == {
        "gatewayType": "stoa", "environment": "dev", "baseUrl": "embedded",
        "auth": {"type": "none"},
        "policy": "full", "interval": "1m", "prune": {"maxPercent": 30}, "capabilities": [],
        "tenants": [],
        "backends": {"allow": [], "deny": []}, "wave": 0, "suspended": False, "options": {},
        "registration": {
            "networks": [], "forgetAfter": "168h",
            "degraded": {"errorRate": 0.05, "window": 1, "recovery": 1},
        },
    }  # fmt: skip


def test_a_gateway_without_an_address_is_one_that_registers_itself(
    document: Callable[..., str],
) -> None:
    assert full(document, "GatewayInstance", "gatewayType: stoa\nenvironment: dev")["baseUrl"] == (
        "registered"
    )


def test_defaults_of_policies_stand_in_the_schema(document: Callable[..., str]) -> None:
    spec = full(document, "Policy", "type: rate_limit\nconfig: {requests: 5, window: 60s}")
    assert (spec["priority"], spec["onUnsupported"]) == (100, "fail")
    assert SCHEMAS.normaliser("rate_limit")(spec["config"]) == {
        "requests": 5,
        "window": "1m",
        "by": "consumer",
    }
    assert SCHEMAS.normaliser("api_key")({}) == {"in": "header", "name": "X-API-Key", "hide": True}
    assert SCHEMAS.normaliser("jwt")({"issuer": "i"}) == {
        "issuer": "i", "audiences": [], "requiredClaims": {}, "forwardClaims": {},
        "clockSkew": "30s"
    }  # fmt: skip


def test_defaults_are_fresh_each_time() -> None:
    first = SCHEMAS.normaliser("caching")({"ttl": "1m"})
    first["methods"].append("PUT")  # type: ignore[union-attr]
    assert SCHEMAS.normaliser("caching")({"ttl": "1m"})["methods"] == ["GET", "HEAD"]


@pytest.mark.parametrize(
    ("policy_type", "config", "expected"),
    [
        ("cors", {"origins": ["b", "a", "b"], "methods": ["put", "GET"], "maxAge": "3600s"},
         {"origins": ["a", "b"], "methods": ["GET", "PUT"], "maxAge": "1h", "credentials": False}),
        ("request_size", {"max": 1048576}, {"max": "1MiB"}),
        ("request_size", {"max": "2048KiB"}, {"max": "2MiB"}),
        ("quota", {"requests": 5.0, "period": "day"}, {"requests": 5, "period": "day",
                                                       "by": "consumer"}),
        ("retry", {"attempts": 2, "on": [503, "5xx", "connect"]},
         {"attempts": 2, "on": ["503", "5xx", "connect"], "backoff": "100ms"}),
        ("headers", {"request": {"remove": ["B", "A"]}}, {"request": {"set": {}, "add": {},
                                                                      "remove": ["A", "B"]}}),
        ("caching", {"ttl": "1m", "statuses": [404, 200, 404]},
         {"ttl": "1m", "statuses": [200, 404], "methods": ["GET", "HEAD"], "varyHeaders": [],
          "varyQuery": []}),
        ("mock", {}, {"status": 200, "headers": {}, "body": ""}),
        ("logging", {}, {"sinks": [], "payloads": False, "redact": []}),
        ("ip_filter", {"allow": ["10.0.0.0/8"]}, {"allow": ["10.0.0.0/8"], "deny": []}),
        ("circuit_breaker", {"failures": 5, "window": "1000ms", "reset": "90s"},
         {"failures": 5, "window": "1s", "reset": "90s"}),
    ],
)  # fmt: skip
def test_configs_have_one_spelling(policy_type: str, config: Any, expected: Any) -> None:
    assert SCHEMAS.validator(policy_type)(config)
    assert SCHEMAS.normaliser(policy_type)(config) == expected


def test_secrets_become_references(document: Callable[..., str]) -> None:
    spec = full(
        document,
        "Application",
        "credentials:\n- {type: basic, usernameRef: {env: U}, passwordRef: {file: /p}}",
    )
    assert spec["credentials"] == [
        {
            "type": "basic",
            "usernameRef": {"$secret": "env:U"},
            "passwordRef": {"$secret": "file:/p"},
        }
    ]


@pytest.mark.parametrize("secret", [{}, {"env": "A", "file": "b"}, {"env": "1A"}, {"vault": "x"},
                                    {"k8s": "x#y"},
                                    {"plain": "x"}, "env:A", None])  # fmt: skip
def test_what_is_no_reference_is_refused(secret: Any) -> None:
    document = {"apiVersion": "gostoa.dev/v1alpha1", "kind": "Application",
                "metadata": {"name": "x"},
                "spec": {"credentials": [{"type": "api_key", "keyRef": secret}]}}  # fmt: skip
    assert not SCHEMAS.validator("Application")(document)
    assert not SCHEMAS.explainer("Application").is_valid(document)


def test_times_become_utc_and_impossible_ones_are_refused() -> None:
    from stoa_gitops.catalog.documents.canonical_form import canonical_time

    assert canonical_time("2027-01-01T01:00:00.5+01:00") == "2027-01-01T00:00:00Z"
    assert canonical_time("2027-01-01t00:00:00z") == "2027-01-01T00:00:00Z"
    with pytest.raises(ValueError, match="no time that exists"):
        canonical_time("2027-02-30T00:00:00Z")


def test_the_gateway_of_stoas_documentation_is_valid_as_it_stands() -> None:
    text = """
apiVersion: gostoa.dev/v1alpha1
kind: GatewayInstance
metadata:
  name: kong-production
  namespace: stoa-system
spec:
  displayName: Kong Production (GRA)
  gatewayType: kong
  environment: prod
  baseUrl: http://kong-admin:8001
  capabilities: [rest, rate_limiting]
"""
    blob = parse_file(text.encode(), SCHEMAS)
    assert not blob.findings
    assert blob.documents[0].name == "kong-production"


@pytest.mark.parametrize("name", docs.pages(SCHEMAS))
def test_the_pages_about_kinds_are_current(name: str) -> None:
    page = ROOT / "docs" / "spec" / name
    assert page.read_text(encoding="utf-8") == docs.pages(SCHEMAS)[name], (
        "run `python -m stoa_gitops.operations.reference_docs`"
    )


def test_pages_are_written_into_a_folder(tmp_path: Path) -> None:
    docs.write(tmp_path / "spec", SCHEMAS)
    assert {path.name for path in (tmp_path / "spec").iterdir()} == set(docs.pages(SCHEMAS))


CODE = re.compile(
    r"^(yaml|file|document|name|schema|secret|variable|patch|annotation|ref|policy|subscription|route|backend|"
    r"gateway|environment|limit|openapi|wsdl)\.[a-z0-9-]+$"
)


def test_every_code_is_listed_in_the_documentation() -> None:
    listed = set(
        re.findall(
            r"`([a-z]+\.[a-z0-9-]+)`", (ROOT / "docs/catalog.md").read_text(encoding="utf-8")
        )
    )
    listed = {code for code in listed if CODE.match(code)}
    used = set()
    for path in [
        p for f in ("catalog", "foundation") for p in (ROOT / "stoa_gitops" / f).rglob("*.py")
    ]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and CODE.match(node.value)
            ):
                used.add(node.value)
    used |= {"limit.apis", "limit.applications", *PLAN_DECIDES}
    # The shared composer refuses a second document in vendors' files only.
    used -= {"yaml.documents"}
    used -= {"openapi.yaml", "openapi.yml", "openapi.json", "schema.json"}
    assert used == listed - {"openapi.yaml"}

"""The schema for editors: it takes every valid document, and knows more than the kinds' own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog.documents.editor_schema import editor_schema, kind_editor_schema
from stoa_gitops.catalog.kinds import kind_set
from stoa_gitops.operations.starter.templates import (
    ALL_KINDS,
    editor_settings,
    schema_files,
    schema_index,
)

ROOT = Path(__file__).resolve().parents[4]
INTEGRATIONS = ROOT / "integrations"
WHOLE = editor_schema(kind_set(gateway_types()).schemas)
VALIDATOR = jsonschema.Draft7Validator(WHOLE)
DOCUMENTS = [
    (path.relative_to(ROOT).as_posix(), document)
    for path in sorted((ROOT / "catalog-example").rglob("*.yaml"))
    for document in YAML(typ="safe").load_all(path)
    if isinstance(document, dict) and "kind" in document
]


def document(kind: str, spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "gostoa.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "a"},
        "spec": spec,
    }


def test_it_is_a_schema_of_draft_7_that_stands_alone() -> None:
    jsonschema.Draft7Validator.check_schema(WHOLE)
    text = json.dumps(WHOLE)
    assert "$defs" not in text
    assert '"x-canonical"' not in text
    assert '"x-place"' not in text


@pytest.mark.parametrize(("path", "found"), DOCUMENTS, ids=[path for path, _ in DOCUMENTS])
def test_it_takes_what_is_valid(path: str, found: Any) -> None:
    plain = json.loads(json.dumps(found))
    assert [error.message for error in VALIDATOR.iter_errors(plain)] == []
    own = kind_editor_schema(WHOLE, found["kind"])
    jsonschema.Draft7Validator(own).validate(plain)


@pytest.mark.parametrize(
    ("spec", "is_valid"),
    [
        ({"requests": 1, "window": "1m"}, True),
        ({"requests": "${N}", "window": "${W:-1m}"}, True),
        ({"requests": "N", "window": "1m"}, False),
        ({"requests": 1}, False),
        ({"requests": 1, "window": "1m", "windows": 1}, False),
    ],
)
def test_configs_of_policies_are_known_wherever_policies_stand(spec: Any, is_valid: bool) -> None:
    use = {"type": "rate_limit", "config": spec}
    api = {"version": "1", "backend": {"alias": "echo"}, "policies": [use]}
    for found in (
        document("Policy", use),
        document("API", api),
        document("Tenant", {"policies": [use]}),
    ):
        assert VALIDATOR.is_valid(found) is is_valid


@pytest.mark.parametrize(
    ("found", "is_valid"),
    [
        (document("GatewayInstance", {"gatewayType": "kong", "environment": "dev",
                                      "baseUrl": "${KONG}", "options": {}}), True),
        (document("GatewayInstance", {"gatewayType": "kong", "environment": "dev",
                                      "baseUrl": "http://k", "options": {"nonsense": 1}}), False),
        (document("API", {"version": "1", "backend": {"url": "https://${HOST}/"},
                          "active": "${ON}"}), True),
        (document("API", {"version": "1", "backend": {"alias": "echo"}, "active": "on"}), False),
        (document("Nothing", {}), False),
        ({**document("Tenant", {}), "kind": "${KIND}"}, False),
    ],
)  # fmt: skip
def test_options_and_variables_are_known(found: Any, is_valid: bool) -> None:
    assert VALIDATOR.is_valid(found) is is_valid


def test_what_integrations_ship_is_current() -> None:
    shipped = (INTEGRATIONS / "schemastore" / ALL_KINDS).read_text()
    is_current = shipped == schema_files()[ALL_KINDS]
    assert is_current, "run `python -m stoa_gitops.operations.reference_docs`"
    entry = json.loads((INTEGRATIONS / "schemastore/catalog-entry.json").read_text())
    [own] = schema_index()["schemas"]  # type: ignore[misc]
    assert entry["fileMatch"] == [one for one in own["fileMatch"] if "/tenants/" in one]
    assert json.loads((INTEGRATIONS / "vscode/settings.json").read_text()) == editor_settings()

"""Shared definitions are written once, and lists in schemas follow from what there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog.documents.schema_files import (
    bundle,
    merge_names,
    policy_types,
    write_policy_types,
)
from stoa_gitops.catalog.kinds import kind_set
from stoa_gitops.foundation.package_data import schema_folder
from stoa_gitops.model.gateway_types import GatewayTypeInfo, GatewayTypes
from stoa_gitops.operations import reference_docs

REGENERATE = "run `python -m stoa_gitops.operations.reference_docs`"


def stored_enum(file: str, *pointer: str) -> list[str]:
    node = json.loads((schema_folder() / file).read_text(encoding="utf-8"))
    for part in pointer:
        node = node[part]
    enum: list[str] = node["enum"]
    return enum


def test_the_policy_types_of_the_schemas_are_the_files_of_the_folder() -> None:
    stored = stored_enum("common.json", "$defs", "policyType")
    assert stored == list(policy_types(schema_folder())), REGENERATE
    assert set(stored) == {path.stem for path in (schema_folder() / "policies").glob("*.json")}


def test_the_gateway_types_of_the_schema_are_those_of_the_registry() -> None:
    stored = stored_enum("gatewayinstance.json", "properties", "spec", "properties", "gatewayType")
    assert set(stored) == {info.name for info in gateway_types()}, REGENERATE


def test_a_further_policy_file_is_a_policy_type_at_run_time(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    common = {"$defs": {"policyType": {"enum": ["quota", "cors"]}}}
    (tmp_path / "common.json").write_text(json.dumps(common))
    for name in ("cors", "quota", "teapot", "audit"):
        (tmp_path / "policies" / f"{name}.json").write_text("{}")
    assert policy_types(tmp_path) == ("quota", "cors", "audit", "teapot")
    write_policy_types(tmp_path)
    written = json.loads((tmp_path / "common.json").read_text())
    assert written["$defs"]["policyType"]["enum"] == ["quota", "cors", "audit", "teapot"]


def test_a_further_gateway_type_is_valid_where_its_adapter_is_known() -> None:
    known = kind_set(GatewayTypes.of(*gateway_types(), GatewayTypeInfo("acme"))).schemas
    document = {
        "apiVersion": "gostoa.dev/v1alpha1",
        "kind": "GatewayInstance",
        "metadata": {"name": "x"},
        "spec": {"gatewayType": "acme", "environment": "dev", "baseUrl": "http://x"},
    }
    assert known.validator("GatewayInstance")(document)
    assert not kind_set(gateway_types()).schemas.validator("GatewayInstance")(document)
    assert not kind_set().schemas.validator("GatewayInstance")(document)


def test_names_keep_their_order_when_one_is_added() -> None:
    assert merge_names(["c", "a", "gone"], ["a", "b", "c"]) == ("c", "a", "b")


def test_a_bundle_has_what_its_shared_definitions_refer_to() -> None:
    shared = {"a": {"$ref": "#/$defs/b"}, "b": {"type": "string"}, "unused": {}}
    made = bundle({"properties": {"x": {"$ref": "common.json#/$defs/a"}}}, shared)
    assert made == {
        "properties": {"x": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "string"}},
    }


@pytest.mark.parametrize("path", sorted(schema_folder().rglob("*.json")), ids=lambda p: p.name)
def test_schema_files_have_the_layout_in_which_they_are_written(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


def test_everything_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("common.json", "gatewayinstance.json"):
        (tmp_path / name).write_text((schema_folder() / name).read_text())
    (tmp_path / "policies").mkdir()
    for path in (schema_folder() / "policies").glob("*.json"):
        (tmp_path / "policies" / path.name).write_text(path.read_text())
    monkeypatch.setattr(reference_docs, "schema_folder", lambda: tmp_path)
    reference_docs.write_reference(tmp_path / "pages")
    for name in ("common.json", "gatewayinstance.json"):
        assert (tmp_path / name).read_text() == (schema_folder() / name).read_text()
    assert (tmp_path / "pages" / "policy.md").is_file()

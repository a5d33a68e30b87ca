"""`explain`: each field of each kind, and each code with an example that really makes it."""

from __future__ import annotations

import json
import re
import resource
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stoa_gitops.adapters.registry import all_infos
from stoa_gitops.catalog.documents.kind_files import kind_schemas
from stoa_gitops.catalog.documents.schema_fields import SchemaField, all_fields, find_field
from stoa_gitops.catalog.sources.base import open_source
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.main import main
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.package_data import schema_folder
from stoa_gitops.model.kinds import EXTENDED_CAPABILITIES
from stoa_gitops.operations.advice import add_advice
from stoa_gitops.operations.explain.fields import (
    CAPABILITIES,
    explain_gateway_type,
    explain_policy_type,
    policy_type_names,
)
from stoa_gitops.operations.explain.findings import (
    ExampleBlock,
    FindingExplanation,
    codes,
    explain_code,
)
from stoa_gitops.operations.explain.topics import explain
from stoa_gitops.operations.reference_docs import capabilities_index
from stoa_gitops.operations.validate import read_catalog

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "schemas/output/explanation.json").read_text())
HEAD = "apiVersion: gostoa.dev/v1alpha1\nkind: {}\nmetadata: {{name: {}}}\n"
BASE = {
    "catalog.yaml": HEAD.format("Catalog", "shop"),
    "gateways/main.yaml": HEAD.format("GatewayInstance", "main")
    + "spec: {gatewayType: stoa, environment: dev, baseUrl: embedded}\n",
    "tenants/acme/tenant.yaml": HEAD.format("Tenant", "acme"),
    "tenants/acme/apis/orders/api.yaml": HEAD.format("API", "orders")
    + 'spec:\n  version: "1.0"\n  backend: {url: "https://orders.acme.example"}\n',
}
WITHOUT_EXAMPLE = {
    "catalog.no-document", "document.internal", "file.changing", "file.unreadable", "schema.value",
}  # fmt: skip


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def lay(root: Path, blocks: tuple[ExampleBlock, ...]) -> list[str]:
    """Do what an example says; return the flags of its `validate`."""
    flags: list[str] = []
    for block in blocks:
        if block.path:
            write(root, {block.path: block.text})
            continue
        commands = block.text
        if "stoa-gitops validate" in block.text:
            commands, _, last = block.text.rpartition("stoa-gitops validate")
            flags = shlex.split(last.replace("$PWD", str(root)))
        subprocess.run(["sh", "-ec", commands], cwd=root, capture_output=True, check=True)
    return flags


def found_codes(root: Path, flags: list[str], *, is_advice: bool = False) -> dict[str, str]:
    given = dict(zip(flags[::2], flags[1::2], strict=True))
    source = open_source(
        given.get("--catalog", str(root)),
        revision=given.get("--revision"),
        cache_dir=root / ".cache",
    )
    reading = read_catalog(source)
    if is_advice:
        reading = add_advice(reading, (), datetime.now(UTC))
    catalog = reading.catalog
    return {found.code: found.message for found in catalog.diagnostics}


def explained() -> list[FindingExplanation]:
    return [explain_code(code) for code in codes()]


def test_every_code_of_the_docs_and_of_the_program_is_explained() -> None:
    table = (ROOT / "docs/catalog.md").read_text().split("## What is found")[1]
    rows = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    documented = set(re.findall(r"`([a-z]+\.[a-z-]+)`", rows))
    families = "|".join({code.partition(".")[0] for code in codes()})
    source = "".join(p.read_text() for p in (ROOT / "stoa_gitops/catalog").rglob("*.py"))
    literals = set(re.findall(rf'"((?:{families})\.[a-z-]+)"', source))
    no_codes = {"catalog.json", "catalog.yaml", "catalog.yml", "schema.json"}
    assert set(codes()) == documented
    assert literals - no_codes <= documented


@pytest.mark.parametrize("one", explained(), ids=lambda one: one.code)
def test_the_example_makes_the_finding_and_the_fix_removes_it(
    one: FindingExplanation, tmp_path: Path
) -> None:
    assert one.meaning
    assert one.fix
    assert bool(one.example) != (one.code in WITHOUT_EXAMPLE)
    is_advice = one.code.startswith("lint.")
    write(tmp_path, BASE)
    if one.example:
        flags = lay(tmp_path, one.example)
        assert one.code in found_codes(tmp_path, flags, is_advice=is_advice)
    if one.fixed:
        flags = lay(tmp_path, one.fixed)
        assert found_codes(tmp_path, flags) == {}
        assert one.code not in found_codes(tmp_path, flags, is_advice=is_advice)


def test_the_catalog_of_the_examples_is_valid(tmp_path: Path) -> None:
    write(tmp_path, BASE)
    assert found_codes(tmp_path, []) == {}


def fields() -> list[tuple[str, SchemaField]]:
    found = []
    for kind, root in kind_schemas().items():
        found += [(kind, field) for field in all_fields(find_field(root, ()))]
    for name in policy_type_names():
        found += [(name, field) for field in all_fields(explain_policy_type(name, ()).field)]
    for info in all_infos():
        if info.public:
            top = explain_gateway_type(info.types[0], ()).field
            found += [(info.name, field) for field in all_fields(top)]
    return found


def test_every_field_has_a_type_a_meaning_and_an_example_that_it_takes() -> None:
    wrong = []
    for topic, field in fields():
        rules = {**field.node, "$defs": field.root.get("$defs", {})}
        if not field.type or not jsonschema.Draft202012Validator(rules).is_valid(field.example):
            wrong.append((topic, field.path, field.example))
        if not field.description and field.path not in {(), ("spec",)}:
            wrong.append((topic, field.path, "no description"))
    assert wrong == []


def test_every_field_is_found_by_its_dotted_name() -> None:
    for kind, root in kind_schemas().items():
        for field in all_fields(find_field(root, ())):
            name = ".".join((kind, *field.path))
            found = explain(name)
            assert not isinstance(found, FindingExplanation)
            assert found.name == name


def test_every_capability_that_adapters_declare_belongs_to_something_that_is_explained() -> None:
    named = {name for _, field in fields() for name in field.capabilities}
    named |= {f"policy:{name}" for name in policy_type_names()}
    objects = {"api", "application", "archive", "either_credential", *EXTENDED_CAPABILITIES}
    declared = {name for info in all_infos() if info.public for name in info.capabilities}
    assert declared - objects == named


def test_the_index_of_capabilities_is_current() -> None:
    stored = (schema_folder().parent / CAPABILITIES).read_text("utf-8")
    assert stored == capabilities_index(), (
        "write it again: python -m stoa_gitops.operations.reference_docs"
    )


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("api", "API"),
        ("APIs", "API"),
        ("policies.spec.type", "Policy.spec.type"),
        ("api.backend.timeout", "API.spec.backend.timeout"),
        ("api.spec.routes[].path", "API.spec.routes.path"),
        ("API.spec.displayname", "API.spec.displayName"),
        ("gateway.tls", "GatewayInstance.spec.tls"),
        ("catalog.spec.tenants.<name>.env", "Catalog.spec.tenants.env"),
        ("environment.variables.HOST", "Environment.spec.variables.HOST"),
        ("rate_limit.window", "rate_limit.window"),
        ("kong.redis.host", "kong.redis.host"),
    ],
)
def test_a_topic_may_be_written_as_people_write_it(topic: str, name: str) -> None:
    found = explain(topic)
    assert not isinstance(found, FindingExplanation)
    assert found.name == name


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("polcy", "no kind, policy type, gateway type or code; did you mean policy?"),
        ("api.spec.rotes", "no field 'rotes' in api.spec; did you mean routes?"),
        ("api.spec.version.x", "no field 'x' in api.spec.version, which has no fields"),
        ("rate_limit.zzz", "there are requests, window, by, burst"),
        ("schema.typ", "did you mean schema.type?"),
        ("apigee", "gateways of type apigee are not served by this version yet"),
        ("???", "`stoa-gitops explain` lists them"),
    ],
)
def test_another_topic_is_refused_with_the_nearest(topic: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        explain(topic)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["explain", *arguments]) == Exit.OK
    return capsys.readouterr().out


def test_a_field_is_shown_with_where_it_works(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "api.backend.timeout")
    assert (
        text.splitlines()[0] == "API.spec.backend.timeout  duration such as 500ms, 30s, 5m or 24h"
    )
    assert 'Default   "30s"\n' in text
    assert "Example   timeout: 30s\n" in text
    assert "Works on  Gravitee      yes\n          Kong          yes\n" in text
    assert "without the extension `timeout`" in text
    assert "version*" in shown(capsys, "API")


def test_json_is_as_its_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    document: dict[str, Any] = json.loads(
        shown(capsys, "API.spec.backend", "kong", "yaml.tab", "--output", "json")
    )
    jsonschema.validate(document, SCHEMA)
    names = [one.get("name") or one["code"] for one in document["explanations"]]
    assert names == ["API.spec.backend", "kong", "yaml.tab"]
    listed = json.loads(shown(capsys, "--output", "json"))
    assert listed["codes"] == list(codes())


def test_topics_are_completed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "--names", "topics"]) == Exit.OK
    names = capsys.readouterr().out.split()
    assert {"API.spec.routes.path", "rate_limit.window", "kong", "yaml.tab"} <= set(names)
    for name in names:
        explain(name)


def test_an_explanation_needs_no_adapter_and_no_parser_of_yaml() -> None:
    heavy = (
        "stoa_gitops.adapters.kong.rules", "stoa_gitops.catalog.kinds.api", "ruamel.yaml",
        "pydantic", "jsonschema", "yaml_rs", "asyncio", "httpx",
    )  # fmt: skip
    code = (
        "import sys; from stoa_gitops.cli.main import main; main(sys.argv[1:]);"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    for topic in ("api.spec.backend.timeout", "kong", "ref.policy"):
        began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        done = subprocess.run(
            [str(ROOT / ".venv/bin/python"), "-c", code, "explain", topic],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == "[]\n"
        assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began < 10

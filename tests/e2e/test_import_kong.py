"""`import kong`: what a file of decK describes, for a Kong and for another gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "schemas/output/import.json").read_text())
HEAD = "apiVersion: gostoa.dev/v1alpha1\nkind: GatewayInstance\n"
KONG = """\
_format_version: "3.0"
services:
  - name: acme.shop
    host: shop.example
    routes: [{name: shop, paths: [/shop]}]
    plugins:
      - {name: rate-limiting, config: {minute: 100, limit_by: ip, policy: local}}
      - {name: bot-detection}
  - {name: idle, host: idle.example}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STOA_GITOPS_CATALOG", "catalog")
    gateways = tmp_path / "catalog/gateways"
    gateways.mkdir(parents=True)
    for name, kind in (("edge", "kong"), ("local", "stoa")):
        spec = f"{{gatewayType: {kind}, environment: dev, baseUrl: 'http://{name}.example'}}"
        (gateways / f"{name}.yaml").write_text(f"{HEAD}metadata: {{name: {name}}}\nspec: {spec}\n")
    (tmp_path / "kong.yaml").write_text(KONG)
    return tmp_path


def imported(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["import", "kong", "kong.yaml", "--output", "json", *arguments]) == Exit.OK
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    return document


@pytest.mark.parametrize(
    ("arguments", "gateway"), [((), "edge"), (("--gateway", "local"), "local")]
)
def test_a_file_of_deck_becomes_documents_for_any_gateway(
    arguments: tuple[str, ...], gateway: str, capsys: pytest.CaptureFixture[str]
) -> None:
    document = imported(capsys, *arguments)
    assert [(one["api"], one["files"]) for one in document["imports"]] == [
        ("api/acme/shop", ["tenants/acme/apis/shop/api.yaml"]),
        (None, ["tenants/acme/tenant.yaml"]),
    ]
    text = Path("catalog/tenants/acme/apis/shop/api.yaml").read_text()
    assert "url: http://shop.example" in text
    assert "type: rate_limit" in text
    assert f"- {gateway}" in text
    said = Path("catalog/NOT-EXPRESSED.md").read_text()
    assert "bot-detection" in said
    assert "idle" in said
    assert main(["validate"]) == Exit.OK
    capsys.readouterr()


@pytest.mark.parametrize(
    ("options", "arguments", "tenant"),
    [
        ("", (), "globex"),
        ("", ("--gateway", "local"), "globex"),
        (", options: {adoptTenant: acme}", (), "acme"),
        (", options: {adoptTenant: acme}", ("--tenant", "initech"), "initech"),
    ],
)
def test_what_names_no_tenant_is_of_the_only_one_unless_somebody_chose_another(
    options: str, arguments: tuple[str, ...], tenant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = Path("catalog")
    (catalog / "tenants/globex").mkdir(parents=True)
    (catalog / "tenants/globex/tenant.yaml").write_text(
        "apiVersion: gostoa.dev/v1alpha1\nkind: Tenant\nmetadata: {name: globex}\n"
        "spec: {displayName: Globex}\n"
    )
    edge = catalog / "gateways/edge.yaml"
    edge.write_text(edge.read_text().replace("example'", f"example'{options}"))
    Path("kong.yaml").write_text(KONG.replace("acme.shop", "shop"))
    assert imported(capsys, *arguments)["imports"][0]["api"] == f"api/{tenant}/shop"


def test_for_a_gateway_of_another_type_nothing_is_said_to_be_adopted_or_to_stay_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    keyed = KONG.replace("{name: bot-detection}", "{name: key-auth}")
    Path("kong.yaml").write_text(
        f"{keyed}consumers:\n  - username: acme.app\n    keyauth_credentials: [{{key: k-1}}]\n"
    )
    assert main(["import", "kong", "kong.yaml", "--gateway", "local"]) == Exit.OK
    note = "is on the kong gateway that the file describes: local gets what the documents say"
    assert note in capsys.readouterr().err
    assert note in Path("catalog/NOT-EXPRESSED.md").read_text()
    application = Path("catalog/tenants/acme/applications/app.yaml").read_text()
    assert "# No credential is copied: set ACME_APP_KEY before you apply this.\n" in application
    api = Path("catalog/tenants/acme/apis/shop/api.yaml").read_text()
    assert api.startswith("# Not all is as it was, see NOT-EXPRESSED.md: ")
    assert "adopt" not in application + api


def test_an_import_over_an_earlier_one_keeps_what_a_person_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    imported(capsys)
    file = Path("catalog/tenants/acme/apis/shop/api.yaml")
    mine = file.read_text().replace("shop.example", "mine.example # ours")
    file.write_text(mine)
    again = imported(capsys)
    assert [one["outcome"] for one in again["imports"]] == ["unchanged"]
    assert file.read_text() == mine
    newer = KONG.replace("shop.example", "new.example").replace("minute: 100", "minute: 70")
    Path("kong.yaml").write_text(newer.replace("name: shop, paths: [/shop]", "paths: [/shop2]"))
    [api] = imported(capsys)["imports"]
    assert [one["field"] for one in api["kept"]] == ["spec.backend.url"]
    text = file.read_text()
    assert "mine.example # ours" in text
    assert "requests: 70" in text
    assert "path: /shop2" in text
    assert "path: /shop\n" not in text
    assert imported(capsys)["written"] == []


def test_what_a_person_removed_stays_removed_and_what_the_file_lost_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    imported(capsys)
    file = Path("catalog/tenants/acme/apis/shop/api.yaml")
    file.unlink()
    assert [one["outcome"] for one in imported(capsys)["imports"]] == ["unchanged"]
    assert not file.exists()
    imported(capsys, "--gateway", "local")
    Path("kong.yaml").write_text('_format_version: "3.0"\n')
    assert imported(capsys, "--gateway", "local")["gone"] == ["tenants/acme/apis/shop/api.yaml"]
    assert file.exists()


def test_documents_that_were_not_imported_are_refused_and_stay(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = Path("catalog/tenants/acme/apis/shop/api.yaml")
    imported(capsys)
    Path("catalog/.imported/kong-edge.json").unlink()
    file.write_text(file.read_text().replace("shop.example", "mine.example"))
    before = file.read_bytes()
    assert main(["import", "kong", "kong.yaml"]) == Exit.OK  # the catalog has it already
    assert file.read_bytes() == before
    Path("catalog/.imported/kong-edge.json").write_text("{}")
    capsys.readouterr()
    assert main(["import", "kong", "kong.yaml"]) == Exit.USAGE
    assert "is no record of an import of this version" in capsys.readouterr().err


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert imported(capsys, "--dry-run")["written"] == []
    assert not Path("catalog/tenants").exists()


def test_what_cannot_be_read_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    Path("kong.yaml").write_text("services: [\n")
    assert main(["import", "kong", "kong.yaml"]) == Exit.USAGE
    assert "kong.yaml:" in capsys.readouterr().err
    assert main(["import", "kong", "none.yaml"]) == Exit.USAGE
    assert "none.yaml cannot be read" in capsys.readouterr().err
    assert main(["import", "kong", "kong.yaml", "--gateway", "none"]) == Exit.USAGE
    assert "it has edge, local" in capsys.readouterr().err


def test_parameters_of_paths_come_along(capsys: pytest.CaptureFixture[str]) -> None:
    path = "~/shop/(?<orderId>[^/]+)/items(?:/|$)"
    text = KONG.replace("paths: [/shop]", f"paths: ['{path}']", 1)
    assert text != KONG
    Path("kong.yaml").write_text(text)
    imported(capsys)
    document = Path("catalog/tenants/acme/apis/shop/api.yaml").read_text()
    assert "/shop/{orderId}/items" in document
    assert path not in Path("catalog/NOT-EXPRESSED.md").read_text()


def test_headers_of_routes_come_along(capsys: pytest.CaptureFixture[str]) -> None:
    text = KONG.replace("paths: [/shop]", "paths: [/shop], headers: {X-Env: [Blue, green]}", 1)
    assert text != KONG
    Path("kong.yaml").write_text(text)
    imported(capsys)
    document = Path("catalog/tenants/acme/apis/shop/api.yaml").read_text()
    assert "- name: x-env" in document
    assert "- blue" in document
    assert "headers" not in Path("catalog/NOT-EXPRESSED.md").read_text()
    assert main(["validate"]) == Exit.OK
    capsys.readouterr()

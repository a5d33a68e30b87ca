"""`diff`: revisions, environments and gateways field by field, in each form."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.main import main
from tests.e2e.catalogs import GATEWAY, CatalogFolder

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[2] / "schemas/output/difference.json").read_text()
)
ENVIRONMENT = """\
apiVersion: gostoa.dev/v1alpha1
kind: Environment
metadata: {{name: {0}}}
spec:
  variables: {{HOST: {0}.acme.example}}
"""


def gateway(name: str, environment: str) -> str:
    text = GATEWAY.replace("{name: local}", f"{{name: {name}}}")
    text = text.replace("embedded", f"https://{name}.example")
    return text.replace("environment: dev", f"environment: {environment}")


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogFolder:
    """Two commits: the second changes one API, adds one, and moves the gateway."""
    catalog = CatalogFolder(tmp_path)
    catalog.api("orders", "https://one.example", "  description: One\n")
    catalog.api("gone", "https://gone.example")
    catalog.commit("first")
    catalog.api("orders", "https://two.example")
    catalog.api("new", "https://new.example")
    (tmp_path / "tenants/acme/apis/gone/api.yaml").unlink()
    (tmp_path / "tenants/acme/apis/gone").rmdir()
    catalog.commit("second")
    monkeypatch.chdir(tmp_path)
    return catalog


def difference(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["diff", "--output", "json", *arguments]) == Exit.OK
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    return document


def changes(document: Any) -> dict[str, str]:
    return {
        item["key"]: item["change"] for group in document["groups"] for item in group["objects"]
    }


EXPECTED = {"api/acme/gone": "removed", "api/acme/new": "added", "api/acme/orders": "changed"}


def test_two_revisions_are_compared_field_by_field(
    catalog: CatalogFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    document = difference(capsys, "HEAD~1", "HEAD")
    assert changes(document) == EXPECTED
    assert document["summary"] == {"added": 1, "changed": 1, "removed": 1}
    (group,) = document["groups"]
    assert group["gateways"] == ["local"]
    fields = {tuple(field["path"]): field for field in group["objects"][2]["fields"]}
    assert fields["backend", "url"]["before"] == "https://one.example"
    assert fields["backend", "url"]["after"] == "https://two.example"
    assert main(["diff", "HEAD~1..HEAD"]) == Exit.OK
    text = capsys.readouterr().out
    assert re.search(r"^  \+ api +acme/new +tenants/acme/apis/new/api.yaml:1$", text, re.MULTILINE)
    assert "        backend.url" in text
    assert '"https://one.example" -> "https://two.example"' in text
    assert text.endswith("\n1 added, 1 removed, 1 changed, 1 the same.\n")


def test_a_revision_is_compared_with_the_files(
    catalog: CatalogFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert difference(capsys, "HEAD")["groups"][0]["objects"] == []
    assert main(["diff", "HEAD"]) == Exit.OK
    assert capsys.readouterr().out.startswith("No differences between ")
    assert main(["diff", "HEAD", "--detailed-exitcode"]) == Exit.OK
    capsys.readouterr()
    catalog.api("new", "https://other.example")
    assert changes(difference(capsys, "HEAD")) == {"api/acme/new": "changed"}
    assert main(["diff", "HEAD", "--detailed-exitcode"]) == Exit.CHANGES


def test_a_gateway_that_moved_is_a_difference_of_its_settings(
    catalog: CatalogFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog.write("gateways/local.yaml", gateway("local", "dev"))
    catalog.write("gateways/other.yaml", gateway("other", "dev"))
    document = difference(capsys, "HEAD")
    by_gateway = {tuple(group["gateways"]): group for group in document["groups"]}
    (moved,) = by_gateway["local",]["objects"]
    assert (moved["key"], moved["fields"][0]["path"]) == ("gateway/-/local", ["baseUrl"])
    assert {item["change"] for item in by_gateway["other",]["objects"]} == {"added"}
    only = difference(capsys, "HEAD", "--gateway", "other")
    assert [group["gateways"] for group in only["groups"]] == [["other"]]


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogFolder:
    catalog = CatalogFolder(tmp_path)
    (tmp_path / "gateways/local.yaml").unlink()
    catalog.write("tenants/acme/tenant.yaml", (tmp_path / "tenants/acme/tenant.yaml").read_text()
                  .replace(", gateways: [local]", ""))  # fmt: skip
    for name, environment in (("eu", "dev"), ("us", "prod"), ("asia", "prod")):
        catalog.write(f"gateways/{name}.yaml", gateway(name, environment))
    for environment in ("dev", "prod"):
        catalog.write(f"environments/{environment}.yaml", ENVIRONMENT.format(environment))
    catalog.api("orders", '"https://${HOST}"')
    catalog.api("lab", "https://lab.example", "  gateways: [eu]\n")
    monkeypatch.chdir(tmp_path)
    return catalog


def test_environments_are_compared_whichever_gateways_they_have(
    environments: CatalogFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    document = difference(capsys, "--env", "dev", "--env", "prod")
    assert (document["before"], document["after"]) == ("environment dev", "environment prod")
    assert changes(document) == {"api/acme/lab": "removed", "api/acme/orders": "changed"}
    (field,) = document["groups"][0]["objects"][1]["fields"]
    assert (field["before"], field["after"]) == (
        "https://dev.acme.example", "https://prod.acme.example",
    )  # fmt: skip
    assert changes(difference(capsys, "--gateway", "us", "--gateway", "asia")) == {}
    assert changes(difference(capsys, "--gateway", "us", "--gateway", "eu")) == {
        "api/acme/lab": "added", "api/acme/orders": "changed",
    }  # fmt: skip


def test_markdown_is_for_a_comment(
    environments: CatalogFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "--env", "dev", "--env", "prod", "--output", "markdown"]) == Exit.OK
    text = capsys.readouterr().out
    assert text.startswith("## Differences between `environment dev` and `environment prod`\n")
    assert '\n-       backend.url: "https://dev.acme.example"\n' in text
    assert '\n+       backend.url: "https://prod.acme.example"\n' in text
    assert text.count("```") == 2
    assert text.count("<details>") == text.count("</details>") == 1
    assert main(["diff", "--gateway", "us", "--gateway", "asia", "--output", "markdown"]) == Exit.OK
    assert capsys.readouterr().out == (
        "## No differences between `gateway us` and `gateway asia`\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "compare two revisions"),
        (["HEAD", "HEAD~1", "HEAD"], "3 revisions are given"),
        (["HEAD", "HEAD~1", "--env", "a", "--env", "b"], "compare two revisions"),
        (["--env", "a", "--env", "b", "--env", "c"], "--env is given 3 times"),
        (["--env", "dev", "--env", "prod"], "the catalog has no environment 'prod'; there is: dev"),
        (["--gateway", "x", "--gateway", "local"], "the catalog has no gateway 'x'"),
        (["--gateway", "x", "HEAD"], "the catalog has no gateway 'x'"),
        (["--env", "dev", "--env", "dev", "--tenant", "x"], "the catalog has no tenant 'x'"),
        (["--env", "dev", "--gateway", "a", "--gateway", "b"], "--env has no place"),
    ],
)
def test_what_cannot_be_compared_is_said(
    catalog: CatalogFolder,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    assert main(["diff", *arguments]) == Exit.USAGE
    assert words in capsys.readouterr().err


def test_an_invalid_side_is_refused_unless_its_valid_parts_do(
    catalog: CatalogFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog.api("broken", "https://x.example", "  zzz: 1\n")
    assert main(["diff", "HEAD"]) == Exit.INVALID
    assert "error[schema.unknown-key]" in capsys.readouterr().err
    assert changes(difference(capsys, "HEAD", "--keep-going")) == {}


def test_a_secret_is_shown_as_its_reference(
    catalog: CatalogFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ONE", "TWO"):
        text = f"    auth: {{in: header, name: X-Key, valueRef: {{env: ACME_{name}}}}}\n"
        catalog.write(
            "tenants/acme/apis/new/api.yaml",
            "apiVersion: gostoa.dev/v1alpha1\nkind: API\nmetadata: {name: new}\nspec:\n"
            f'  version: "1"\n  backend:\n    url: https://new.example\n{text}',
        )
        catalog.commit(name)
    assert main(["diff", "HEAD~1", "HEAD"]) == Exit.OK
    assert "env:ACME_ONE -> env:ACME_TWO" in capsys.readouterr().out

"""Files that are not read because of their names, and environments that are nearly others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stoa_gitops.catalog import open_source
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.model.catalog import Catalog

Read = Callable[..., Catalog]
Document = Callable[..., str]


def codes(catalog: Catalog) -> list[tuple[str, str]]:
    return [(found.source.path, found.code) for found in catalog.diagnostics]


@pytest.mark.parametrize("name", ["limit.YAML", "limit.Yml", "limit.JSON", "limit.json"])
def test_a_document_with_another_suffix_is_an_error_and_keeps_what_its_tenant_has(
    name: str, read: Read, document: Document
) -> None:
    path = f"tenants/acme/policies/{name}"
    text = document("Policy", "limit", "type: cors\nconfig: {origins: ['https://a.example']}")
    catalog = read({path: text})
    assert codes(catalog) == [(path, "document.suffix")]
    assert catalog.broken_tenants == {"acme"}
    (found,) = catalog.diagnostics
    assert found.hint.startswith(f"rename it to limit.{'yml' if 'Yml' in name else 'yaml'}")


@pytest.mark.parametrize("name", ["api.YAML", "API.YML"])
def test_an_api_with_another_suffix_is_told_to_be_renamed(
    name: str, read: Read, document: Document
) -> None:
    path = f"tenants/acme/apis/orders/{name}"
    catalog = read({path: document("API", "orders")})
    assert codes(catalog) == [(path, "api.no-document")]
    assert catalog.diagnostics[0].hint == f"rename {name} to api.yaml"


def test_an_openapi_document_may_end_as_its_api_says(read: Read, document: Document) -> None:
    spec = "version: '1'\nbackend: {alias: echo}\nopenapi: Spec.YAML"
    catalog = read({
        "tenants/acme/apis/orders/api.yaml": document("API", "orders", spec),
        "tenants/acme/apis/orders/Spec.YAML": "openapi: 3.0.0\ninfo: {title: T, version: '1'}\n"
        "paths: {}\n",
    })  # fmt: skip
    assert not catalog.diagnostics


@pytest.mark.parametrize("from_git", [False, True])
@pytest.mark.parametrize(
    ("name", "is_error"),
    [
        ("catalog.YAML", True), ("Catalog.yml", True), ("catalog.json", True),
        ("catalogue.yaml", True), ("Environments/dev.yaml", False), ("catalog.yaml.bak", None),
        ("tenant/x.yaml", None),
    ],
)  # fmt: skip
def test_what_is_nearly_a_part_of_a_catalog_is_said_to_be_none(
    name: str,
    is_error: bool | None,
    from_git: bool,
    write: Callable[..., Path],
    git: Callable[..., str],
    tmp_path: Path,
    document: Document,
) -> None:
    root = write({name: document("Catalog", "payments")})
    revision = None
    if from_git:
        git(root, "init", "-q", "-b", "main")
        git(root, "add", "-A")
        git(root, "commit", "-qm", "1")
        revision = "main"
    source = open_source(str(root), revision=revision, cache_dir=tmp_path / "cache")
    catalog = Reader().read(source.snapshot())
    found = [(d.source.path, d.code, d.severity.value) for d in catalog.diagnostics]
    level = "error" if is_error else "warning"
    path = name.split("/", maxsplit=1)[0]
    assert found == ([] if is_error is None else [(path, "document.suffix", level)])
    assert catalog.is_all_broken is bool(is_error)


def test_nothing_is_said_of_them_beside_the_part_itself(read: Read, document: Document) -> None:
    catalog = read({
        "catalog.yml": document("Catalog", "payments"), "catalog.json": "{}",
        "Tenants/x.yaml": "x: y",
    })  # fmt: skip
    assert not catalog.diagnostics


@pytest.mark.parametrize(
    ("environments", "misspelt"),
    [
        (["prod", "prd"], ["prd"]), (["prd"], ["prd"]), (["prodcution"], ["prodcution"]),
        (["stagging", "stagging"], ["stagging"]), (["green", "green", "gren"], ["gren"]),
        (["eu-west", "eu-east"], []), (["zone-a", "zone-b", "zone-c"], []), (["prod-eu"], []),
        (["dev", "dev2", "qa", "test", "testing"], []), (["a", "ab"], []),
    ],
)  # fmt: skip
def test_without_environments_a_name_that_is_nearly_another_is_a_warning(
    environments: list[str], misspelt: list[str], read: Read, document: Document
) -> None:
    catalog = read(
        {
            "tenants/acme/tenant.yaml": document("Tenant", "acme"),
            **{
                f"gateways/g{number}.yaml": document(
                    "GatewayInstance",
                    f"g{number}",
                    f"gatewayType: stoa\nenvironment: {name}\nbaseUrl: http://g{number}.example",
                )
                for number, name in enumerate(environments)
            },
        },
        bare=True,
    )
    assert not catalog.errors
    found = [d for d in catalog.diagnostics if d.code == "gateway.environment"]
    assert [d.message.split()[2] for d in found] == misspelt
    assert all(f"Otherwise write environments/{misspelt[0]}.yaml" in d.hint for d in found)
    assert len(catalog.gateways) == len(environments)


def test_a_name_of_its_own_is_no_misspelt_environment(read: Read, document: Document) -> None:
    catalog = read({
        "environments/dev.yaml": document("Environment", "dev"),
        "environments/eu-west.yaml": document("Environment", "eu-west"),
        "gateways/west.yaml": document("GatewayInstance", "west",
            "gatewayType: stoa\nenvironment: eu-west\nbaseUrl: http://west.example"),
        "gateways/east.yaml": document("GatewayInstance", "east",
            "gatewayType: stoa\nenvironment: eu-east\nbaseUrl: http://east.example"),
    })  # fmt: skip
    assert codes(catalog) == [("gateways/east.yaml", "gateway.environment")]
    assert not catalog.errors

"""A document that cannot be read has findings of its own; those that name it have none for that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.model.catalog import Catalog
from tests.unit.catalog.conftest import HEAD, SMALL

Read = Callable[..., Catalog]

FILES = {
    **SMALL,
    "tenants/acme/tenant.yaml": HEAD
    + "kind: Tenant\nmetadata:\n  name: acme\nspec: {gateways: [main]}\n",
    "tenants/acme/apis/billing/api.yaml": SMALL["tenants/acme/apis/billing/api.yaml"]
    + "  gateways: [main]\n  policies: [slow]\n",
    "tenants/acme/policies/slow.yaml": HEAD
    + "kind: Policy\nmetadata:\n  name: slow\nspec: {type: mock, config: {status: 200}}\n",
    "environments/dev.yaml": HEAD
    + "kind: Environment\nmetadata:\n  name: dev\nspec: {variables: {A: b}}\n",
    "tenants/acme/applications/shop.yaml": HEAD
    + "kind: Application\nmetadata:\n  name: shop\nspec: {subscriptions: [{api: billing}]}\n",
}
UNREADABLE: dict[str, Callable[[str], str]] = {
    "broken YAML": lambda text: text + "a: [1\n",
    "a misspelt kind": lambda text: text.replace("kind:", "knd:"),
    "another version": lambda text: text.replace("v1alpha1", "v9"),
    "no name": lambda text: text.replace("  name:", "  nme:", 1),
    "nothing": lambda _: "",
    "a merge": lambda text: f"<<<<<<< HEAD\n{text}=======\n>>>>>>> other\n",
    "a pointer": lambda _: "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n",
    "a template": lambda text: text.replace("metadata:", "metadata: {{ .Values.meta }}", 1),
}


@pytest.mark.parametrize("spoil", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("path", FILES)
def test_all_findings_are_in_the_file_that_cannot_be_read(
    path: str, spoil: Callable[[str], str], read: Read
) -> None:
    assert not read(FILES).diagnostics
    catalog = read({**FILES, path: spoil(FILES[path])})
    assert {found.source.path for found in catalog.diagnostics} == {path}
    assert not any("folder" in found.code for found in catalog.diagnostics)


def test_a_reference_is_checked_again_when_the_unreadable_gateway_is_gone(
    write: Callable[..., Path],
) -> None:
    reader = Reader(gateway_types=gateway_types())
    other = FILES["gateways/main.yaml"].replace("main", "other").replace("gateway.ex", "other.ex")
    root = write({**FILES, "gateways/main.yaml": "a: [\n", "gateways/other.yaml": other})
    catalog = reader.read(FolderSource(root).snapshot())
    assert {found.source.path for found in catalog.errors} == {"gateways/main.yaml"}
    (root / "gateways/main.yaml").unlink()
    catalog = reader.read(FolderSource(root).snapshot())
    assert {found.code for found in catalog.errors} == {"ref.gateway"}

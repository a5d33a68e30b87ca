"""What the operator gives tenants, as a reading of the catalog hands it on."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoa_gitops.catalog import Reader, open_source
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.grants import NOTHING_GRANTED, TenantGrants

_HEAD = "apiVersion: gostoa.dev/v1alpha1\nkind: Catalog\nmetadata: {name: shop}\n"


def _read(folder: Path, text: str) -> Catalog:
    (folder / "catalog.yaml").write_text(_HEAD + text)
    return Reader().read(open_source(str(folder), cache_dir=folder / "none").snapshot())


def test_grants_are_read_by_tenant(tmp_path: Path) -> None:
    """The Catalog document says what a tenant may have; others have nothing."""
    text = "spec: {tenants: {acme: {env: [BILLING_], files: [/run/billing]}}}\n"
    catalog = _read(tmp_path, text)
    assert not catalog.diagnostics
    assert catalog.grants.of("acme") == TenantGrants(("BILLING_",), ("/run/billing",))
    assert catalog.grants.of("other") == NOTHING_GRANTED
    assert catalog.grants.is_known


@pytest.mark.parametrize(
    "text",
    [
        "spec: {tenants: {acme: {env: [NO-NAME]}}}\n",
        "spec: {tenants: {acme: {files: [relative]}}}\n",
        "spec: {tenants: {Acme: {}}}\n",
        "spec: {tenants: {acme: {enw: []}}}\n",
        "spec: [\n",
    ],
)
def test_a_broken_document_grants_nothing_that_is_known(tmp_path: Path, text: str) -> None:
    """A slip in the document must not look like the end of every grant."""
    catalog = _read(tmp_path, text)
    assert catalog.errors
    assert not catalog.grants.is_known
    assert catalog.grants.of("acme") == NOTHING_GRANTED

"""What a gateway holds of backends becomes a document that says the same again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.catalog.export.drafts import DraftBuilder
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.resources import Observed
from stoa_gitops.model.secret import WITHHELD, withheld
from stoa_gitops.operations.validate import catalog_reader
from tests.e2e.catalogs import CatalogFolder

SEVERAL: dict[str, Any] = {
    "url": "https://a.example", "timeout": "30s", "retries": 2, "loadBalancing": "random",
    "targets": [
        {"url": "https://a.example", "weight": 9}, {"url": "https://b.example", "weight": 1},
    ],
    "healthCheck": {"passive": {"failures": 3, "ejectFor": "1m"}},
}  # fmt: skip
ONE: dict[str, Any] = {"url": "https://a.example", "timeout": "5s", "retries": 0}
TOKEN = {
    "type": "oauth2_client_credentials", "tokenUrl": "https://id.example/t", "clientId": "c",
    "clientSecret": WITHHELD, "scopes": ["a"],
}  # fmt: skip
BASIC = {"type": "basic", "username": WITHHELD, "password": WITHHELD}
HEADER = {"in": "header", "name": "X-Key", "value": WITHHELD}


@pytest.mark.parametrize("backend", [SEVERAL, ONE])
@pytest.mark.parametrize(
    ("auth", "variables"),
    [
        (None, ()),
        (HEADER, ("ACME_SEARCH_BACKEND",)),
        (BASIC, ("ACME_SEARCH_BACKEND", "ACME_SEARCH_BACKEND_USER")),
        (TOKEN, ("ACME_SEARCH_BACKEND",)),
    ],
)
def test_a_draft_of_any_backend_is_read_as_what_the_gateway_holds(
    tmp_path: Path, backend: dict[str, Any], auth: dict[str, Any] | None, variables: tuple[str, ...]
) -> None:
    held = {**backend, "auth": auth} if auth else backend
    spec = Spec.of({
        "displayName": "search", "version": "1", "active": True, "backend": held, "plans": [],
        "routes": [{"path": "/apis/acme/search", "methods": [], "hosts": [], "stripPath": True}],
    })  # fmt: skip
    observed = Observed(Key(API, "acme", "search"), spec, "g", managed=False)
    (draft,) = DraftBuilder("local", None).drafts([observed])
    assert draft.placeholders == variables
    catalog = CatalogFolder(tmp_path)
    catalog.write("tenants/acme/apis/search/api.yaml", json.dumps(draft.document))
    found = catalog_reader().read(FolderSource(tmp_path).snapshot())
    assert not [one.message for one in found.diagnostics]
    (resource,) = found.desired["local"].resources.values()
    assert withheld(resource.spec.value["backend"]) == held


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("  backends: [{url: https://a.example}, {url: http://b.example}]\n", "7:46"),
        ("  backend: {url: http://a.example}\n", "7:18"),
        (
            (
                "  backend:\n    url: https://a.example\n    auth:\n"
                "      type: oauth2_client_credentials\n      tokenUrl: http://id.example\n"
                "      clientId: c\n      clientSecretRef: {env: ACME_SECRET}\n"
            ),
            "11:17",
        ),
    ],
)  # fmt: skip
def test_advice_names_the_url_that_production_calls_unencrypted(
    tmp_path: Path, more: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from stoa_gitops.cli.main import main

    catalog = CatalogFolder(tmp_path)
    gateway = (tmp_path / "gateways/local.yaml").read_text()
    catalog.write("gateways/local.yaml", gateway.replace("environment: dev", "environment: prod"))
    head = "apiVersion: gostoa.dev/v1alpha1\nkind: API\nmetadata:\n  name: search\nspec:\n"
    path = "tenants/acme/apis/search/api.yaml"
    catalog.write(path, f'{head}  version: "1"\n{more}')
    main(["validate", "--catalog", str(tmp_path), "--lint"])
    shown = capsys.readouterr()
    lines = [
        line
        for line in (shown.out + shown.err).splitlines()
        if "warning[lint.plain-backend]" in line
    ]
    assert [f"{path}:{place}" in line for line in lines] == [True], shown.out + shown.err

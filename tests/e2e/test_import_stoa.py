"""`import stoa`: trees as STOA's own repository has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "schemas/output/import.json").read_text())
GATEWAY = """\
apiVersion: gostoa.dev/v1alpha1
kind: GatewayInstance
metadata: {name: NAME}
spec: {gatewayType: stoa, environment: ENV, baseUrl: URL}
"""
TREE = {
    "tenants/shop/tenant.yaml": """\
apiVersion: stoa.io/v1
kind: Tenant
metadata: {name: shop, displayName: The shop, labels: {tier: gold}}
spec:
  portalVisibility: internal
  visibility: {allowedRoles: [viewer], denyRoles: []}
  defaultPolicies:
    - {name: require-api-key}
    - {name: rate-limit-standard, config: {requestsPerMinute: 100, burstLimit: 20}}
    - {name: cors-standard}
  settings: {max_apis: 9, max_applications: 8, environments: [dev, prod]}
  contact: {team: Shop, email: shop@shop.example, slack: "#shop"}
""",
    "tenants/shop/apis/orders/api.yaml": """\
apiVersion: gostoa.dev/v1
kind: API
metadata: {name: orders, version: "2.0"}
spec:
  displayName: Orders-API
  status: published
  category: sales
  tags: [rest, "portal:published"]
  backend: {url: "https://orders.${BASE_DOMAIN}/v2"}
  routing: {basePath: /gateway/Orders/2.0, stripBasePath: true}
  policies: [jwt-validation, audit-logging]
  deployments: {dev: true, staging: false, prod: {gateways: [edge]}}
  documentation: {openapi: openapi.yaml}
  gateway: {type: REST, isActive: true, oauth2: {enabled: true, scopes: ["orders:read"]}}
""",
    "tenants/shop/apis/orders/openapi.yaml": """\
openapi: 3.0.3
info: {title: Orders, version: "2"}
paths: {}
""",
    "tenants/shop/apis/cart/api.yaml": """\
id: 7787311d-2bae-4732-bc3b-dfa9124c3159
name: cart
display_name: Cart
version: 1.0.0
description: '

  Carts.'
backend_url: https://cart.example
status: draft
deployments: {dev: false, staging: false}
""",
    "tenants/bank/tenant.yaml": """\
apiVersion: stoa.io/v1
kind: Tenant
metadata: {name: bank}
spec:
  defaultPolicies: [{name: require-mtls}]
""",
    "tenants/bank/apis/cart/api.yaml": """\
name: cart
version: 1.0.0
backend_url: https://cart.bank.example
deployments: {dev: true}
""",
    "tenants/shop/applications/console.yaml": """\
apiVersion: gostoa.dev/v1
kind: GatewayApplication
metadata: {name: ConsoleApp}
spec:
  clientId: shop-console
  identifiers: [{name: azp, key: openIdClaims, value: [shop-console]}]
  contactEmail: console@shop.example
  consumingAPIs: [Orders-API, Nothing]
  authStrategy: OIDC-Shop
  scopes: ["orders:read"]
  clientSecret: vault:secret/shop/console
""",
    "webmethods/policies/jwt.yaml": """\
apiVersion: stoa.io/v1
kind: Policy
metadata: {name: jwt-validation}
spec:
  type: jwt-validation
  config:
    issuer: https://auth.${BASE_DOMAIN}/realms/stoa
    audience: [orders]
    jwksUri: https://auth.${BASE_DOMAIN}/certs
    validation: {clockSkew: 30}
    claims: [{name: sub, header: X-User-ID}, {name: tenant_id, header: X-Tenant-ID}]
""",
    "webmethods/apis/orders.yaml": """\
apiVersion: stoa.io/v1
kind: WebMethodsAPI
metadata: {name: Orders-API}
spec: {type: REST, backend: {healthCheck: {path: /health}}, resources: [{path: /x}]}
""",
    "webmethods/oidc/keycloak.yaml": """\
apiVersion: stoa.io/v1
kind: AuthServerAlias
metadata: {name: KeycloakOIDC}
spec: {discoveryURL: "https://auth", clientSecret: "vault:secret/stoa/dev/secret"}
""",
    "stoa-catalog/tenants/games/uac.yaml": """\
apiVersion: stoa.io/v1
kind: UniversalAPIContract
metadata: {name: games, tier: starter}
spec:
  classifications:
    H: {rate_limit: 500, burst: 50, timeout: 30s, retry_policy: {max_retries: 2}}
    VVH: {enabled: false, rate_limit: 10}
  security:
    authentication: {required: true, methods: [api_key, mtls], api_key: {header_name: X-Game}}
  quotas: {monthly_requests: 10000}
  apis:
    - name: scores
      backend: https://scores.example
      classification: H
      authentication: {type: bearer, header: Authorization, env_var: SCORES_TOKEN}
    - {name: secret, backend: "https://secret.example", classification: VVH}
""",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STOA_GITOPS_CATALOG", "catalog")
    gateways = tmp_path / "catalog/gateways"
    gateways.mkdir(parents=True)
    for name, environment in (("local", "dev"), ("edge", "production")):
        url = "embedded" if name == "local" else "https://edge.example"
        text = GATEWAY.replace("NAME", name).replace("ENV", environment).replace("URL", url)
        (gateways / f"{name}.yaml").write_text(text)
    for path, text in TREE.items():
        file = tmp_path / "tree" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def imported(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code = main(["import", "stoa", "tree", "--output", "json", *arguments])
    captured = capsys.readouterr()
    assert code == Exit.OK, captured.err
    document: dict[str, Any] = json.loads(captured.out)
    jsonschema.validate(document, SCHEMA)
    return document


def spec(path: str) -> Any:
    return YAML(typ="safe").load(Path("catalog", path))["spec"]


def test_a_tree_becomes_a_valid_catalog(capsys: pytest.CaptureFixture[str]) -> None:
    imported(capsys)
    assert main(["validate"]) == Exit.OK
    capsys.readouterr()
    tenant = spec("tenants/shop/tenant.yaml")
    assert tenant["gateways"] == ["edge", "local"]
    assert tenant["limits"] == {"maxApis": 9, "maxApplications": 8}
    assert tenant["portal"] == {"visibility": "internal"}
    assert tenant["policies"] == ["require-api-key", "rate-limit-standard"]
    limit = spec("tenants/shop/policies/rate-limit-standard.yaml")["config"]
    assert limit == {"requests": 100, "window": "1m", "burst": 20}
    orders = spec("tenants/shop/apis/orders/api.yaml")
    assert [route["path"] for route in orders["routes"]] == [
        "/apis/shop/orders",
        "/gateway/Orders/2.0",
        "/apis/orders",
    ]
    assert orders["backend"] == {"url": "https://orders.${BASE_DOMAIN}/v2"}
    assert orders["portal"] == {"visibility": "public", "category": "sales", "tags": ["rest"]}
    assert orders["policies"] == ["jwt-validation", "audit-logging"]
    assert orders["gateways"] == ["edge"]
    assert orders["probe"] == {"path": "/health"}
    assert Path("catalog/tenants/shop/apis/orders/openapi.yaml").read_text().startswith("openapi")
    assert spec("environments/dev.yaml")["variables"] == {"BASE_DOMAIN": "gostoa.dev"}
    jwt = spec("tenants/shop/policies/jwt-validation.yaml")["config"]
    assert jwt["forwardClaims"] == {"sub": "X-User-ID"}


def test_secrets_of_a_tree_are_not_in_the_page_of_what_is_left_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alias = here / "tree/webmethods/oidc/keycloak.yaml"
    alias.parent.mkdir(parents=True, exist_ok=True)
    alias.write_text(
        "kind: AuthServerAlias\nspec: {clientSecret: s3cr3t, discoveryURL: 'https://u:s3cr3t@id'}\n"
    )
    tenant = here / "tree/tenants/shop/tenant.yaml"
    tenant.write_text(tenant.read_text() + "  apiKey: s3cr3t\n  hook: 'https://h/?sig=s3cr3t'\n")
    document = imported(capsys)
    page = Path("catalog/NOT-EXPRESSED.md").read_text()
    assert all(part in page for part in ("apiKey", "https://h/?***", "https://***@id"))
    texts = [p.read_text() for p in (here / "catalog").rglob("*") if p.is_file()]
    assert not any("s3cr3t" in text for text in [*texts, json.dumps(document)])


@pytest.mark.parametrize("target", ["../games", "../../../outside"])
def test_nothing_is_written_through_a_link_that_somebody_committed(
    here: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    """Who may write one tenant's folder must not have an import write into another one."""
    folder = here / "catalog/tenants/shop"
    folder.mkdir(parents=True)
    there = (folder / target).resolve()
    there.mkdir(parents=True)
    (folder / "apis").symlink_to(target)
    assert main(["import", "stoa", "tree"]) == Exit.INVALID
    assert "a folder on the way is a symbolic link" in capsys.readouterr().err
    assert [*there.glob("orders*"), *there.glob("cart*")] == []


def test_contracts_become_plans_and_applications_clients(
    capsys: pytest.CaptureFixture[str],
) -> None:
    imported(capsys)
    scores = spec("tenants/games/apis/scores/api.yaml")
    assert scores["plans"] == [{"name": "h", "perMinute": 8, "perMonth": 10000, "burst": 50}]
    assert [policy["type"] for policy in scores["policies"]] == ["api_key", "retry"]
    assert scores["backend"]["auth"]["valueRef"] == {"env": "GAMES_SCORES_BACKEND"}
    assert spec("tenants/games/apis/secret/api.yaml")["active"] is False
    console = spec("tenants/shop/applications/console-app.yaml")
    assert console["identifiers"] == {"azp": "shop-console"}
    assert console["subscriptions"] == [{"api": "orders"}]
    [credential] = console["credentials"]
    assert credential["clientIdRef"] == {"env": "SHOP_CONSOLE_APP_CLIENT_ID"}
    text = Path("catalog/tenants/shop/applications/console-app.yaml").read_text()
    assert "# SHOP_CONSOLE_APP_CLIENT_ID is shop-console." in text


def test_what_kept_callers_out_and_is_not_said_leaves_an_api_inactive(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = imported(capsys)
    cart = Path("catalog/tenants/bank/apis/cart/api.yaml")
    assert (
        "Inactive until you write what keeps callers out: policy require-mtls" in cart.read_text()
    )
    assert spec("tenants/bank/apis/cart/api.yaml")["active"] is False
    # Two tenants had one path in STOA; what is first by name has it.
    assert "/apis/cart" in cart.read_text()
    assert "/apis/cart\n" not in Path("catalog/tenants/shop/apis/cart/api.yaml").read_text()
    assert spec("tenants/shop/apis/cart/api.yaml")["active"] is False
    said = Path("catalog/NOT-EXPRESSED.md").read_text()
    for part in (
        "cors-standard", "orders:read", "OIDC-Shop", "vault:secret/stoa/dev/secret", "mtls",
        "500 an hour", "secret/shop#console", "slack", "allowedRoles", "resources",
        "Nothing", "X-Tenant-ID",
    ):  # fmt: skip
        assert part in said, part
    assert any("/apis/cart" in one["value"] for api in document["imports"]
               for one in api["not_expressed"])  # fmt: skip


def test_again_over_an_earlier_import_a_persons_changes_stay(
    capsys: pytest.CaptureFixture[str],
) -> None:
    imported(capsys)
    assert imported(capsys)["written"] == []
    file = Path("catalog/tenants/shop/apis/orders/api.yaml")
    file.write_text(file.read_text().replace("displayName: Orders-API", "displayName: Mine # ok"))
    tree = Path("tree/tenants/shop/apis/orders/api.yaml")
    newer = tree.read_text().replace("Orders-API", "Orders 3").replace('"2.0"}', '"3.0"}')
    tree.write_text(newer)
    Path("tree/tenants/shop/apis/orders/openapi.yaml").write_text(
        TREE["tenants/shop/apis/orders/openapi.yaml"].replace("Orders", "Orders 3")
    )
    document = imported(capsys)
    [orders] = [one for one in document["imports"] if one["api"] == "api/shop/orders"]
    assert orders["outcome"] == "updated"
    assert [one["field"] for one in orders["kept"]] == ["spec.displayName"]
    assert "displayName: Mine # ok" in file.read_text()
    assert 'version: "3.0"' in file.read_text()
    assert "Orders 3" in Path("catalog/tenants/shop/apis/orders/openapi.yaml").read_text()


def test_variables_come_from_the_catalog_or_from_the_person(
    capsys: pytest.CaptureFixture[str],
) -> None:
    imported(capsys, "--variable", "BASE_DOMAIN=example.org", "--dry-run")
    assert not Path("catalog/tenants").exists()
    own = Path("catalog/environments/dev.yaml")
    own.parent.mkdir()
    own.write_text("apiVersion: gostoa.dev/v1alpha1\nkind: Environment\nmetadata: {name: dev}\n"
                   "spec: {variables: {OTHER: x}}\n")  # fmt: skip
    before = own.read_text()
    imported(capsys, "--variable", "BASE_DOMAIN=example.org")
    assert own.read_text() == before
    backend = spec("tenants/shop/apis/orders/api.yaml")["backend"]
    assert backend == {"url": "https://orders.example.org/v2"}


@pytest.mark.parametrize(
    ("prepare", "code", "said"),
    [
        (lambda tree: tree.rename(tree.parent / "gone"), Exit.USAGE, "tree is no folder"),
        (lambda tree: [p.rename(tree / f"x{n}") for n, p in enumerate(list(tree.iterdir()))],
         Exit.USAGE, "name the root of the tree"),
        (lambda tree: (tree / "tenants/shop/tenant.yaml").write_text("a: [\n"), Exit.OK,
         "tenant.yaml:2"),
        (lambda tree: (tree / "tenants/shop/tenant.yaml").write_text("- a\n"), Exit.OK,
         "holds no mapping"),
        (lambda tree: (tree / "tenants/shop/apis/orders/api.yaml").write_text(
            "name: orders\nbackend_url: 'https://${NOBODY}/'\n"), Exit.USAGE, "--variable NOBODY="),
        (lambda tree: (tree / "tenants/shop/apis/orders/api.yaml").write_text(
            "name: orders\nbackend_url: 'file:///etc/passwd'\n"), Exit.OK, "not written"),
        (lambda tree: (tree / "tenants/shop/apis/cart/openapi.yaml").symlink_to("/etc/hostname"),
         Exit.OK, ""),
    ],
)  # fmt: skip
def test_bad_trees_are_told(
    here: Path, capsys: pytest.CaptureFixture[str], prepare: Any, code: Exit, said: str
) -> None:
    prepare(here / "tree")
    assert main(["import", "stoa", "tree"]) == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (here / "catalog/tenants/shop/apis/cart/openapi.yaml").exists()

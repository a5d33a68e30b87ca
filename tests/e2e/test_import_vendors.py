"""`import apisix` and `import gravitee`: files of other gateways' tools, for any gateway."""

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
metadata: {name: local}
spec: {gatewayType: stoa, environment: dev, baseUrl: embedded}
"""
ADC = """\
services:
  - name: Orders
    hosts: [api.example.com]
    labels: {tenant: shop}
    upstream:
      scheme: https
      nodes:
        - {host: orders.example, port: 443, weight: 9}
        - {host: spare.example, port: 443, weight: 1}
      timeout: {connect: 6, send: 6, read: 15}
      pass_host: node
    plugins:
      key-auth: {header: X-Key, hide_credentials: true}
      limit-count: {count: 60, time_window: 60, key: consumer_name, rejected_code: 429}
    routes:
      - {name: all, uris: [/orders/*], methods: [GET, POST]}
      - name: status
        uris: [/status]
        plugins: {key-auth: {_meta: {disable: true}}, cors: {allow_origins: "**"}}
      - name: old
        uris: [/v1/old/*]
        plugins: {proxy-rewrite: {regex_uri: ["^/v1/(.*)", "/legacy/$1"]}}
      - {name: odd, uris: ["/a/*/b"], vars: []}
      - {name: chosen, uris: [/c], vars: [[arg_x, "==", "1"]]}
  - name: Closed
    upstream: {nodes: [{host: closed.example, port: 8080, weight: 1}]}
    routes: [{name: r, uris: [/closed/*], plugins: {jwt-auth: {}}}]
consumers:
  - username: mobile
    labels: {tenant: shop}
    credentials: [{name: k, type: key-auth, config: {key: s3cr3t-key-of-mobile}}]
  - {username: alone, plugins: {basic-auth: {username: a, password: b-s3cr3t}}}
global_rules: {prometheus: {}}
ssls: [{snis: [api.example.com], certificates: [{certificate: c, key: k}]}]
"""
GRAVITEE: dict[str, Any] = {
    "export": {"apimVersion": "4.6.0"},
    "api": {
        "id": "1",
        "name": "Payments",
        "apiVersion": "1.4",
        "definitionVersion": "V4",
        "type": "PROXY",
        "listeners": [
            {
                "type": "HTTP",
                "paths": [{"path": "/payments/"}],
                "entrypoints": [{"type": "http-proxy"}],
            }
        ],
        "endpointGroups": [
            {
                "name": "default",
                "type": "http-proxy",
                "endpoints": [
                    {
                        "name": "one",
                        "type": "http-proxy",
                        "configuration": {"target": "https://payments.example/v1"},
                    }
                ],
            }
        ],
        "flows": [],
    },
    "plans": [
        {
            "id": "p",
            "name": "Keys",
            "security": {"type": "API_KEY", "configuration": {}},
            "status": "PUBLISHED",
            "flows": [],
        }
    ],
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STOA_GITOPS_CATALOG", "catalog")
    gateways = tmp_path / "catalog/gateways"
    gateways.mkdir(parents=True)
    (gateways / "local.yaml").write_text(GATEWAY)
    (tmp_path / "adc.yaml").write_text(ADC)
    (tmp_path / "api.json").write_text(json.dumps(GRAVITEE))
    return tmp_path


def imported(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code = main(["import", *arguments, "--output", "json"])
    captured = capsys.readouterr()
    assert code == Exit.OK, captured.err
    document: dict[str, Any] = json.loads(captured.out)
    jsonschema.validate(document, SCHEMA)
    return document


def adc(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return imported(capsys, "apisix", "adc.yaml", "--tenant", "acme")


def spec(path: str) -> Any:
    return YAML(typ="safe").load(Path("catalog", path))["spec"]


def test_services_of_apisix_become_apis(capsys: pytest.CaptureFixture[str]) -> None:
    adc(capsys)
    assert main(["validate"]) == Exit.OK
    capsys.readouterr()
    orders = spec("tenants/shop/apis/orders-all/api.yaml")
    assert orders["backends"] == [
        {"url": "https://orders.example", "weight": 9},
        {"url": "https://spare.example", "weight": 1},
    ]
    assert orders["backend"] == {"retries": 1, "timeout": "15000ms"}
    assert orders["routes"] == [
        {
            "path": "/orders",
            "methods": ["GET", "POST"],
            "hosts": ["api.example.com"],
            "stripPath": False,
        }
    ]
    assert orders["policies"] == [
        {"type": "api_key", "config": {"name": "X-Key", "hide": True}},
        {"type": "rate_limit", "config": {"requests": 60, "window": "60s", "by": "consumer"}},
    ]
    assert [p["type"] for p in spec("tenants/shop/apis/orders-status/api.yaml")["policies"]] == [
        "rate_limit",
        "cors",
    ]
    old = spec("tenants/shop/apis/orders-old/api.yaml")
    assert old["backends"][0]["url"] == "https://orders.example/legacy/old"
    assert "stripPath" not in old["routes"][0]
    closed = spec("tenants/acme/apis/closed/api.yaml")
    assert (closed["active"], closed["backend"]) == (False, {"url": "http://closed.example:8080"})


@pytest.mark.parametrize(
    ("upstream", "expected", "left"),
    [
        ("{nodes: {'a.example:80': 1}}", {"backend": {"url": "http://a.example"}}, []),
        (
            "{type: least_conn, retries: 0, nodes: {'a.example:80': 1, 'b.example:81': 0}}",
            {
                "backends": [
                    {"url": "http://a.example", "weight": 1},
                    {"url": "http://b.example:81", "weight": 0},
                ],
                "loadBalancing": "least_connections",
            },
            [],
        ),
        (
            "{type: chash, nodes: [{host: a.example, weight: 5000}, {host: b.example, weight: 1}]}",
            {
                "backends": [
                    {"url": "http://a.example", "weight": 1000},
                    {"url": "http://b.example", "weight": 1},
                ],
                "backend": {"retries": 1},
            },
            ["type"],
        ),
        (
            "{nodes: [{host: a.example, weight: 1}, {host: b.example, weight: 1, priority: -1}]}",
            {"backend": {"url": "http://a.example"}},
            ["nodes"],
        ),
        ("{nodes: {'a.example:80': 0}}", {"backend": {"alias": "echo"}}, [""]),
        (
            "{nodes: [{host: a.example, weight: x, priority: y}]}",
            {"backend": {"alias": "echo"}},
            [""],
        ),
        ("{scheme: grpc, nodes: {'a.example:80': 1}}", {"backend": {"alias": "echo"}}, [""]),
    ],
)
def test_nodes_of_apisix_share_the_requests(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    upstream: str,
    expected: dict[str, Any],
    left: list[str],
) -> None:
    routes = "routes: [{name: r, uris: [/a/*]}]"
    upstream = upstream.replace("{", "{pass_host: node, ", 1)
    (here / "adc.yaml").write_text(f"services: [{{name: s, upstream: {upstream}, {routes}}}]\n")
    document = adc(capsys)
    lost = [
        *document["not_expressed"],
        *(n for i in document["imports"] for n in i["not_expressed"]),
    ]
    found = spec("tenants/acme/apis/s/api.yaml")
    assert {k: found[k] for k in found if k.startswith(("backend", "load"))} == expected
    assert [one["field"] for one in lost if one["what"] == "upstream"] == left
    assert main(["validate"]) == Exit.OK


def test_names_that_had_to_differ_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    Path("adc.yaml").write_text(ADC.replace("name: Closed", "name: 'Über Closed!'"))
    assert main(["import", "apisix", "adc.yaml", "--tenant", "acme"]) == Exit.OK
    assert "api/acme/uber-closed: named after 'Über Closed!'" in capsys.readouterr().err


def test_no_key_of_a_file_is_written_anywhere(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = adc(capsys)
    mobile = spec("tenants/shop/applications/mobile.yaml")
    assert mobile["credentials"] == [{"type": "api_key", "keyRef": {"env": "SHOP_MOBILE_KEY"}}]
    assert {one["api"] for one in mobile["subscriptions"]} == {"orders-all", "orders-old"}
    texts = [p.read_text() for p in (here / "catalog").rglob("*") if p.is_file()]
    assert not any("s3cr3t" in text for text in [*texts, json.dumps(document)])
    said = Path("catalog/NOT-EXPRESSED.md").read_text()
    for part in ("prometheus", "ssls", "/a/*/b", "vars", "jwt-auth", "alone"):
        assert part in said, part


def test_secrets_where_nobody_looks_for_them_are_written_nowhere(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page of what is not expressed is committed, too."""
    plugins = """\
    plugins:
      http-logger: {uri: "https://u:s3cr3t@logs.example/?t=s3cr3t", auth_header: s3cr3t}
      openid-connect: {client_secret: s3cr3t, discovery: "https://u:s3cr3t@id.example"}
      proxy-rewrite: {headers: {set: {X-Api-Key: s3cr3t}}}
      loggly: {customer_token: s3cr3t}
"""
    Path("adc.yaml").write_text(ADC.replace("    plugins:\n", plugins, 1))
    document = adc(capsys)
    assert spec("tenants/shop/apis/orders-all/api.yaml")["backend"]
    texts = [p.read_text() for p in (here / "catalog").rglob("*") if p.is_file()]
    assert not any("s3cr3t" in text for text in [*texts, json.dumps(document)])
    assert "https://***@logs.example/?***" in Path("catalog/NOT-EXPRESSED.md").read_text()


def test_again_over_an_earlier_file_of_apisix(capsys: pytest.CaptureFixture[str]) -> None:
    adc(capsys)
    assert adc(capsys)["written"] == []
    file = Path("catalog/tenants/shop/apis/orders-all/api.yaml")
    file.write_text(file.read_text().replace("requests: 60", "requests: 7"))
    Path("adc.yaml").write_text(
        ADC.replace("count: 60", "count: 50").replace("read: 15", "read: 3")
    )
    changed = {one["api"]: one for one in adc(capsys)["imports"] if one["outcome"] == "updated"}
    kept = changed["api/shop/orders-all"]["kept"]
    assert [(one["field"], one["yours"], one["imported"]) for one in kept] == [
        ("spec.policies[rate_limit].config.requests", 7, 50)
    ]
    assert spec("tenants/shop/apis/orders-all/api.yaml")["backend"]["timeout"] == "3000ms"
    assert "api/shop/orders-old" in changed


def test_an_export_of_gravitee_becomes_an_api(capsys: pytest.CaptureFixture[str]) -> None:
    imported(capsys, "gravitee", "api.json")
    api = spec("tenants/default/apis/payments/api.yaml")
    assert api["backend"]["url"] == "https://payments.example/v1"
    assert [route["path"] for route in api["routes"]] == ["/payments"]
    assert [policy["type"] for policy in api["policies"]] == ["api_key"]
    assert "active" not in api
    assert main(["validate"]) == Exit.OK
    capsys.readouterr()
    assert imported(capsys, "gravitee", "api.json")["written"] == []


def test_two_apis_of_one_name_are_told_and_the_first_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = json.loads(json.dumps(GRAVITEE))
    other["api"]["id"] = "2"
    target = {"target": "https://other.example"}
    other["api"]["endpointGroups"][0]["endpoints"][0]["configuration"] = target
    Path("other.json").write_text(json.dumps(other))
    document = imported(capsys, "gravitee", "api.json", "other.json")
    api = spec("tenants/default/apis/payments/api.yaml")
    assert api["backend"]["url"] == "https://payments.example/v1"
    [one] = [one for one in document["imports"] if one["api"]]
    assert any(
        "api.json has one of the same name" in item["effect"] for item in one["not_expressed"]
    )


@pytest.mark.parametrize(
    ("security", "is_active"),
    [("KEY_LESS", True), ("key-less", True), ("api-key", True), ("OAUTH2", False), ("MTLS", False)],
)
def test_an_export_whose_plans_nothing_says_is_written_inactive(
    capsys: pytest.CaptureFixture[str], security: str, is_active: bool
) -> None:
    document = json.loads(json.dumps(GRAVITEE))
    document["plans"][0]["security"] = {"type": security}
    Path("api.json").write_text(json.dumps(document))
    imported(capsys, "gravitee", "api.json")
    api = spec("tenants/default/apis/payments/api.yaml")
    assert api.get("active", True) is is_active
    if not is_active:
        assert "written inactive" in Path("catalog/NOT-EXPRESSED.md").read_text()


@pytest.mark.parametrize(
    ("form", "text", "said"),
    [
        ("apisix", "routes: [{uri: /x}]\n", "it has routes at its top"),
        ("apisix", "- a\n", "no file of ADC"),
        ("apisix", "services: [\n", "file:2"),
        ("apisix", "a: &x [*x]\n", "file:1"),
        ("gravitee", '{"proxy": {}}', "it is one of version 2, and version 4 is read"),
        ("gravitee", "[1]", "it holds no mapping"),
        ("gravitee", "{", "file:1"),
        ("kong", "<html>", "file"),
    ],
)
def test_what_is_no_such_file_is_said(
    here: Path, capsys: pytest.CaptureFixture[str], form: str, text: str, said: str
) -> None:
    (here / "file").write_text(text)
    tenant = ("--tenant", "acme") if form == "apisix" else ()
    assert main(["import", form, "file", *tenant]) == Exit.USAGE
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (here / "catalog/tenants").exists()


def test_a_page_of_a_person_is_not_replaced(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = here / "catalog/NOT-EXPRESSED.md"
    page.write_text("# My own\n")
    assert main(["import", "apisix", "adc.yaml", "--tenant", "acme"]) == Exit.USAGE
    assert "exists and was not imported" in capsys.readouterr().err
    assert not (here / "catalog/tenants").exists()
    page.unlink()
    adc(capsys)
    imported(capsys, "gravitee", "api.json")
    # Each import has its own section of one page.
    assert page.read_text().count("<!-- imported: ") == 2


KONG = """\
_format_version: "3.0"
services:
  - name: orders
    url: https://orders.example
    routes: [{name: orders, paths: [/orders], methods: [GET]}]
    plugins: [{name: key-auth}, {name: acl, config: {allow: [partners]}}]
  - {name: open, url: "https://open.example", routes: [{name: o, paths: [/o], methods: [GET]}]}
consumers:
  - username: mobile
    keyauth_credentials: [{key: s3cr3t-key-of-mobile}]
    acls: [{group: partners}]
"""


def test_consumers_of_kong_become_subscribers(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "kong.yaml").write_text(KONG)
    imported(capsys, "kong", "kong.yaml", "--tenant", "shop")
    assert spec("tenants/shop/apis/orders/api.yaml")["access"] == "subscribed"
    mobile = spec("tenants/shop/applications/mobile.yaml")
    assert mobile["subscriptions"] == [{"api": "orders"}]
    assert main(["validate"]) == Exit.OK
    capsys.readouterr()
    # The tenant that is there by now is that of the next file, too.
    (here / "kong.yaml").write_text(KONG.replace("mobile", "desktop"))
    imported(capsys, "kong", "kong.yaml")
    assert spec("tenants/shop/applications/desktop.yaml")["subscriptions"] == [{"api": "orders"}]


_LIMIT = "{name: rate-limiting, config: {minute: 9, policy: local}}"
_ACL = "{name: acl, config: {allow: [partners]}}"


@pytest.mark.parametrize(
    ("on_service", "on_route", "is_open"),
    [
        ("", "", True),
        ("{name: prometheus}", _LIMIT, True),
        ("{name: basic-auth, enabled: false}", "", True),
        ("{name: basic-auth}", "", False),
        ("{name: some-plugin-of-theirs}", "", False),
        (_ACL, "", False),
        ("", "{name: key-auth}", False),
        ("{name: key-auth}", "{name: ip-restriction, config: {deny: [192.0.2.1]}}", False),
    ],
)
def test_what_keeps_callers_out_of_kong_closes_an_api_elsewhere(
    here: Path, capsys: pytest.CaptureFixture[str], on_service: str, on_route: str, is_open: bool
) -> None:
    (here / "kong.yaml").write_text(f"""\
_format_version: "3.0"
services:
  - name: orders
    url: https://orders.example
    plugins: [{on_service}]
    routes: [{{name: orders, paths: [/orders], plugins: [{on_route}]}}]
""")
    path = "tenants/shop/apis/orders/api.yaml"
    imported(capsys, "kong", "kong.yaml", "--tenant", "shop", "--gateway", "local")
    assert ("active" not in spec(path)) is is_open
    head = Path("catalog", path).read_text()
    assert ("Inactive until you write what keeps callers out" in head) is not is_open


def test_a_gate_for_all_services_of_kong_closes_all_apis_elsewhere(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "kong.yaml").write_text(f"{KONG}plugins: [{{name: key-auth}}]\n")
    imported(capsys, "kong", "kong.yaml", "--tenant", "shop", "--gateway", "local")
    assert spec("tenants/shop/apis/open/api.yaml")["active"] is False
    # A rule for one consumer cannot be said either, and a document would let it in everywhere.
    mobile = KONG.replace("acls:", "plugins: [{name: request-termination}]\n    acls:")
    (here / "kong.yaml").write_text(mobile.replace("mobile", "desktop"))
    imported(capsys, "kong", "kong.yaml", "--tenant", "shop", "--gateway", "local")
    assert not (here / "catalog/tenants/shop/applications/desktop.yaml").exists()


def test_a_kong_keeps_its_gates_and_the_document_says_what_others_lack(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edge = GATEWAY.replace("local", "edge").replace("Type: stoa", "Type: kong")
    edge = edge.replace("embedded", "'http://kong.example'")
    (here / "catalog/gateways/edge.yaml").write_text(edge)
    (here / "kong.yaml").write_text(KONG.replace("{name: key-auth}", "{name: basic-auth}"))
    imported(capsys, "kong", "kong.yaml", "--tenant", "shop", "--gateway", "edge")
    path = "tenants/shop/apis/orders/api.yaml"
    assert "active" not in spec(path)
    assert "others let them in: service orders plugins.acl" in Path("catalog", path).read_text()


def test_groups_at_a_route_of_kong_narrow_who_subscribes(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "  - {username: other, keyauth_credentials: [{key: another-key-of-theirs}]}\n"
    text = KONG.replace(f", {_ACL}", "").replace("methods: [GET]}", f"plugins: [{_ACL}]}}", 1)
    (here / "kong.yaml").write_text(text + other)
    imported(capsys, "kong", "kong.yaml", "--tenant", "shop", "--gateway", "local")
    called = spec("tenants/shop/applications/mobile.yaml")["subscriptions"]
    assert called == [{"api": "orders"}]
    assert not (here / "catalog/tenants/shop/applications/other.yaml").exists()


@pytest.mark.parametrize(("policy", "is_open"), [("transform-headers", True), ("groovy", False)])
def test_a_step_of_gravitee_that_may_refuse_closes_an_api_elsewhere(
    capsys: pytest.CaptureFixture[str], policy: str, is_open: bool
) -> None:
    document = json.loads(json.dumps(GRAVITEE))
    document["api"]["flows"] = [{"name": "theirs", "request": [{"policy": policy}]}]
    Path("api.json").write_text(json.dumps(document))
    imported(capsys, "gravitee", "api.json", "--gateway", "local")
    api = spec("tenants/default/apis/payments/api.yaml")
    assert api.get("active", True) is is_open

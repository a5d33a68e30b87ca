from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog import Reader, open_source
from stoa_gitops.catalog import reader as reader_module
from stoa_gitops.catalog.documents.yaml_full import read_documents
from stoa_gitops.catalog.resolution import evaluation_cache as evaluations
from stoa_gitops.catalog.resolution.gateway_support import CombinedLossFinder
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.catalog.sources.folder_tree import FolderTree, blob_id
from stoa_gitops.foundation.yaml.nodes import Position, find_position
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance, WritePolicy
from stoa_gitops.model.keys import Key
from stoa_gitops.model.losses import Loss
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.model.secret import SecretRef
from tests.laws import examples

Read = Callable[..., Catalog]
Document = Callable[..., str]


DOCUMENT = "apiVersion: gostoa.dev/v1alpha1\nkind: {}\nspec: {}\nmetadata: {}\n"


def memory(files: Mapping[str, bytes]) -> FolderTree:
    return FolderTree({path: blob_id(data) for path, data in files.items()}, dict(files), ())


def gateway(
    document: Document, name: str, environment: str = "dev", more: str = "", kind: str = "stoa"
) -> str:
    return document(
        "GatewayInstance",
        name,
        f"gatewayType: {kind}\nenvironment: {environment}\nbaseUrl: http://{name}.example\n{more}",
    )


def api(
    document: Document, name: str, more: str = "", backend: str = "{url: https://b.example}"
) -> str:
    return document("API", name, f"version: '1'\nbackend: {backend}\n{more}")


def path(name: str, tenant: str = "acme") -> str:
    return f"tenants/{tenant}/apis/{name}/api.yaml"


def spec(catalog: Catalog, gateway: str, key: str) -> Any:
    assert not catalog.errors, catalog.errors
    return catalog.desired[gateway].resources[Key.parse(key)].spec.value


def test_the_example_has_no_finding(catalog_example: Path, tmp_path: Path) -> None:
    tree = open_source(str(catalog_example), cache_dir=tmp_path).snapshot()
    catalog = Reader(gateway_types=gateway_types()).read(tree)
    assert not catalog.diagnostics
    assert catalog.owner == "example"
    assert catalog.tenants == ("acme", "demo")
    assert {str(key) for key in catalog.desired["local"].resources if key.kind != "policy"} == {
        "api/acme/orders", "api/acme/status", "application/acme/mobile", "api/demo/alphavantage",
        "api/demo/coingecko", "api/demo/exchange-rate", "api/demo/newsapi",
        "api/demo/openweathermap",
    }  # fmt: skip
    limit = (
        catalog.desired["local"].resources[Key("policy", "acme", "orders.rate_limit")].spec.value
    )
    assert limit["config"] == {"requests": 60, "window": "1m", "by": "consumer", "burst": 20}


def test_every_document_of_the_example_names_its_schema(catalog_example: Path) -> None:
    for file in catalog_example.rglob("*.yaml"):
        if not file.name.startswith("openapi"):
            first = file.read_text(encoding="utf-8").splitlines()[0]
            target = first.removeprefix("# yaml-language-server: $schema=")
            assert target != first, file
            assert (file.parent / target).resolve().is_file(), file


def test_an_api_in_canonical_form(read: Read, document: Document) -> None:
    text = document(
        "API",
        "billing",
        """
displayName: Billing
version: 1.2.0
description: Bills
backend:
  url: https://billing.internal/v2
  timeout: 60s
  retries: 2
  auth: {in: header, name: X-Api-Key, valueRef: {env: KEY}}
  fallback: {alias: echo}
routes:
  - {path: /b/, methods: [post, get, GET], hosts: [B.example, a.example], stripPath: false}
  - path: /a
plans: [{name: silver}, {name: gold, perSecond: 10, burst: 20}]
""",
    )
    openapi = "openapi: 3.0.3\ninfo: {title: x, version: '1'}\npaths: {}\n"
    catalog = read({path("billing"): text, "tenants/acme/apis/billing/openapi.yaml": openapi})
    value = spec(catalog, "main", "api/acme/billing")
    assert value.pop("openapi") == {
        "path": "tenants/acme/apis/billing/openapi.yaml",
        "sha256": hashlib.sha256(openapi.encode()).hexdigest(),
    }
    assert value == {
        "displayName": "Billing", "version": "1.2.0", "description": "Bills", "active": True,
        "backend": {
            "url": "https://billing.internal/v2", "timeout": "1m", "retries": 2,
            "fallback": "builtin:echo",
            "auth": {"in": "header", "name": "X-Api-Key", "value": {"$secret": "env:KEY"}},
        },
        "routes": [
            {"path": "/a", "methods": [], "hosts": [], "stripPath": True},
            {"path": "/b", "methods": ["GET", "POST"], "hosts": ["a.example", "b.example"],
             "stripPath": False},
        ],
        "plans": [{"name": "gold", "perSecond": 10, "burst": 20}, {"name": "silver"}],
    }  # fmt: skip
    hints = catalog.desired["main"].resources[Key("api", "acme", "billing")].hints
    assert hints.requires == (
        "api", "backend_auth:header", "builtin_echo", "fallback", "hosts", "multiple_routes",
        "plans", "retries",
        "strip_path:false", "timeout",
    )  # fmt: skip
    assert hints.guarded_api == Key("api", "acme", "billing")
    assert hints.depends_on == (Key("policy", "acme", "billing.api_key"),)


def test_an_api_of_few_words_gets_its_defaults(read: Read) -> None:
    assert spec(read(), "main", "api/acme/billing") == {
        "displayName": "billing", "version": "1", "active": True, "plans": [],
        "backend": {"url": "https://billing.example", "timeout": "30s", "retries": 0},
        "routes": [{"path": "/apis/acme/billing", "methods": [], "hosts": [], "stripPath": True}],
    }  # fmt: skip


def test_an_apis_own_policy_replaces_the_tenants_of_its_type(
    read: Read, document: Document
) -> None:
    limit = "{type: rate_limit, config: {requests: %d, window: 1m}}"
    catalog = read(
        {
            "tenants/acme/tenant.yaml": document(
                "Tenant", "acme", f"policies: [wide, {limit % 1}]"
            ),
            "tenants/acme/policies/wide.yaml": document(
                "Policy",
                "wide",
                "type: cors\nconfig: {origins: ['*']}\npriority: 5\nonUnsupported: skip",
            ),
            path("own"): api(document, "own", f"policies: [{limit % 2}]"),
        }
    )
    assert spec(catalog, "main", "policy/acme/billing.rate_limit")["config"]["requests"] == 1
    assert spec(catalog, "main", "policy/acme/own.rate_limit") == {
        "api": "own", "type": "rate_limit", "priority": 100,
        "config": {"requests": 2, "window": "1m", "by": "consumer"},
    }  # fmt: skip
    resource = catalog.desired["main"].resources[Key("policy", "acme", "own.cors")]
    assert resource.source == SourceRef("tenants/acme/policies/wide.yaml", 1)
    assert resource.hints.requires == ("policy:cors",)
    assert resource.hints.on_unsupported == "skip"
    assert resource.hints.guarded_api == Key("api", "acme", "own")


@pytest.mark.parametrize(
    ("policies", "expected"),
    [("", {"api_key"}), ("policies: [{type: api_key, config: {in: query, name: k}}]", {"api_key"}),
     ("policies: [{type: jwt, config: {issuer: i}}]", {"jwt"})],
)  # fmt: skip
def test_plans_imply_a_key_unless_callers_are_identified(
    policies: str, expected: set[str], read: Read, document: Document
) -> None:
    catalog = read(
        {path("billing"): api(document, "billing", f"plans: [{{name: gold}}]\n{policies}")}
    )
    types = {
        key.name.partition(".")[2]
        for key in catalog.desired["main"].resources
        if key.kind == "policy"
    }
    assert types == expected


def test_without_plans_nothing_is_implied(read: Read) -> None:
    assert [str(key) for key in read().desired["main"].resources] == ["api/acme/billing"]


def test_applications_go_where_their_apis_go_with_only_those_subscriptions(
    read: Read, document: Document
) -> None:
    app = document(
        "Application",
        "mobile",
        """
owner: team
credentials:
  - {type: basic, usernameRef: {env: U}, passwordRef: {vault: kv/x#y}}
  - {type: api_key, keyRef: {env: K}}
subscriptions:
  - {api: globex/far, plan: free, expiresAt: "2027-01-01T02:00:00+02:00"}
  - {api: near, plan: gold}
identifiers: {azp: [b, a]}
""",
    )
    catalog = read({
        "gateways/other.yaml": gateway(document, "other"),
        "gateways/third.yaml": gateway(document, "third"),
        "tenants/globex/tenant.yaml": document("Tenant", "globex", "gateways: [other]"),
        "tenants/acme/tenant.yaml": document("Tenant", "acme", "gateways: [main]"),
        path("far", "globex"): api(document, "far", "plans: [{name: free, tenants: [acme]}]"),
        path("near"): api(document, "near", "plans: [{name: gold}]"),
        "tenants/acme/applications/mobile.yaml": app,
    })  # fmt: skip
    assert spec(catalog, "main", "application/acme/mobile") == {
        "displayName": "mobile", "owner": "team", "identifiers": {"azp": ["a", "b"]},
        "credentials": [
            {"type": "basic", "username": {"$secret": "env:U"},
             "password": {"$secret": "vault:kv/x#y"}},
            {"type": "api_key", "key": {"$secret": "env:K"}},
        ],
        "subscriptions": [{"api": "near", "plan": "gold"}],
    }  # fmt: skip
    assert spec(catalog, "other", "application/acme/mobile")["subscriptions"] == [
        {"api": "globex/far", "plan": "free", "expiresAt": "2027-01-01T00:00:00Z"}
    ]
    assert not catalog.desired["third"].resources
    hints = catalog.desired["main"].resources[Key("application", "acme", "mobile")].hints
    assert hints.requires == ("application", "credential:api_key", "credential:basic")
    assert hints.depends_on == (Key("api", "acme", "near"),)


def test_gateways_tenants_and_apis_choose_each_other(read: Read, document: Document) -> None:
    catalog = read({
        "gateways/only.yaml": gateway(document, "only", more="tenants: [globex]"),
        "gateways/spare.yaml": gateway(document, "spare"),
        "tenants/globex/tenant.yaml": document("Tenant", "globex"),
        path("all", "globex"): api(document, "all"),
        path("one", "globex"): api(document, "one", "gateways: [only]"),
        path("off", "globex"): api(document, "off",
                                   "gateways: [{name: only, active: false}, spare]"),
    })  # fmt: skip
    placed = {
        name: {key.short for key in state.resources} for name, state in catalog.desired.items()
    }
    assert placed == {
        "main": {"acme/billing", "globex/all"},
        "only": {"globex/all", "globex/one", "globex/off"},
        "spare": {"acme/billing", "globex/all", "globex/off"},
    }
    off = catalog.desired["only"].resources[Key("api", "globex", "off")]
    assert off.spec.value["active"] is False
    assert "inactive" in off.hints.requires
    assert spec(catalog, "spare", "api/globex/off")["active"] is True


def test_annotations_become_handling(read: Read, document: Document) -> None:
    text = api(document, "billing", "policies: [{type: mock, config: {}}]").replace(
        "  name: billing\n",
        "  name: billing\n  annotations:\n    gostoa.dev/protect: 'true'\n"
        "    gostoa.dev/moved-from: api/acme/old\n"
        "    gostoa.dev/ignore-fields: 'b.c, a'\n    team: x\n",
    )
    resources = read({path("billing"): text}).desired["main"].resources
    hints = resources[Key("api", "acme", "billing")].hints
    assert hints.protected
    assert hints.moved_from == Key("api", "acme", "old")
    assert hints.ignore_fields == ("a", "b.c")
    assert resources[Key("policy", "acme", "billing.mock")].hints.moved_from == Key(
        "policy", "acme", "old.mock"
    )


def test_a_gateway_with_everything_written(read: Read, document: Document) -> None:
    text = document(
        "GatewayInstance",
        "main",
        """
displayName: Main
gatewayType: kong
environment: prod
baseUrl: https://kong.example:8001/
publicUrl: https://api.example
capabilities: [rest]
auth: {type: header, header: Kong-Admin-Token, valueRef: {env: KONG}}
tls: {caRef: {file: /ca.pem}, serverName: kong}
policy: no-delete
prune: {maxCount: 5}
interval: 500ms
tenants: [acme]
backends: {allow: [127.0.0.0/8], deny: [10.0.0.0/8]}
wave: 2
suspended: true
options: {paths: prefix}
""",
    )
    (found,) = read({"gateways/main.yaml": text}).gateways
    assert found.auth.refs == {"value": SecretRef("env", "KONG")}
    assert found.auth.header == "Kong-Admin-Token"
    assert found.tls is not None
    assert (found.tls.ca, found.tls.key, found.tls.server_name) == (
        SecretRef("file", "/ca.pem"),
        None,
        "kong",
    )
    assert found.base_url == "https://kong.example:8001"
    assert found.policy is WritePolicy.NO_DELETE
    assert (found.prune.max_count, found.prune.max_percent) == (5, 30)
    assert found.interval == 0.5
    assert (found.wave, found.suspended, found.tenants) == (2, True, ("acme",))
    assert (found.options["paths"], found.options["counters"]) == ("prefix", "local")


def test_owner_and_label(read: Read, document: Document) -> None:
    assert read().owner == "default"
    catalog = read({"catalog.yaml": document("Catalog", "shop")})
    assert (catalog.owner, catalog.desired["main"].owner) == ("shop", "shop")
    assert catalog.desired["main"].revision == catalog.revision == "working tree"


def test_one_environment_per_gateway_and_its_values(read: Read, document: Document) -> None:
    variables = "variables: {HOST: %s.example, N: %s, SHARE: '%s'}"
    catalog = read(
        {
            "gateways/main.yaml": gateway(document, "main", "dev"),
            "gateways/prod.yaml": gateway(document, "prod", "prod"),
            "gateways/bare.yaml": gateway(document, "bare", "bare", "tenants: [nobody]"),
            "environments/dev.yaml": document(
                "Environment",
                "dev",
                variables % ("dev", 1, 1) + "\npatches:\n"
                "  - {kind: A*, name: bil*, tenant: a?me, patch: {spec: {backend: {retries: 1}}}}\n"
                "  - {kind: API, name: billing,\n"
                "     patch: {spec: {description: null, backend: {retries: 2}}}}\n"
                "  - {kind: API, name: billing, tenant: other, patch: {spec: {version: x}}}",
            ),
            "environments/prod.yaml": document(
                "Environment", "prod", variables % ("prod", "'7'", 2)
            ),
            path("billing"): api(
                document,
                "billing",
                "description: cost $${N} or ${N}, ${MISSING:-nothing}\n"
                "displayName: ${N}\npolicies:\n"
                "  - {type: rate_limit, config: {requests: '${N}', window: '${W:-1m}'}}",
                "{url: 'https://${HOST}/x'}",
            ),
        }
    )
    dev, prod = (spec(catalog, name, "api/acme/billing") for name in ("main", "prod"))
    assert (dev["backend"]["url"], dev["backend"]["retries"]) == ("https://dev.example/x", 2)
    assert "description" not in dev
    assert prod["backend"] == {"url": "https://prod.example/x", "retries": 0, "timeout": "30s"}
    assert prod["description"] == "cost ${N} or 7, nothing"
    assert (dev["displayName"], prod["displayName"]) == ("1", "7")
    assert spec(catalog, "prod", "policy/acme/billing.rate_limit")["config"]["requests"] == 7


@pytest.mark.parametrize(
    "written",
    ["1.10", "0777", "01234", "+4930123456", "72225e2", "1e999", "0x1F", "1_000", "True", ".5",
     "12345678901234567890123", "2024-01-01", "-0", "'1.10'"],
)  # fmt: skip
@pytest.mark.parametrize("style", ["variables: {V: %s}", "variables:\n  V: %s # a comment\n"])
def test_a_variable_keeps_the_spelling_it_was_written_with(
    read: Read, document: Document, written: str, style: str
) -> None:
    catalog = read({
        "environments/dev.yaml": document("Environment", "dev", style % written),
        path("billing"): api(document, "billing", "displayName: ${V}\ndescription: <${V}>"),
    })  # fmt: skip
    assert not catalog.diagnostics
    found = spec(catalog, "main", "api/acme/billing")
    assert (found["displayName"], found["description"]) == (
        written.strip("'"),
        f"<{written.strip(chr(39))}>",
    )


def test_a_variable_keeps_its_spelling_behind_an_alias_and_a_merge(
    read: Read, document: Document
) -> None:
    patch = "patches: [{kind: API, patch: &m {spec: {backend: {retries: &n 02}}}}]\n"
    catalog = read({
        "environments/dev.yaml": document("Environment", "dev", patch + "variables: {V: *n}"),
        path("billing"): api(document, "billing", "displayName: ${V}"),
    })  # fmt: skip
    found = spec(catalog, "main", "api/acme/billing")
    assert (found["displayName"], found["backend"]["retries"]) == ("02", 2)


@pytest.mark.parametrize(
    ("written", "requests"), [("010", 10), ("'7'", 7), ("0x1F", 31), ("0o17", 15), ("1e3", 1000)]
)
def test_a_variable_that_fills_a_field_of_a_number_is_read_as_yaml_reads_it(
    read: Read, document: Document, written: str, requests: int
) -> None:
    config = "policies:\n  - {type: rate_limit, config: {requests: '${V}', window: 1m}}"
    catalog = read({
        "environments/dev.yaml": document("Environment", "dev", f"variables: {{V: {written}}}"),
        path("billing"): api(document, "billing", config),
    })  # fmt: skip
    assert not catalog.diagnostics
    found = spec(catalog, "main", "policy/acme/billing.rate_limit")["config"]["requests"]
    assert found == requests


@pytest.mark.parametrize("value", ["null", "[]", "{A: 1}", ""])
def test_a_variable_is_no_list_mapping_or_nothing(
    read: Read, document: Document, value: str
) -> None:
    catalog = read({
        "environments/dev.yaml": document("Environment", "dev", f"variables: {{V: {value}}}"),
    })  # fmt: skip
    assert [found.code for found in catalog.diagnostics] == ["schema.type"]


def test_a_variable_matters_only_where_the_api_goes(read: Read, document: Document) -> None:
    catalog = read({
        "gateways/prod.yaml": gateway(document, "prod", "prod"),
        "environments/prod.yaml": document("Environment", "prod", "variables: {HOST: x.example}"),
        path("billing"): api(document, "billing", "gateways: [prod]", "{url: 'https://${HOST}'}"),
    })  # fmt: skip
    assert [found.code for found in catalog.diagnostics] == ["gateway.environment"]
    assert not catalog.errors
    assert Key("api", "acme", "billing") not in catalog.desired["main"].resources


def test_a_gateway_takes_variables_and_patches_of_its_own_environment(
    read: Read, document: Document
) -> None:
    catalog = read(
        {
            "gateways/main.yaml": document(
                "GatewayInstance",
                "main",
                "gatewayType: stoa\nenvironment: dev\nbaseUrl: http://${HOST}:80",
            ),
            "environments/dev.yaml": document(
                "Environment",
                "dev",
                "variables: {HOST: h.example}\n"
                "patches: [{kind: GatewayInstance, patch: {spec: {wave: 3}}}]",
            ),
        }
    )
    assert (catalog.gateways[0].base_url, catalog.gateways[0].wave) == ("http://h.example:80", 3)


def test_the_environment_of_a_gateway_is_never_patched(read: Read, document: Document) -> None:
    catalog = read({"environments/dev.yaml": document(
        "Environment", "dev",
        "patches: [{kind: GatewayInstance, patch: {spec: {environment: prod}}}]")})  # fmt: skip
    assert [d.code for d in catalog.diagnostics] == ["patch.identity"]
    assert not catalog.gateways


def test_a_broken_environment_keeps_its_gateways_empty_and_hides_no_finding(
    read: Read, document: Document
) -> None:
    catalog = read({
        "environments/dev.yaml": document("Environment", "dev", "variabels: {}"),
        path("x"): api(document, "x", "policies: [none]"),
        path("y"): api(document, "y", "description: ${HOST}"),
    })  # fmt: skip
    assert [d.code for d in catalog.diagnostics] == ["schema.unknown-key", "ref.policy"]
    assert not catalog.desired["main"].resources
    assert catalog.is_all_broken


def test_without_a_gateway_references_are_still_followed(read: Read, document: Document) -> None:
    catalog = read(
        {
            "tenants/acme/tenant.yaml": document("Tenant", "acme"),
            path("x"): api(document, "x", "policies: [none]"),
            path("y"): api(document, "y", "description: ${HOST}"),
        },
        bare=True,
    )
    assert {d.code for d in catalog.diagnostics} == {"ref.policy", "catalog.no-gateways"}


@pytest.mark.parametrize(
    ("files", "tenants", "everything"),
    [
        ({path("billing"): "kind: ["}, {"acme"}, False),
        ({"tenants/acme/tenant.yaml": "x"}, {"acme"}, False),
        ({"gateways/x.yaml": "kind: ["}, set(), True),
        ({"catalog.yaml": "x: 1"}, set(), True),
        ({"environments/dev.yaml": "kind: ["}, set(), True),
        ({"tenants/acme/apis/billing/openapi.yaml": "openapi: 3.0.3"}, {"acme"}, False),
    ],
)
def test_what_must_not_be_pruned(
    files: dict[str, str], tenants: set[str], everything: bool, read: Read
) -> None:
    catalog = read(files)
    assert catalog.broken_tenants == tenants
    assert catalog.is_all_broken is everything
    if tenants:
        assert Key("api", "acme", "billing") not in catalog.desired["main"].resources


def test_an_api_whose_policy_is_broken_is_not_written_without_it(
    read: Read, document: Document
) -> None:
    catalog = read({
        "tenants/acme/policies/limit.yaml": document("Policy", "limit",
                                                     "type: rate_limit\nconfig: {}"),
        path("billing"): api(document, "billing", "policies: [limit]"),
    })  # fmt: skip
    assert {d.source.path for d in catalog.diagnostics} == {"tenants/acme/policies/limit.yaml"}
    assert not catalog.desired["main"].resources


def test_what_a_gateway_cannot_express_is_a_warning_and_is_asked_by_capability(
    write: Callable[..., Path], document: Document
) -> None:
    asked = set()

    def unsupported(found: GatewayInstance, capability: str) -> str | None:
        asked.add(capability)
        return (
            "no such thing" if capability in ("policy:cors", "hosts", "credential:basic") else None
        )

    root = write(
        {
            path("billing"): api(
                document,
                "billing",
                "policies:\n  - {type: cors, config: {origins: ['*']}, onUnsupported: warn}\n"
                "routes: [{path: /x, hosts: [h.example]}]",
            ),
            "tenants/acme/applications/a.yaml": document(
                "Application",
                "a",
                "subscriptions: [{api: billing}]\n"
                "credentials: [{type: basic, usernameRef: {env: A}, passwordRef: {env: B}}]",
            ),
        }
    )
    catalog = Reader(unsupported=unsupported, gateway_types=gateway_types()).read(
        FolderSource(root).snapshot()
    )
    assert [(d.severity.value, d.code, d.pointer) for d in catalog.diagnostics] == [
        ("warning", "gateway.unsupported", "/spec/policies/0"),
        ("warning", "gateway.unsupported", "/spec/routes/0/hosts"),
        ("warning", "gateway.unsupported", "/spec/credentials/0"),
    ]
    assert (
        "main (stoa) cannot express policy:cors: no such thing; the API goes there without it"
        in (catalog.diagnostics[0].message)
    )
    assert not catalog.errors
    assert len(catalog.desired["main"].resources) == 3
    assert asked >= {"api", "policy:cors", "hosts", "application", "credential:basic"}


def test_a_path_of_the_gateway_itself_is_an_error_at_that_route_and_only_there(
    write: Callable[..., Path], document: Document
) -> None:
    root = write({
        "gateways/main.yaml": gateway(document, "main"),
        "gateways/other.yaml": gateway(document, "other", kind="kong"),
        path("orders"): api(document, "orders", "routes: [{path: /x}, {path: /own/orders/}]"),
        path("lists"): api(document, "lists", "gateways: [other]\nroutes: [{path: /own}]"),
        path("billing"): api(document, "billing", "routes: [{path: /owner}]"),
    })  # fmt: skip
    reader = Reader(
        unsupported=lambda found, capability: None,
        reserved=lambda found: ("/own/*",) if found.gateway_type == "stoa" else (),
    )
    catalog = reader.read(FolderSource(root).snapshot())
    assert [(d.source.path, d.severity.value, d.code, d.pointer) for d in catalog.diagnostics] == [
        (path("orders"), "error", "route.reserved", "/spec/routes/1/path")
    ]
    assert "/own/orders on main is a path of the gateway itself" in catalog.diagnostics[0].message
    assert {str(key) for key in catalog.desired["main"].resources} == {"api/acme/billing"}
    assert "api/acme/lists" in {str(key) for key in catalog.desired["other"].resources}


def test_an_unchanged_document_is_never_parsed_again(
    write: Callable[..., Path], document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write({path("x"): api(document, "x")})
    source, reader = FolderSource(root), Reader(gateway_types=gateway_types())
    first = reader.read(source.snapshot())
    parsed, evaluated = [], []
    really_read, really_parse = reader_module.parse_file, evaluations.parse_document
    monkeypatch.setattr(
        reader_module,
        "parse_file",
        lambda data, *more: parsed.append(data) or really_read(data, *more),
    )
    monkeypatch.setattr(
        evaluations,
        "parse_document",
        lambda kind, *more: evaluated.append(kind.name) or really_parse(kind, *more),
    )
    assert reader.read(source.snapshot()) == first
    assert (parsed, evaluated) == ([], [])
    (root / path("x")).write_text(api(document, "x", "active: false"))
    second = reader.read(source.snapshot())
    assert (len(parsed), evaluated) == (1, ["API"])
    assert second.desired["main"].resources[Key("api", "acme", "x")].spec.value["active"] is False


def test_a_changed_openapi_document_changes_its_api(write: Callable[..., Path]) -> None:
    root = write(
        {
            "tenants/acme/apis/billing/openapi.yaml": (
                "openapi: 3.0.3\ninfo: {title: x, version: '1'}\npaths: {}\n"
            )
        }
    )
    source, reader = FolderSource(root), Reader(gateway_types=gateway_types())
    one = reader.read(source.snapshot()).desired["main"].resources[Key("api", "acme", "billing")]
    (root / "tenants/acme/apis/billing/openapi.yaml").write_text(
        "openapi: 3.0.3\ninfo: {title: y, version: '1'}\npaths: {}\n"
    )
    two = reader.read(source.snapshot()).desired["main"].resources[Key("api", "acme", "billing")]
    assert one.spec != two.spec


def test_the_same_files_give_the_same_catalog_in_every_order_of_reading(
    catalog_example: Path,
) -> None:
    tree = FolderSource(catalog_example).snapshot()
    backwards = FolderTree(
        dict(reversed(list(tree.files.items()))), {p: tree.read(p) for p in tree.files}, ()
    )
    assert Reader(gateway_types=gateway_types()).read(tree) == Reader(
        gateway_types=gateway_types()
    ).read(backwards)


@pytest.mark.slow
def test_only_the_first_thousand_findings_are_placed_in_full(document: Document) -> None:
    files = {
        f"tenants/t/policies/p{n:04}.yaml": document(
            "Policy", f"p{n}", "type: mock\nconfig: {x: 1}"
        ).encode()
        for n in range(1_100)
    }
    files["tenants/t/tenant.yaml"] = document("Tenant", "t").encode()
    found = Reader(gateway_types=gateway_types()).read(memory(files)).errors
    assert len(found) == 1_100
    assert {d.source.line for d in found[:999]} == {7}  # the first is about the catalog
    assert {(d.source.line, d.excerpt) for d in found[1_000:]} == {(1, "")}
    assert {d.message for d in found} == {"x is not a field of spec.config"}


def test_collecting_garbage_goes_on_after_reading(read: Read) -> None:
    assert gc.isenabled()
    read()
    assert gc.isenabled()


@examples(150)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "catalog.yaml",
                "gateways/main.yaml",
                "environments/dev.yaml",
                "tenants/a/tenant.yaml",
                "tenants/a/apis/x/api.yaml",
                "tenants/a/apis/x/openapi.yaml",
                "tenants/a/policies/p.yaml",
                "tenants/a/applications/p.yaml",
                "tenants/x.yaml",
                "tenants/a/apis/x.yaml",
            ]
        ),
        st.binary(max_size=60)
        | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))
        | st.tuples(
            st.sampled_from(
                [
                    "Catalog",
                    "GatewayInstance",
                    "Environment",
                    "Tenant",
                    "API",
                    "Policy",
                    "Application",
                ]
            ),
            st.sampled_from(
                [
                    "[]",
                    "{}",
                    "x",
                    "1",
                    "null",
                    "{policies: [1, {}, {type: mock, config: 1}]}",
                    "{backend: []}",
                    "{type: mock, config: []}",
                    "{gateways: 1}",
                    "{gateways: [{}]}",
                    "{patches: [1]}",
                    "{environment: [], baseUrl: 1}",
                    "{description: '${'}",
                    "{openapi: 1, description: '${A}'}",
                    "{openapi: ../../../../x}",
                    "{variables: {A: ${A}}}",
                    "{credentials: [1], x: '${A}'}",
                    (
                        "{version: '${A}', backend: '${B}', "
                        "policies: [{type: '${C}', config: '${D}'}]}"
                    ),
                ]
            ),
            st.sampled_from(
                [
                    "{name: x}",
                    "[]",
                    "x",
                    "{name: 1}",
                    "{name: x, annotations: 1, tenant: 2}",
                    "{name: a}",
                ]
            ),
        ).map(lambda parts: DOCUMENT.format(*parts).encode()),
    )
)
def test_nothing_that_stands_in_a_catalog_makes_the_reader_raise(files: dict[str, bytes]) -> None:
    catalog = Reader(gateway_types=gateway_types()).read(memory(files))
    assert all(diagnostic.source.path in files for diagnostic in catalog.diagnostics)
    assert all(
        diagnostic.source.line >= 1 and diagnostic.source.column >= 1
        for diagnostic in catalog.diagnostics
    )


def position(data: bytes, pointer: tuple[str | int, ...], document: int = 0) -> Position:
    root = read_documents(data)[document].root
    assert root is not None
    return find_position(root, pointer)


def test_positions_of_fields_are_found_by_pointer(catalog_example: Path) -> None:
    data = FolderSource(catalog_example).snapshot().read("tenants/demo/apis/newsapi/api.yaml")
    lines = data.decode().splitlines()

    def line(text: str) -> int:
        return next(number for number, found in enumerate(lines, 1) if text in found)

    url = position(data, ("spec", "backend", "url"))
    assert (url.line, url.column) == (line("url:"), 10)
    value = position(data, ("spec", "backend", "auth", "valueRef"))
    assert value.line == line("valueRef:")
    window = position(data, ("spec", "policies", 0, "config", "window"))
    assert window.line == line("window:")


def test_a_default_is_at_the_nearest_key_above_it(catalog_example: Path) -> None:
    data = FolderSource(catalog_example).snapshot().read("tenants/demo/apis/newsapi/api.yaml")
    lines = data.decode().splitlines()
    for pointer, key in (
        (("spec", "backend", "timeout"), "backend:"),
        (("spec", "nothing", "at", "all"), "spec:"),
    ):
        expected = next(number for number, found in enumerate(lines, 1) if key in found)
        assert position(data, pointer).line == expected


def test_a_path_outside_of_the_tree_is_a_key_error(catalog_example: Path) -> None:
    with pytest.raises(KeyError):
        FolderSource(catalog_example).snapshot().read("nowhere.yaml")


def test_a_position_in_a_file_of_several_documents(document: Document) -> None:
    text = (
        document("Policy", "a", "type: mock\nconfig: {status: 1}")
        + "---\n"
        + document("Policy", "b", "type: mock")
    )
    data = text.encode()
    assert position(data, ("spec", "type")).line == 6
    assert position(data, ("spec", "type"), document=1).line == 14


def test_every_route_that_takes_get_is_probed_at_each_of_its_hosts(
    read: Read, document: Document
) -> None:
    routes = (
        "routes: [{path: /b, hosts: [x.example, '*.y.example']}, {path: /a, methods: [GET, POST]},"
        " {path: /c, methods: [POST]}]\nprobe: {path: /health}"
    )
    catalog = read({path("billing"): api(document, "billing", routes)})
    probes = catalog.desired["main"].resources[Key("api", "acme", "billing")].hints.probes
    assert {(probe.host, probe.path) for probe in probes} == {
        ("", "/a/health"), ("x.example", "/b/health"), ("probe.y.example", "/b/health"),
    }  # fmt: skip


def test_policies_that_a_gateway_cannot_express_together_are_a_warning_at_one_of_them(
    write: Callable[..., Path], document: Document
) -> None:
    def combined(_: GatewayInstance) -> CombinedLossFinder:
        def find(api: Spec, policies: Mapping[str, Spec]) -> tuple[Loss, ...]:
            assert api.value["backend"]
            if policies.keys() >= {"cors", "rate_limit"}:
                return (Loss("one or the other", at=("policies", "rate_limit")),)
            return ()

        return find

    cors = "  - {type: cors, config: {origins: ['*']}}\n"
    limit = "  - {type: rate_limit, config: {requests: 5, window: 1m}}\n"
    root = write(
        {
            path("both"): api(document, "both", f"policies:\n{cors}{limit}"),
            path("one"): api(document, "one", f"policies:\n{limit}"),
        }
    )
    reader = Reader(
        unsupported=lambda gateway, name: None, combined=combined, gateway_types=gateway_types()
    )
    (found,) = reader.read(FolderSource(root).snapshot()).diagnostics
    assert (found.source.path, found.code, found.pointer) == (
        path("both"), "gateway.unsupported", "/spec/policies/1",
    )  # fmt: skip
    assert "the API with its policies: one or the other; the API is held back" in found.message

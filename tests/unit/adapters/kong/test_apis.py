"""What an API becomes, and what cannot be one."""

from __future__ import annotations

import re
from typing import Any
from unittest.mock import ANY

import pytest

from stoa_gitops.adapters.kong.entities.entity import Entity, NodeInfo, Options
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible
from stoa_gitops.adapters.kong.mapping.mappers import compile_api, decompile_api
from stoa_gitops.adapters.kong.mapping.routes import canonical_path
from stoa_gitops.adapters.kong.mapping.rules import capabilities_of, losses, project
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.keys import API
from stoa_gitops.model.secret import Secret
from tests.unit.adapters.kong.specs import BILLING, NEW, OWNER, PLUGINS, parts_of

ROUTE = {"path": "/apis/acme/billing", "methods": [], "hosts": [], "stripPath": True}
BACKEND = {"url": "https://billing.internal/v2", "timeout": "30s", "retries": 0}
AUTH = {"in": "header", "name": "X-Api-Key", "value": Secret("k-1")}


def api_of(**fields: Any) -> dict[str, Any]:
    base = {
        "displayName": "B",
        "version": "1",
        "active": True,
        "backend": BACKEND,
        "routes": [ROUTE],
    }
    return {**base, "plans": [], **fields}


def trees(
    sort: str, api: dict[str, Any], node: NodeInfo = NEW, **policies: Any
) -> list[dict[str, Any]]:
    return [e.tree for e in compile_api(parts_of(api, policies), node, OWNER) if e.type == sort]


def test_a_service_has_what_differs_from_kongs_defaults() -> None:
    (service,) = trees("services", api_of())
    assert service.pop("id")
    assert service == {
        "name": "acme.billing", "protocol": "https", "host": "billing.internal", "port": 443,
        "path": "/v2", "connect_timeout": 30000, "read_timeout": 30000, "write_timeout": 30000,
        "retries": 0, "tags": ["stoa-managed-by:default"],
    }  # fmt: skip
    usual = {"url": "http://b.example", "timeout": "1m", "retries": 5}
    (service,) = trees("services", api_of(backend=usual))
    assert service.keys() == {"id", "name", "host", "port", "tags"}


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("HTTPS://Billing.Example:443/", "https://billing.example"),
        ("http://b.example:443/a/", "http://b.example:443/a/"),
        ("https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
        ("builtin:echo", "builtin:echo"),
    ],
)
def test_urls_have_one_spelling(url: str, kept: str) -> None:
    found: Any = project(API, api_of(backend={**BACKEND, "url": url}))
    assert found["backend"]["url"] == kept


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"backend": {**BACKEND, "url": "builtin:echo"}}, "no backend builtin:echo"),
        ({"backend": {**BACKEND, "url": "https://b.example/a?x=1"}}, "neither query nor fragment"),
        ({"backend": {**BACKEND, "url": "https://b.example/a?"}}, "neither query nor fragment"),
        ({"backend": {**BACKEND, "url": "https://u:p@b.example"}}, "carries credentials"),
        ({"backend": {**BACKEND, "url": "https://b.example//a"}}, "without empty segments"),
        ({"backend": {**BACKEND, "url": "https://b.example/ä"}}, "ASCII"),
        ({"backend": {**BACKEND, "url": "http://[b.example"}}, "cannot be read"),
        ({"backend": {**BACKEND, "url": "ftp://b.example"}}, "http and https only"),
        ({"backend": {**BACKEND, "timeout": "9999999h"}}, "the timeout 9999999h"),
        ({"backend": {**BACKEND, "fallback": "https://c.example"}}, "no other backend"),
        ({"backend": {**BACKEND, "auth": {**AUTH, "name": "X.Key"}}}, "header X.Key"),
        ({"backend": {**BACKEND, "auth": {**AUTH, "value": Secret("a$(b)")}}}, "as a template"),
        ({"backend": {**BACKEND, "auth": {**AUTH, "value": Secret("")}}}, "an empty value"),
        ({"backend": {**BACKEND, "auth": {**AUTH, "in": "query", "name": "a/b"}}}, "such a name"),
        (
            {"backend": {**BACKEND, "auth": {**AUTH, "in": "query", "name": "$(b)"}}},
            "as a template",
        ),
        ({"routes": [{**ROUTE, "path": "/a%20b"}]}, "Kong decodes %20"),
        ({"routes": [{**ROUTE, "path": "/a%zz"}]}, "a lone %"),
    ],
)
def test_what_kong_cannot_hold_is_refused(fields: dict[str, Any], words: str) -> None:
    assert [one for one in losses(API, api_of(**fields), None) if words in one.message]
    with pytest.raises(Inexpressible, match=re.escape(words)):
        compile_api(parts_of(api_of(**fields), {}), NEW, OWNER)


def test_a_value_that_is_refused_is_not_in_the_message() -> None:
    backend = {**BACKEND, "auth": {**AUTH, "value": Secret("hush$(b)")}}
    with pytest.raises(Inexpressible) as caught:
        compile_api(parts_of(api_of(backend=backend), {}), NEW, OWNER)
    assert "hush" not in str(caught.value)


def test_a_credential_that_leads_nowhere_is_no_loss_but_unresolved() -> None:
    backend = {**BACKEND, "auth": {**AUTH, "value": None}}
    assert losses(API, api_of(backend=backend), None) == ()
    with pytest.raises(SecretUnresolved, match="header X-Api-Key"):
        compile_api(parts_of(api_of(backend=backend), {}), NEW, OWNER)


@pytest.mark.parametrize(
    ("path", "written", "priority"),
    [
        ("/", "/", None),
        ("/apis/a", "~/apis/a(?:/|$)", 2),
        ("/v1.0/a+(b)$", r"~/v1\.0/a\+\(b\)\$(?:/|$)", 2),
        ("/a%2fb%7E", "~/a%2Fb~(?:/|$)", 1),
    ],
)
def test_a_path_ends_where_a_segment_ends(path: str, written: str, priority: int | None) -> None:
    (route,) = trees("routes", api_of(routes=[{**ROUTE, "path": path}]))
    assert (route["paths"], route.get("regex_priority")) == ([written], priority)


ROOMY = NodeInfo((3, 9, 1), PLUGINS, options=Options(paths="parameters"))


@pytest.mark.parametrize(
    ("path", "written", "priority"),
    [
        ("/", "/", None),
        ("/apis/a", "~/apis/a(?:/|$)", 6),
        ("/orders/{orderId}/items", "~/orders/(?P<orderId>[^/]+)/items(?:/|$)", 12),
        ("/{a}/v1.0/{b_2}", r"~/(?P<a>[^/]+)/v1\.0/(?P<b_2>[^/]+)(?:/|$)", 9),
    ],
)
def test_a_parameter_is_a_group_that_takes_one_segment(
    path: str, written: str, priority: int | None
) -> None:
    (route,) = trees("routes", api_of(routes=[{**ROUTE, "path": path}]), ROOMY)
    assert (route["paths"], route.get("regex_priority")) == ([written], priority)
    assert canonical_path(written) == path


@pytest.mark.parametrize(
    "expression",
    [
        "~/a/[^/]+(?:/|$)", "~/a/(?P<x>[^/]+)$", "~/a/(?P<x>[^/]*)(?:/|$)", "~/a/(?<x>\\d+)(?:/|$)",
        "~/a/v(?P<x>[^/]+)(?:/|$)", "~/(?P<x>[^/]+)/(?P<x>[^/]+)(?:/|$)", "~/a/([^/]+)(?:/|$)",
        "~" + "".join(f"/(?P<x{n}>[^/]+)" for n in range(5)) + "(?:/|$)", "~/a/{x}(?:/|$)",
    ],
)  # fmt: skip
def test_other_groups_are_no_parameters(expression: str) -> None:
    assert canonical_path(expression) is None


def test_the_other_spelling_of_a_group_is_the_same() -> None:
    assert canonical_path("~/a/(?<x>[^/]+)/c(?:/|$)") == "/a/{x}/c"


def test_what_was_written_with_parameters_is_read_back_as_it_was() -> None:
    paths = ("/orders/new/items", "/orders/{orderId}/items", "/{shop}/v1.0/{b_2}")
    routes = [{"path": p, "methods": [], "hosts": [], "stripPath": True} for p in paths]
    entities = compile_api(parts_of(api_of(routes=routes), {}), ROOMY, OWNER)
    parts, left = decompile_api(entities, ROOMY, OWNER, BILLING)
    assert parts.api is not None
    assert (parts.api["routes"], left) == (routes, {})
    # Other options number otherwise, and so do nodes that were written before: that is drift.
    _, left = decompile_api(entities, NEW, OWNER, BILLING)
    assert left == {"api": {f"routes.{n}.regex_priority": ANY for n in range(3)}}


@pytest.mark.parametrize("options", [Options(), Options(paths="prefix")])
def test_without_room_for_parameters_such_an_api_is_held_back(options: Options) -> None:
    found = capabilities_of(NodeInfo((3, 9, 1), PLUGINS, options=options))["path_parameters"]
    assert not found.supported
    assert "options.paths: parameters" in found.reason
    assert capabilities_of(ROOMY)["path_parameters"].supported


@pytest.mark.parametrize(
    ("request_path", "is_taken"),
    [("/apis/a.b", True), ("/apis/a.b/", True), ("/apis/a.b/c", True),
     ("/apis/a.bc", False), ("/apis/axb", False), ("/x/apis/a.b", False)],
)  # fmt: skip
def test_the_expression_takes_whole_segments(request_path: str, is_taken: bool) -> None:
    (route,) = trees("routes", api_of(routes=[{**ROUTE, "path": "/apis/a.b"}]))
    assert bool(re.match(route["paths"][0].removeprefix("~"), request_path)) is is_taken


def test_prefixes_are_written_where_the_options_ask_for_them() -> None:
    node = NodeInfo((3, 9, 1), PLUGINS, options=Options(paths="prefix"))
    (route,) = trees("routes", api_of(), node)
    assert route["paths"] == ["/apis/acme/billing"]
    assert "regex_priority" not in route


def test_an_inactive_api_is_closed_on_each_route() -> None:
    both = [ROUTE, {**ROUTE, "path": "/b", "methods": ["GET"]}]
    api = api_of(active=False, routes=both)
    routes = trees("routes", api)
    closed = trees("plugins", api)
    assert [tree["route"]["id"] for tree in closed] == [route["id"] for route in routes]
    assert {tree["name"] for tree in closed} == {"request-termination"}
    assert all("service" not in tree for tree in closed)


def test_a_backends_credential_replaces_what_a_client_sends() -> None:
    (plugin,) = trees("plugins", api_of(backend={**BACKEND, "auth": AUTH}))
    assert plugin["config"] == {
        "add": {"headers": ["X-Api-Key:k-1"]}, "replace": {"headers": ["X-Api-Key:k-1"]},
    }  # fmt: skip
    assert re.fullmatch(r"stoa-auth:header:X-Api-Key:[0-9a-f]{16}", plugin["tags"][1])
    query = {**AUTH, "in": "query", "name": "apikey"}
    (plugin,) = trees("plugins", api_of(backend={**BACKEND, "auth": query}))
    assert plugin["config"]["replace"] == {"querystring": ["apikey:k-1"]}


def test_headers_may_not_touch_the_header_of_the_credential() -> None:
    headers = {"request": {"set": {"x-api-key": "mine"}, "add": {}, "remove": []}}
    parts = parts_of(api_of(backend={**BACKEND, "auth": AUTH}), {"headers": headers})
    with pytest.raises(Inexpressible, match="carries the backend's credential"):
        compile_api(parts, NEW, OWNER)


def test_plans_are_kept_in_tags_and_let_their_groups_in() -> None:
    plans = [{"name": "gold", "perSecond": 10, "perMonth": 7}, {"name": "open"}]
    api = api_of(plans=plans)
    (service,) = trees("services", api)
    assert service["tags"][1:] == ["stoa-plan:gold second=10 month=7", "stoa-plan:open"]
    (acl,) = trees("plugins", api)
    assert acl["config"]["allow"] == ["acme.billing.gold", "acme.billing.open"]


def test_a_plans_burst_is_a_partial_loss() -> None:
    (loss,) = losses(API, api_of(plans=[{"name": "gold", "burst": 3}]), None)
    assert loss.is_partial
    assert "burst of the plan gold" in loss.message


def test_plans_with_limits_beside_a_limit_by_address_are_refused() -> None:
    rate = {"requests": 1, "window": "1s", "by": "ip"}
    plans = [{"name": "gold", "perSecond": 10}]
    with pytest.raises(Inexpressible, match="the plan's alone would count"):
        compile_api(parts_of(api_of(plans=plans), {"rate_limit": rate}), NEW, OWNER)
    assert compile_api(parts_of(api_of(plans=[{"name": "gold"}]), {"rate_limit": rate}), NEW, OWNER)


def test_a_retry_sets_the_services_retries_and_keeps_the_apis_own() -> None:
    retry = {"attempts": 3, "on": ["connect", "timeout"], "backoff": "100ms"}
    (service,) = trees("services", api_of(), retry=retry)
    assert service["retries"] == 2
    tag = "stoa-retry:3 on=connect+timeout backoff=100ms retries=0"
    assert service["tags"][1:] == [tag]


def test_a_circuit_breaker_stands_between_service_and_backend() -> None:
    breaker = {"failures": 5, "window": "30s", "reset": "1500ms"}
    (service,) = trees("services", api_of(), circuit_breaker=breaker)
    (upstream,) = trees("upstreams", api_of(), circuit_breaker=breaker)
    (target,) = trees("targets", api_of(), circuit_breaker=breaker)
    assert service["host"] == upstream["name"] == "acme.billing.upstream"
    assert target["target"] == "billing.internal:443"
    assert target["upstream"] == {"id": upstream["id"]}
    active, passive = (upstream["healthchecks"][name] for name in ("active", "passive"))
    assert passive["unhealthy"] == {
        "http_failures": 5, "tcp_failures": 5, "timeouts": 5,
        "http_statuses": [500, 502, 503, 504],
    }  # fmt: skip
    # One good answer closes it; Kong's HTTP side never runs checks of type tcp.
    assert active["healthy"]["successes"] == 1
    assert {200, 204, 301, 401, 404, 429} <= set(active["healthy"]["http_statuses"])
    assert max(active["healthy"]["http_statuses"]) < 500
    assert active["unhealthy"] == {"interval": 1.5}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://b.internal", {}),
        (
            "https://b.internal",
            {"type": "https", "https_verify_certificate": False, "https_sni": "b.internal"},
        ),
    ],
)
def test_a_probe_speaks_tls_where_the_backend_does(url: str, expected: dict[str, Any]) -> None:
    backend = {"url": url, "timeout": "30s", "retries": 0}
    breaker = {"failures": 5, "window": "30s", "reset": "1s"}
    (upstream,) = trees("upstreams", api_of(backend=backend), circuit_breaker=breaker)
    active = upstream["healthchecks"]["active"]
    assert {name: active[name] for name in active if "https" in name or name == "type"} == expected


def test_routes_with_methods_take_preflights_where_a_cors_policy_answers_them() -> None:
    routes = [
        {"path": "/a", "methods": ["GET"], "hosts": [], "stripPath": True},
        {"path": "/b", "methods": ["GET", "OPTIONS"], "hosts": [], "stripPath": True},
        {"path": "/c", "methods": [], "hosts": [], "stripPath": True},
    ]
    api, cors = api_of(routes=routes), {"origins": ["*"], "credentials": False}
    found = trees("routes", api, cors=cors)
    assert [route.get("methods") for route in found] == [
        ["GET", "OPTIONS"], ["GET", "OPTIONS"], None,
    ]  # fmt: skip
    assert [route["methods"] for route in trees("routes", api)[:2]] == [["GET"], ["GET", "OPTIONS"]]
    parts, left = decompile_api(
        compile_api(parts_of(api, {"cors": cors}), NEW, OWNER), NEW, OWNER, BILLING
    )
    assert parts.api is not None
    assert (parts.api["routes"], left) == (routes, {})


def test_a_preflight_that_somebody_took_from_a_route_is_drift() -> None:
    routes = [{"path": "/a", "methods": ["GET"], "hosts": [], "stripPath": True}]
    cors = {"origins": ["*"], "credentials": False}
    entities = list(compile_api(parts_of(api_of(routes=routes), {"cors": cors}), NEW, OWNER))
    at = next(index for index, one in enumerate(entities) if one.type == "routes")
    entities[at] = Entity.of("routes", {**entities[at].tree, "methods": ["GET"]})
    _, left = decompile_api(entities, NEW, OWNER, BILLING)
    assert left == {"api": {"routes.0.methods": ["GET"]}}

"""What others wrote, by hand or with other tools, read as APIs and applications."""

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.adapters.kong.entities.entity import ApiParts, Entity, NodeInfo, Options
from stoa_gitops.adapters.kong.mapping.mappers import (
    UnmappedFields,
    api_items,
    application_item,
    decompile_api,
    decompile_application,
    object_key,
)
from stoa_gitops.model.keys import API, APPLICATION, Key
from tests.unit.adapters.kong.readback import read_back
from tests.unit.adapters.kong.specs import NEW, OWNER, PLUGINS

SERVICE = {
    "id": "0b9c0c5c-0000-4000-8000-000000000001",
    "name": "Orders API",
    "host": "o.example",
    "port": 80,
}
HERE = {"id": SERVICE["id"]}
KEY = Key(API, "default", "orders-api")
CONSUMER = {"id": "0b9c0c5c-0000-4000-8000-000000000002", "username": "mobile"}
THERE = {"id": CONSUMER["id"]}
MOBILE = Key(APPLICATION, "default", "mobile")


def read(
    *trees: tuple[str, dict[str, Any]], node: NodeInfo = NEW
) -> tuple[ApiParts, UnmappedFields]:
    sent = [("services", SERVICE), *trees]
    full = [
        read_back(Entity.of(sort, {"id": f"id-{n}", **t}), NEW) for n, (sort, t) in enumerate(sent)
    ]
    entities = [Entity.of(sort, tree) for (sort, _), tree in zip(sent, full, strict=True)]
    return decompile_api(entities, node, OWNER, KEY)


def plugin(name: str, config: dict[str, Any], **fields: Any) -> tuple[str, dict[str, Any]]:
    return "plugins", {"name": name, "service": HERE, "config": config, **fields}


def route(**fields: Any) -> tuple[str, dict[str, Any]]:
    return "routes", {"name": "r", "service": HERE, **fields}


def api_in(parts: ApiParts) -> Any:
    return parts.api


def test_a_service_with_kongs_defaults_is_an_api() -> None:
    parts, left = read()
    assert api_in(parts) == {
        "active": True, "backend": {"url": "http://o.example", "timeout": "1m", "retries": 5},
        "routes": [], "plans": [],
    }  # fmt: skip
    assert parts.service_id == SERVICE["id"]
    assert left == {}


def test_a_service_that_is_switched_off_is_an_api_that_is_not_active() -> None:
    off = {**SERVICE, "enabled": False}
    trees = [("services", off), ("routes", {"id": "r", "paths": ["/"], "service": HERE})]
    entities = [Entity.of(sort, read_back(Entity.of(sort, tree), NEW)) for sort, tree in trees]
    parts, left = decompile_api(entities, NEW, OWNER, KEY)
    assert api_in(parts)["active"] is False
    assert left["api"]["service.enabled"] is False


def test_a_plugin_that_is_switched_off_stands_for_no_policy() -> None:
    parts, left = read(plugin("cors", {"origins": ["*"]}, enabled=False))
    assert parts.policies == {}
    assert left == {"api": {"plugins.cors.id-1": "switched off"}}


def test_each_path_of_a_route_is_a_route() -> None:
    parts, left = read(
        route(paths=["/b/", "/a"], methods=["POST", "GET"], hosts=["B.example", "a.example"])
    )
    rest = {"methods": ["GET", "POST"], "hosts": ["a.example", "b.example"], "stripPath": True}
    assert api_in(parts)["routes"] == [{"path": "/a", **rest}, {"path": "/b", **rest}]
    assert left == {"api": {"paths": "prefix"}}


def test_a_prefix_is_no_news_where_the_options_write_prefixes() -> None:
    node = NodeInfo((3, 9, 1), PLUGINS, options=Options(paths="prefix"))
    assert read(route(paths=["/a"]), node=node)[1] == {}


def test_a_route_by_host_alone_takes_every_path() -> None:
    parts, left = read(route(hosts=["a.example"]))
    assert api_in(parts)["routes"][0]["path"] == "/"
    assert left == {}


def test_an_expression_of_others_is_named_and_not_guessed() -> None:
    parts, left = read(route(paths=["~/orders/\\d+$"], name="by-number"))
    assert api_in(parts)["routes"] == []
    assert left == {"api": {"routes.by-number.paths": ["~/orders/\\d+$"]}}


def test_fields_without_a_place_in_the_catalog_are_left() -> None:
    _, left = read(
        route(paths=["/"], preserve_host=True),
        plugin("rate-limiting", {"year": 5, "minute": 2, "limit_by": "credential"}),
    )
    assert left == {
        "api": {"routes.0.preserve_host": True},
        "rate_limit": {"config.year": 5, "config.limit_by": "credential"},
    }


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Env": ["Blue", "azure"], "x-v": ["2"]},
         [{"name": "x-env", "values": ["azure", "blue"]}, {"name": "x-v", "values": ["2"]}]),
        ({"x": ["1", "~*^a"]}, None),
        ({"X-A": ["1"], "x-a": ["2"]}, None),
        ({"X_A": ["1"]}, [{"name": "x-a", "values": ["1"]}]),
        ({"x-a": ["1"], "x_a": ["2"]}, None),
        ({"x": []}, None),
        ({"x": ["ä"]}, None),
        ({"x": "1"}, None),
    ],
)  # fmt: skip
def test_headers_of_others_are_read_where_a_document_can_say_them(
    headers: dict[str, Any], expected: Any
) -> None:
    """A route whose headers cannot be said is left out: without them it would take everybody."""
    parts, left = read(route(paths=["/"], name="some", headers=headers))
    assert [one["headers"] for one in api_in(parts)["routes"]] == ([expected] if expected else [])
    assert left == ({} if expected else {"api": {"routes.some.headers": "another value"}})


@pytest.mark.parametrize(
    ("name", "config", "policy_type", "expected"),
    [
        ("rate-limiting", {"hour": 9}, "rate_limit", {"requests": 9, "window": "1h",
        "by": "consumer"}),
        ("rate-limiting", {"month": 9}, "quota", {"requests": 9, "period": "month",
        "by": "consumer"}),
        ("rate-limiting", {"day": 9, "limit_by": "header", "header_name": "X-A"}, "rate_limit",
         {"requests": 9, "window": "24h", "by": "header:X-A"}),
        ("key-auth", {"key_names": ["k"], "key_in_query": False}, "api_key",
         {"in": "header", "name": "k", "hide": False}),
        ("request-size-limiting", {"allowed_payload_size": 8}, "request_size", {"max": "8MiB"}),
        ("ip-restriction", {"deny": ["192.0.2.1"]}, "ip_filter", {"allow": [],
        "deny": ["192.0.2.1"]}),
        ("cors", {}, "cors", {"origins": ["*"], "credentials": False}),
        ("response-transformer", {"remove": {"headers": ["Server"]}}, "headers",
         {"response": {"set": {}, "add": {}, "remove": ["Server"]}}),
        ("http-log", {"http_endpoint": "https://l.example/in"}, "logging",
         {"sinks": ["https://l.example/in"], "payloads": False, "redact": []}),
        ("request-termination", {"status_code": 204, "body": "{}",
        "content_type": "application/json"},
         "mock", {"status": 204, "headers": {"Content-Type": "application/json"}, "body": "{}"}),
    ],
)  # fmt: skip
def test_plugins_of_others_are_policies(
    name: str, config: dict[str, Any], policy_type: str, expected: dict[str, Any]
) -> None:
    parts, left = read(plugin(name, config))
    assert dict(parts.policies) == {policy_type: expected}
    assert left.get(policy_type, {}) == {}


def test_two_windows_without_words_are_a_rate_limit_and_a_quota() -> None:
    parts, left = read(plugin("rate-limiting", {"second": 1, "minute": 30, "day": 900}))
    assert {name: config["requests"] for name, config in parts.policies.items()} == {
        "rate_limit": 1, "quota": 900,
    }  # fmt: skip
    assert left == {"rate_limit": {"config.minute": 30}}


def test_a_plugin_that_is_no_policy_is_named() -> None:
    parts, left = read(plugin("acl", {"deny": ["x"]}), plugin("rate-limiting", {"year": 3}))
    assert parts.policies == {}
    assert left == {"api": {"plugins.acl": "present", "plugins.rate-limiting": "present"}}


def test_credentials_in_what_others_wrote_are_not_shown() -> None:
    headers = ["Authorization:Basic s3cr3t", "X-Plain:1"]
    parts, left = read(
        plugin(
            "request-transformer", {"add": {"headers": headers}, "replace": {"headers": headers}}
        ),
        plugin("http-log", {"http_endpoint": "https://u:s3cr3t@l.example/in?token=s3cr3t"}),
    )
    assert parts.policies["headers"]["request"]["set"] == {"X-Plain": "1"}
    assert parts.policies["logging"]["sinks"] == ["https://l.example/in"]
    assert left["headers"] == {"config.add": "another value", "config.replace": "another value"}
    assert left["logging"] == {"config.http_endpoint": "another value"}
    assert "s3cr3t" not in str(api_items(parts, left, managed=False))


def test_a_service_that_we_could_not_write_is_still_listed() -> None:
    tcp = {**SERVICE, "protocol": "tcp", "host": "bad host"}
    parts, left = decompile_api([Entity.of("services", tcp)], NEW, OWNER, KEY)
    (item,) = api_items(parts, left, managed=False)
    assert item["spec"]["backend"]["url"] == "tcp://bad host:80"
    assert item["managed"] is False


def test_an_upstream_of_others_is_named_and_its_name_the_host() -> None:
    upstream = {"id": "u", "name": "o.example"}
    target = {"upstream": {"id": "u"}, "target": "10.0.0.1:80"}
    parts, left = read(("upstreams", upstream), ("targets", target))
    assert api_in(parts)["backend"]["url"] == "http://o.example"
    assert left == {"api": {"upstream": "present", "targets.10.0.0.1:80": "present"}}


NO_PUBLIC_KEY = (
    "the key of a jwt credential is no public key in PEM; Kong would take it as a secret with "
    "which whoever reads it makes tokens"
)


def test_a_consumer_of_others_is_an_application() -> None:
    entities = [
        Entity.of(sort, read_back(Entity.of(sort, tree), NEW))
        for sort, tree in (
            ("consumers", {**CONSUMER, "custom_id": "c-1"}),
            ("keyauth_credentials", {"id": "k", "consumer": THERE, "key": "s3cr3t", "ttl": 60}),
            ("jwt_secrets", {"id": "j", "consumer": THERE, "key": "iss", "secret": "s3cr3t"}),
            ("acls", {"id": "a", "consumer": THERE, "group": "acme.billing.gold"}),
            ("acls", {"id": "b", "consumer": THERE, "group": "admins"}),
        )
    ]
    parts, left = decompile_application(entities, NEW, OWNER, MOBILE)
    item = application_item(parts, left, managed=False)
    assert [one["type"] for one in item["spec"]["credentials"]] == ["jwt", "api_key"]
    assert item["spec"]["subscriptions"] == [{"api": "acme/billing", "plan": "gold"}]
    assert item["spec"]["kong"] == {
        "consumer.custom_id": "c-1", "credentials.1.ttl": 60, "groups.default": "missing",
        "groups.admins": "present", "credentials.0.key": NO_PUBLIC_KEY,
    }  # fmt: skip
    assert "s3cr3t" not in str(item)


@pytest.mark.parametrize(
    ("sort", "tree", "expected"),
    [
        ("services", {"name": "acme.billing"}, "api/acme/billing"),
        ("services", {"name": "acme.billing.v2"}, "api/default/acme-billing-v2"),
        ("services", {"name": "Orders__API ", "tags": ["tenant:shop"]}, "api/shop/orders-api"),
        ("services", {"name": "orders", "tags": ["tenant:Not A Name"]}, "api/default/orders"),
        ("services", {"name": None, "id": "AB-1"}, "api/default/ab-1"),
        ("services", {"name": "x" * 70}, f"api/default/{'x' * 63}"),
        ("services", {"name": "ünï"}, "api/default/n"),
        ("services", {"name": "!"}, "api/default/unnamed"),
        ("services", {"name": "-a.b"}, "api/default/a-b"),
        ("consumers", {"username": "acme.mobile"}, "application/acme/mobile"),
        ("consumers", {"username": None, "custom_id": "M 1"}, "application/default/m-1"),
    ],
)
def test_foreign_names_become_keys(sort: str, tree: dict[str, Any], expected: str) -> None:
    assert str(object_key(sort, {"id": "i", **tree}, Options())) == expected

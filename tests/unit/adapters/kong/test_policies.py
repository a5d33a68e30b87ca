"""One policy type at a time: what is written, and what Kong does not do of it."""

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.adapters.kong.entities.entity import ApiParts, NodeInfo, Options
from stoa_gitops.adapters.kong.mapping.losses import Inexpressible
from stoa_gitops.adapters.kong.mapping.mappers import compile_api, plugins_of
from stoa_gitops.adapters.kong.mapping.rules import losses, project
from stoa_gitops.model.keys import POLICY
from tests.unit.adapters.kong.specs import NEW, OLD, OWNER, PLUGINS, parts_of

RATE = {"requests": 100, "window": "1m", "by": "consumer"}
QUOTA = {"requests": 50, "period": "hour", "by": "consumer"}
MOCK = {"status": 200, "headers": {}, "body": "{}"}
CORS = {"origins": ["*"], "credentials": False}
LOGGING = {"sinks": ["stdout"], "payloads": False, "redact": []}
CACHING = {"ttl": "1m", "methods": ["GET"], "statuses": [200], "varyHeaders": [], "varyQuery": []}
EDITS = {"set": {}, "add": {}, "remove": []}
BREAKER = {"failures": 5, "window": "30s", "reset": "10s"}
RETRY = {"attempts": 3, "on": ["connect", "timeout"], "backoff": "100ms"}
JWT = {
    "issuer": "https://id.example", "audiences": [], "requiredClaims": {}, "forwardClaims": {},
    "clockSkew": "30s",
}  # fmt: skip


def spec_of(policy_type: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"api": "billing", "type": policy_type, "priority": 100, "config": config}


def plugins(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    trees = [e.tree for e in compile_api(parts_of(None, found), NEW, OWNER) if e.type == "plugins"]
    return {tree["name"]: tree for tree in trees}


@pytest.mark.parametrize(
    ("policy_type", "config", "words", "is_partial"),
    [
        ("rate_limit", {**RATE, "window": "30s"}, "30s: Kong counts per second", False),
        ("rate_limit", {**RATE, "window": "5m"}, "5m: Kong counts per second", False),
        ("rate_limit", {**RATE, "by": "tenant"}, "counting by tenant", False),
        ("rate_limit", {**RATE, "by": "header:X.Key"}, "counting by the header X.Key", False),
        ("rate_limit", {**RATE, "burst": 7}, "burst", True),
        ("rate_limit", {**RATE, "algorithm": "sliding_window"}, "fixed windows", True),
        ("quota", {**QUOTA, "period": "week"}, "week: Kong counts per second", False),
        ("cors", {**CORS, "maxAge": "500ms"}, "a maxAge of 500ms", False),
        ("cors", {**CORS, "origins": ["https://*.example"]}, "a regular expression", False),
        ("cors", {**CORS, "origins": ["*", "https://a.example"]}, "* beside others", False),
        ("cors", {**CORS, "credentials": True}, "every site act as the user", False),
        ("cors", {**CORS, "methods": ["GET", "QUERY"]}, "the methods QUERY", False),
        ("cors", {**CORS, "methods": ["PROPFIND"]}, "the methods PROPFIND", False),
        ("cors", {**CORS, "maxAge": "999999999999d"}, "Kong counts to", False),
        ("request_size", {"max": "100000GB"}, "Kong counts to", False),
        ("cors", {**CORS, "headers": []}, "Kong allows every header", True),
        ("api_key", {"in": "header", "name": "X.Key", "hide": True}, "the header X.Key", False),
        ("jwt", JWT, "compares neither issuer, audiences nor requiredClaims", True),
        ("jwt", JWT, "refuses a token that lacks one of them", True),
        ("jwt", {**JWT, "audiences": ["a"]}, "that leaves out audiences", True),
        ("ip_filter", {"allow": [], "deny": []}, "names no address", False),
        ("ip_filter", {"allow": ["10.0"], "deny": []}, "10.0 is no address", False),
        ("headers", {"request": EDITS}, "edits nothing", False),
        ("headers", {"request": {**EDITS, "set": {"A": ""}}}, "an empty value", False),
        ("headers", {"request": {**EDITS, "set": {"A": "$(b)"}}}, "a template", False),
        ("headers", {"request": {**EDITS, "add": {"A": ":b"}}}, "drop the colon", False),
        ("headers", {"response": {**EDITS, "set": {"A": "b\nc"}}}, "control characters", False),
        ("headers", {"response": {**EDITS, "set": {"Content-Length": "0"}}}, "breaks", False),
        ("headers", {"request": {**EDITS, "remove": ["transfer-encoding"]}}, "breaks", False),
        ("headers", {"response": {**EDITS, "add": {"X_Under": "1"}}}, "sends X-Under", True),
        ("headers", {"request": {**EDITS, "add": {"A": "\ud800"}}}, "surrogate", False),
        ("headers", {"response": {**EDITS, "remove": ["A.b"]}}, "the header A.b", False),
        ("caching", {**CACHING, "ttl": "1500ms"}, "a ttl of 1500ms", False),
        ("caching", CACHING, "as long as its Cache-Control or Expires says", True),
        ("caching", {**CACHING, "ttl": "999999999999d"}, "Kong counts to", False),
        ("caching", {**CACHING, "varyQuery": [""]}, "without a name in varyQuery", False),
        ("caching", {**CACHING, "varyQuery": ["\0"]}, "U+0000", False),
        ("caching", {**CACHING, "ttl": "0s"}, "a ttl of 0s", False),
        ("caching", {**CACHING, "methods": ["DELETE"]}, "methods DELETE", False),
        ("caching", {**CACHING, "methods": []}, "methods none", False),
        ("caching", {**CACHING, "statuses": []}, "no status", False),
        ("logging", {**LOGGING, "sinks": []}, "no sink", False),
        ("logging", {**LOGGING, "sinks": ["kafka://a"]}, "the sink kafka://a", False),
        ("logging", {**LOGGING, "sinks": ["file:a.log"]}, "the sink file:a.log", False),
        ("logging", {**LOGGING, "sinks": ["/a.log", "stdout"]}, "more than one sink", False),
        ("logging", {**LOGGING, "sinks": ["/a\0b"]}, "a sink: Kong cannot hold U+0000", False),
        ("logging", {**LOGGING, "payloads": True}, "payloads", True),
        ("logging", {**LOGGING, "redact": ["pan"]}, "redact", True),
        ("mock", {**MOCK, "headers": {"X-A": "b"}}, "the headers X-A", True),
        ("mock", {**MOCK, "status": 101}, "the status 101", False),
        ("mock", {**MOCK, "body": "a\0"}, "the body: Kong cannot hold U+0000", False),
        ("mock", {**MOCK, "headers": {"Content-Type": "a\nb"}}, "control characters", False),
        ("mock", {**MOCK, "body": ""}, "an empty body", True),
        ("retry", {**RETRY, "on": ["5xx"]}, "retry on 5xx", True),
        ("retry", {**RETRY, "backoff": "1s"}, "a backoff of 1s", True),
        ("circuit_breaker", BREAKER, "the window of 30s", True),
        ("circuit_breaker", {**BREAKER, "failures": 255}, "255 failures", False),
        ("circuit_breaker", {**BREAKER, "reset": "0s"}, "a reset after 0s", False),
        ("circuit_breaker", {**BREAKER, "reset": "24h"}, "a reset after 24h", False),
        ("unheard_of", {}, "policies of type unheard_of", False),
    ],
)
def test_what_gets_lost_is_said(
    policy_type: str, config: dict[str, Any], words: str, is_partial: bool
) -> None:
    found = losses(POLICY, spec_of(policy_type, config), None)
    assert [one.is_partial for one in found if words in one.message] == [is_partial]


@pytest.mark.parametrize(
    ("policy_type", "config"),
    [
        ("rate_limit", RATE), ("quota", QUOTA), ("cors", CORS), ("logging", LOGGING), ("mock",
        MOCK),
        ("retry", RETRY), ("headers", {"request": {**EDITS,
        "remove": ["A"]}}),
        ("headers", {"response": {**EDITS, "set": {"A": "$(b)"}}}),
        ("ip_filter", {"allow": [], "deny": ["10.0.0.1/8"]}), ("request_size", {"max": "1MB"}),
    ],
)  # fmt: skip
def test_what_kong_does_has_no_loss(policy_type: str, config: dict[str, Any]) -> None:
    assert losses(POLICY, spec_of(policy_type, config), None) == ()


@pytest.mark.parametrize(("node", "count"), [(OLD, 1), (NEW, 0)])
def test_an_old_kong_does_not_measure_chunked_bodies(node: NodeInfo, count: int) -> None:
    found = losses(POLICY, spec_of("request_size", {"max": "1MB"}), node)
    assert [one.is_partial for one in found] == [True] * count
    assert all("chunked" in one.message for one in found)


def test_a_cache_heeds_what_the_backend_says_and_tells_encodings_apart() -> None:
    config = plugins({"caching": {**CACHING, "varyHeaders": ["Accept", "accept-encoding"]}})[
        "proxy-cache"
    ]["config"]
    assert config["cache_control"] is True
    assert config["vary_headers"] == ["Accept", "Accept-Encoding"]


def test_a_whole_loss_is_refused_and_a_partial_one_written() -> None:
    with pytest.raises(Inexpressible, match="30s: Kong counts"):
        compile_api(parts_of(None, {"rate_limit": {**RATE, "window": "30s"}}), NEW, OWNER)
    assert "jwt" in plugins({"jwt": JWT})


@pytest.mark.parametrize(("option", "claims"), [("required", ["exp", "nbf"]), ("ignored", ["exp"])])
def test_tokens_without_nbf_are_taken_where_the_gateway_says_so(
    option: str, claims: list[str]
) -> None:
    node = NodeInfo((3, 9, 1), PLUGINS, options=Options(jwt_not_before=option))
    (plugin,) = [
        entity.tree["config"]
        for entity in compile_api(parts_of(None, {"jwt": JWT}), node, OWNER)
        if entity.tree.get("name") == "jwt"
    ]
    assert plugin["claims_to_verify"] == claims


@pytest.mark.parametrize(
    ("policy_type", "config", "held"),
    [
        ("rate_limit", {**RATE, "burst": 7}, RATE),
        ("rate_limit", {**RATE, "algorithm": "token_bucket"}, RATE),
        ("jwt", JWT, {}),
        ("headers", {"request": EDITS, "response": {**EDITS, "remove": ["A"]}},
         {"response": {**EDITS, "remove": ["A"]}}),
        ("logging", {"sinks": ["file:/a.log"], "payloads": True, "redact": ["b"]},
         {"sinks": ["/a.log"], "payloads": False, "redact": []}),
        ("logging", {**LOGGING, "sinks": ["/dev/stderr"]}, {**LOGGING, "sinks": ["stderr"]}),
        ("mock", {**MOCK, "headers": {"content-type": "text/html", "X-A": "b"}},
         {**MOCK, "headers": {"Content-Type": "text/html"}}),
        ("mock", {**MOCK, "headers": {"Content-Type": "text/plain; charset=utf-8"}}, MOCK),
        ("mock", {**MOCK, "headers": {"Content-Type": "text/html"}, "body": ""}, {**MOCK,
        "body": ""}),
    ],
)  # fmt: skip
def test_the_projection_leaves_out_what_does_not_come_back(
    policy_type: str, config: dict[str, Any], held: dict[str, Any]
) -> None:
    expected = {"api": "billing", "type": policy_type, "config": held, "kong": None}
    assert project(POLICY, spec_of(policy_type, config)) == expected


def test_rate_limit_and_quota_share_a_plugin_that_says_who_asked_for_what() -> None:
    tree = plugins({"rate_limit": RATE, "quota": {**QUOTA, "requests": 5000}})["rate-limiting"]
    assert tree["config"] == {"minute": 100, "hour": 5000}
    assert tree["tags"][1:] == ["stoa-part:rate_limit minute=100", "stoa-part:quota hour=5000"]


def test_a_shorter_window_that_could_never_bind_is_lowered() -> None:
    tree = plugins({"rate_limit": RATE, "quota": QUOTA})["rate-limiting"]
    assert tree["config"] == {"minute": 50, "hour": 50}
    assert "stoa-part:rate_limit minute=100" in tree["tags"]


@pytest.mark.parametrize(
    ("quota", "words"),
    [
        ({**QUOTA, "by": "ip"}, "different things"),
        ({**QUOTA, "period": "day"}, "both count per day"),
    ],
)
def test_limits_that_do_not_fit_together_are_refused(quota: dict[str, Any], words: str) -> None:
    found = {"rate_limit": {**RATE, "window": "24h"}, "quota": quota}
    with pytest.raises(Inexpressible, match=words):
        compile_api(parts_of(None, found), NEW, OWNER)


def test_an_api_key_makes_a_group_necessary() -> None:
    found = plugins({"api_key": {"in": "query", "name": "key", "hide": True}})
    assert found["key-auth"]["config"] == {
        "key_names": ["key"], "key_in_header": False, "hide_credentials": True,
    }  # fmt: skip
    assert found["acl"]["config"] == {
        "allow": ["acme", "acme.billing"], "hide_groups_header": True,
    }  # fmt: skip


def test_policies_without_their_api_open_no_door() -> None:
    service, *_ = compile_api(parts_of(None, {"cors": CORS}), NEW, OWNER)
    assert service.tree["host"] == "not-written-yet.invalid"
    assert "stoa-incomplete" in service.tree["tags"]
    assert not [
        e for e in compile_api(parts_of(None, {"cors": CORS}), NEW, OWNER) if e.type == "routes"
    ]


def test_a_policy_type_that_nobody_knows_is_refused() -> None:
    parts = parts_of(None, {})
    with pytest.raises(Inexpressible, match="type magic"):
        compile_api(ApiParts(parts.key, parts.service_id, None, {"magic": {}}), NEW, OWNER)


@pytest.mark.parametrize(
    ("policy_type", "expected"),
    [
        ("quota", {"rate-limiting"}), ("headers", {"request-transformer", "response-transformer"}),
        ("logging", {"http-log", "file-log"}), ("api_key", {"key-auth"}), ("retry", set()),
    ],
)  # fmt: skip
def test_each_policy_type_has_its_plugins(policy_type: str, expected: set[str]) -> None:
    assert plugins_of(policy_type) == expected


def probes(url: str) -> dict[str, Any]:
    api = {
        "active": True, "plans": [],
        "backend": {"url": url, "timeout": "30s", "retries": 0},
        "routes": [{"path": "/x", "methods": [], "hosts": [], "stripPath": True}],
    }  # fmt: skip
    entities = compile_api(parts_of(api, {"circuit_breaker": BREAKER}), NEW, OWNER)
    (upstream,) = [entity.tree for entity in entities if entity.type == "upstreams"]
    active: dict[str, Any] = upstream["healthchecks"]["active"]
    return {name: active.get(name) for name in ("type", "https_sni", "https_verify_certificate")}


@pytest.mark.parametrize(
    ("url", "sni"),
    [
        ("https://shop.example", "shop.example"),
        ("https://shop.example:8443/v2", "shop.example"),
        ("https://shop.example./v2", "shop.example"),
        # No name is sent for an address (RFC 6066 §3), and Kong's schema refuses one.
        ("https://192.0.2.7", None),
        ("https://[2001:db8::7]:8443", None),
    ],
)
def test_what_closes_a_circuit_names_the_backend_in_its_tls_handshake(
    url: str, sni: str | None
) -> None:
    assert probes(url) == {"type": "https", "https_sni": sni, "https_verify_certificate": False}


def test_what_closes_a_circuit_speaks_no_tls_to_a_backend_without() -> None:
    expected = {"type": None, "https_sni": None, "https_verify_certificate": None}
    assert probes("http://shop.example:443") == expected

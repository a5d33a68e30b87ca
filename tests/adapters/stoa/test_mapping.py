from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from aiohttp import web
from hypothesis import assume, given
from hypothesis import strategies as st

from stoa_gitops.adapters.stoa import mappers
from stoa_gitops.adapters.stoa.adoption import refuse_adoption
from stoa_gitops.adapters.stoa.rules import (
    EXTENDED,
    PLAIN,
    Extensions,
    digest,
    missing_for,
    rules_for,
)
from stoa_gitops.errors import SecretUnresolved
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.redaction import reveal
from stoa_gitops.model.secret import Secret, Value
from tests.adapters.stoa.double import Dialect, StoaDouble
from tests.adapters.stoa.specs import (
    OWNER,
    apis,
    applications,
    names,
    plain_apis,
    policies,
    spec_of,
)

BILLING = Key("api", "acme", "billing")
ROUTE = {
    "id": "theirs", "name": "billing", "tenant_id": "acme", "path_prefix": "/x", "methods": [],
    "backend_url": "https://b.example", "spec_hash": "", "activated": True,
}  # fmt: skip


def sent(body: Any) -> Any:
    """What arrives of a body at the other end."""
    return json.loads(json.dumps(reveal(body, [])))


def stored(double: StoaDouble, bodies: list[dict[str, Value]]) -> list[dict[str, Any]]:
    answers = []
    for body in bodies:
        answer = double._read_route(sent(body))
        assert not isinstance(answer, web.Response), answer.text
        answers.append(answer)
    return answers


def held(value: dict[str, Any], key: Key, extensions: Extensions) -> Spec:
    return Spec.of(rules_for(extensions).expected(key.kind, sealed(value)))


def sealed(value: Any) -> Any:
    """The desired side: a reference in the place of each secret."""
    if isinstance(value, Secret):
        return {"$secret": "env:SOME"}
    if isinstance(value, dict):
        return {name: sealed(item) for name, item in value.items()}
    return [sealed(item) for item in value] if isinstance(value, list) else value


@given(apis, names, names, st.randoms())
def test_an_api_comes_back_from_our_data_plane_as_it_went(
    value: dict[str, Any], tenant: str, name: str, random: Any
) -> None:
    key = Key("api", tenant, name)
    routes = stored(
        StoaDouble(Dialect.OURS), mappers.routes_of(spec_of(key, value), tenant, EXTENDED)
    )
    random.shuffle(routes)
    (item,) = mappers.apis_from(routes, OWNER, EXTENDED)
    assert Spec.of(item["spec"]) == held(value, key, EXTENDED)
    assert item["managed"]
    assert sorted(mappers.split_ids(item["gateway_id"])) == sorted(route["id"] for route in routes)


@given(plain_apis, st.randoms())
def test_an_api_comes_back_from_the_real_gateway_as_what_it_holds(
    value: dict[str, Any], random: Any
) -> None:
    routes = stored(
        StoaDouble(Dialect.REAL), mappers.routes_of(spec_of(BILLING, value), "acme", PLAIN)
    )
    random.shuffle(routes)
    (item,) = mappers.apis_from(routes, OWNER, PLAIN)
    assert Spec.of(item["spec"]) == held(value, BILLING, PLAIN)
    assert missing_for(value, PLAIN) is None


@given(plain_apis, st.sampled_from(["version", "displayName", "description"]))
def test_a_field_that_the_real_gateway_drops_still_shows_by_its_hash(
    value: dict[str, Any], name: str
) -> None:
    changed = {**value, name: value.get(name, "") + "!"}
    assert held(value, BILLING, PLAIN) != held(changed, BILLING, PLAIN)


@given(applications, names, names)
def test_an_application_comes_back_as_it_went(
    value: dict[str, Any], tenant: str, name: str
) -> None:
    # In the canonical form an API of the application's own tenant is never named with the tenant.
    assume(not any(one["api"].startswith(f"{tenant}/") for one in value["subscriptions"]))
    key = Key("application", tenant, name)
    body = sent(mappers.consumer_of(spec_of(key, value)))
    stored_one = StoaDouble(Dialect.OURS)._read_consumer(body)
    assert isinstance(stored_one, dict)
    (item,) = mappers.consumers_from([stored_one], OWNER)
    assert Spec.of(item["spec"]) == held(value, key, EXTENDED)
    assert item["managed"]


@given(policies, names, names)
def test_a_policy_comes_back_as_it_went(value: dict[str, Any], tenant: str, api: str) -> None:
    key = Key("policy", tenant, f"{api}.{value['type']}")
    body = mappers.policy_of(spec_of(key, {**value, "api": api}))
    (item,) = mappers.policies_from([sent(body)], OWNER)
    assert Spec.of(item["spec"]) == Spec.of({**value, "api": api})
    assert (item["managed"], item["tenant"], item["name"]) == (True, tenant, key.name)


def test_keys_leave_only_as_hashes() -> None:
    credentials = [{"type": "api_key", "key": Secret("distinct-key-of-mobile")}]
    value = {"displayName": "M", "subscriptions": [], "identifiers": {}, "credentials": credentials}
    body = json.dumps(sent(mappers.consumer_of(spec_of(Key("application", "a", "b"), value))))
    assert "distinct-key" not in body
    assert hashlib.sha256(b"distinct-key-of-mobile").hexdigest() in body


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_ids_of_several_routes_are_one_id_and_back(ids: list[str]) -> None:
    if ids != [""]:
        assert mappers.split_ids(mappers.join_ids(ids)) == ids


def api(**changes: Any) -> dict[str, Any]:
    route = {"path": "/a", "methods": [], "hosts": [], "stripPath": True}
    value: dict[str, Any] = {
        "displayName": "B", "version": "1", "active": True, "plans": [],
        "backend": {"url": "https://b.example", "timeout": "30s", "retries": 0},
        "routes": [route, {**route, "path": "/b"}, {**route, "path": "/c"}],
    }  # fmt: skip
    return {**value, **changes}


def our_routes(value: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    spec = spec_of(BILLING, value or api())
    return stored(StoaDouble(Dialect.OURS), mappers.routes_of(spec, "acme", EXTENDED))


def seen(routes: list[dict[str, Any]]) -> Any:
    (item,) = mappers.apis_from(routes, OWNER, EXTENDED)
    return item["spec"]


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("backend_url", "https://evil.example"), ("activated", False), ("timeout_ms", 1),
        ("retries", 3), ("fallback_url", "builtin:echo"), ("plans", [{"name": "x"}]),
        ("hosts", ["h"]), ("strip_path", False), ("methods", ["GET"]), ("path_prefix", "/z"),
        ("api_id", "another"), ("metadata", {}),
    ],
)  # fmt: skip
def test_drift_of_any_field_of_any_route_shows(number: int, field: str, value: Any) -> None:
    routes = our_routes()
    routes[number][field] = value
    assert Spec.of(seen(routes)) != held(api(), BILLING, EXTENDED)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_route_that_is_gone_shows(number: int) -> None:
    routes = our_routes()
    del routes[number]
    assert len(seen(routes)["routes"]) == 2


def test_an_update_that_stopped_half_way_shows() -> None:
    old = our_routes()
    new = our_routes(api(backend={"url": "https://new.example", "timeout": "30s", "retries": 0}))
    mixed = [new[0], old[1], new[2]]
    assert len(seen(mixed)["routes"]) == 2
    assert len(seen([old[0], new[1], new[2]])["routes"]) == 1


def test_a_lost_credential_shows_and_an_unresolved_one_does_not() -> None:
    auth = {"in": "query", "name": "appid", "value": Secret("k")}
    backend = {**api()["backend"], "auth": auth, "fallback": "builtin:echo"}
    routes = our_routes(api(backend=backend))
    assert "auth" in seen(routes)["backend"]
    for route in routes:
        route["backend_auth"]["value_set"] = False
    assert "auth" not in seen(routes)["backend"]
    unresolved = our_routes(api(backend={**backend, "auth": {**auth, "value": None}}))
    assert "auth" in seen(unresolved)["backend"]


def test_a_credential_that_leads_nowhere_is_null_with_a_fallback_and_an_error_without() -> None:
    auth = {"in": "query", "name": "appid", "value": None}
    backend = {**api()["backend"], "auth": auth}
    with pytest.raises(SecretUnresolved, match="no fallback"):
        our_routes(api(backend=backend))
    spec = spec_of(BILLING, api(backend={**backend, "fallback": "builtin:echo"}))
    assert mappers.routes_of(spec, "acme", EXTENDED)[0]["backend_auth"] == auth


def test_a_key_changed_on_the_gateway_shows() -> None:
    key = Key("application", "acme", "mobile")
    value = {
        "displayName": "M", "subscriptions": [], "identifiers": {},
        "credentials": [{"type": "api_key", "key": Secret("k")}],
    }  # fmt: skip
    body = StoaDouble(Dialect.OURS)._read_consumer(sent(mappers.consumer_of(spec_of(key, value))))
    assert isinstance(body, dict)
    body["credentials"][0]["fingerprint"] = "0" * 16
    (item,) = mappers.consumers_from([body], OWNER)
    assert item["spec"]["credentials"][0]["type"] != "api_key"


def test_a_subscription_changed_on_the_gateway_shows() -> None:
    key = Key("application", "acme", "mobile")
    value = {
        "displayName": "M", "credentials": [], "identifiers": {},
        "subscriptions": [{"api": "billing", "plan": "gold"}],
    }  # fmt: skip
    body = sent(mappers.consumer_of(spec_of(key, value)))
    body["subscriptions"][0]["api_id"] = "another"
    (item,) = mappers.consumers_from([body], OWNER)
    assert item["spec"]["subscriptions"] == [{"api": "another", "plan": "gold"}]


@pytest.mark.parametrize("extensions", [EXTENDED, PLAIN], ids=["ours", "real"])
def test_a_route_that_only_looks_like_ours_is_foreign(extensions: Extensions) -> None:
    mine = BILLING.identifier(OWNER)
    routes = [
        ROUTE,
        {**ROUTE, "id": "t2", "api_id": mine},
        {**ROUTE, "id": mine, "tenant_id": "umbrella"},
        {**ROUTE, "id": mine, "name": "billing#1"},
        {**ROUTE, "id": BILLING.identifier("another owner")},
    ]
    assert not any(item["managed"] for item in mappers.apis_from(routes, OWNER, extensions))


@pytest.mark.parametrize("name", ["billing#", "billing#0", "billing#01", "billing#x", "#1", "a#²"])
def test_odd_names_are_read_as_they_are(name: str) -> None:
    (item,) = mappers.apis_from([{**ROUTE, "name": name}], OWNER, EXTENDED)
    assert item["managed"] is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout_ms", "30s"), ("timeout_ms", -1), ("timeout_ms", True), ("retries", 1.5),
        ("hosts", "h"), ("strip_path", 1), ("plans", [1]), ("plans", [{"name": None}]),
        ("metadata", []), ("backend_auth", "x"), ("backend_tls", "x"), ("fallback_url", 3),
    ],
)  # fmt: skip
def test_an_extension_field_of_the_wrong_type_sets_its_api_aside(field: str, value: Any) -> None:
    other = {**ROUTE, "id": "o", "name": "orders", "api_id": "o"}
    found = mappers.apis_from([{**ROUTE, field: value}, other], OWNER, EXTENDED)
    spec = {item["name"]: item["spec"] for item in found}
    assert "GatewayMalformed" in str(spec[ROUTE["name"]]["unreadable"])
    assert "unreadable" not in spec["orders"]
    assert refuse_adoption("api", spec[ROUTE["name"]]).startswith("it cannot be read")


@given(apis)
def test_the_hash_knows_no_secret(value: dict[str, Any]) -> None:
    assert digest(value) == digest(sealed(value))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"plans": [{"name": "gold"}]}, "plans"),
        ({"routes": [{"path": "/a", "methods": [], "hosts": ["h"], "stripPath": True}]}, "hosts"),
        (
            {"routes": [{"path": "/a", "methods": [], "hosts": [], "stripPath": False}]},
            "strip_path:false",
        ),
        (
            {"routes": [{"path": "/a", "methods": [], "hosts": [], "stripPath": True,
                         "headers": [{"name": "x-a", "values": ["1"]}]}]},
            "route_headers",
        ),
        (
            {"routes": [{"path": "/a/{x}", "methods": [], "hosts": [], "stripPath": True}]},
            "path_parameters",
        ),
        ({"backend": {"url": "https://b", "timeout": "5s", "retries": 0}}, "timeout"),
        ({"backend": {"url": "https://b", "timeout": "30s", "retries": 1}}, "retries"),
        ({"backend": {"url": "builtin:echo", "timeout": "30s", "retries": 0}}, "builtin_echo"),
        ({"backend": {**api()["backend"], "fallback": "https://f"}}, "fallback"),
        (
            {"backend": {**api()["backend"], "auth": {"in": "query", "name": "k", "value": None}}},
            "backend_auth:query",
        ),
        (
            {"backend": {**api()["backend"], "auth": {"in": "header", "name": "k", "value": None}}},
            "beside a header",
        ),
    ],
)  # fmt: skip
def test_what_the_real_gateway_lacks_is_said_with_a_reason(
    change: dict[str, Any], word: str
) -> None:
    assert word in str(missing_for(api(**change), PLAIN))
    assert missing_for(api(**change), EXTENDED) is None


def test_a_route_as_the_real_gateway_was_seen_to_answer_is_read() -> None:
    recorded = {
        "id": "r1", "name": "echo", "tenant_id": "acme", "path_prefix": "/apis/acme/echo",
        "backend_url": "http://upstream:18190", "methods": [], "spec_hash": "h1", "activated": True,
        "upstream_http_version": "auto", "upstreams": [], "load_balancer": "round_robin",
        "trusted_backend": True,
    }  # fmt: skip
    (item,) = mappers.apis_from([recorded], OWNER, PLAIN)
    assert (item["tenant"], item["name"], item["gateway_id"], item["managed"]) == (
        "acme", "echo", "r1", False,
    )  # fmt: skip
    assert item["spec"] == {
        "active": True, "backend": {"url": "http://upstream:18190"}, "specHash": "h1",
        "routes": [{"path": "/apis/acme/echo", "methods": []}],
    }  # fmt: skip


def test_a_policy_as_the_real_gateway_was_seen_to_answer_is_read() -> None:
    recorded = {
        "id": "p2", "name": "rl", "policy_type": "nonsense", "config": None, "priority": 100,
        "api_id": "r1",
    }  # fmt: skip
    (item,) = mappers.policies_from([recorded], OWNER)
    assert (item["tenant"], item["name"], item["managed"]) == ("", "rl", False)
    assert item["spec"] == {"api": "r1", "type": "nonsense", "priority": 100, "config": None}

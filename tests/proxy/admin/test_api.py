"""The admin API's own additions and what it refuses; `test_recordings` has the rest."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from stoa_proxy.policies import POLICIES

from tests.proxy.conftest import TOKEN, Api, Upstream, policy_body, route_body, running

FULL = {
    "api_id": "billing",
    "hosts": ["api.example.com", "*.example.org"],
    "strip_path": False,
    "timeout_ms": 1500,
    "retries": 2,
    "fallback_url": "builtin:echo",
    "backend_auth": {"in": "header", "name": "X-Backend-Key", "value": "sekret"},
    "plans": [{"name": "gold", "per_minute": 5, "burst": 9}],
    "metadata": {"owner": "default", "nested": {"a": [1]}},
}


async def test_a_route_is_read_back_with_every_field_and_never_the_credential(api: Api) -> None:
    await api.put("apis", route_body("https://example.com/v1", **FULL))
    one = await (await api.admin("GET", "/admin/apis/r1")).json()
    listed = await (await api.admin("GET", "/admin/apis")).json()
    # printf sekret | sha256sum | cut -c1-64 | tr -d '\n' | sha256sum
    auth = {
        "in": "header", "name": "X-Backend-Key", "value_set": True,
        "fingerprint": "16334f994239e507",
    }  # fmt: skip
    assert {key: one[key] for key in FULL} == {**FULL, "backend_auth": auth}
    assert listed == [one]
    assert "sekret" not in json.dumps(one)


async def test_defaults_are_read_back(api: Api) -> None:
    await api.put("apis", route_body("https://example.com"))
    one = await (await api.admin("GET", "/admin/apis/r1")).json()
    expected = {
        "api_id": "r1", "hosts": [], "strip_path": True, "timeout_ms": 30000, "retries": 0,
        "fallback_url": None, "backend_auth": None, "plans": [], "metadata": {},
    }  # fmt: skip
    assert {key: one[key] for key in expected} == expected


async def test_health_names_the_extensions_and_counts(api: Api) -> None:
    await api.route("https://example.com")
    await api.consumer()
    found = await (await api.admin("GET", "/admin/health")).json()
    assert found["extensions"] == [
        "api_id", "hosts", "strip_path", "timeout", "retries", "fallback", "backend_auth", "plans",
        "metadata", "builtin_echo", "consumers", "websocket", "batch", "access", "credential:jwt",
        "either_credential", "trace", "upstreams", "health_check", "backend_auth:basic",
        "backend_auth:oauth2_client_credentials", "route_headers", "path_parameters",
        "backend_tls",
        *(f"policy:{name}" for name in POLICIES.names),
    ]  # fmt: skip
    assert (found["routes_count"], found["consumers_count"], found["git_provider"]) == (
        1,
        1,
        "none",
    )
    assert (found["unattached_policies_count"], found["unattached_policies"]) == (0, [])


async def test_a_policy_attaches_by_the_id_of_a_route_or_of_its_api(
    api: Api, upstream: Upstream
) -> None:
    await api.policy("mock", {"status": 201}, api_id="r1")
    await api.policy("headers", {"response": {"set": {"X-Api": "1"}}}, api_id="slug")
    await api.policy("mock", {"status": 202}, api_id="nobody")
    await api.route(upstream.url, api_id="slug")
    answer = await api.get("/a")
    assert (answer.status, answer.headers["X-Api"]) == (201, "1")
    health = await (await api.admin("GET", "/admin/health")).json()
    assert health["unattached_policies"] == ["nobody.mock"]
    await api.route(upstream.url, api_id="other")
    assert "X-Api" not in (await api.get("/a")).headers
    await api.admin("DELETE", "/admin/policies/r1.mock")
    assert (await api.get("/a")).status == 200
    await api.admin("DELETE", "/admin/apis/r1")
    health = await (await api.admin("GET", "/admin/health")).json()
    assert health["unattached_policies"] == ["nobody.mock", "slug.headers"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/admin/contracts"), ("POST", "/admin/routes/reload"),
     ("GET", "/admin/backend-credentials"), ("GET", "/admin/sessions/stats")],
)  # fmt: skip
async def test_what_this_gateway_lacks_of_the_admin_api_is_said(
    api: Api, method: str, path: str
) -> None:
    answer = await api.admin(method, path)
    assert answer.status == 501
    assert (await answer.json())["message"] == "not part of this gateway"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"id": "", "name": " ", "tenant_id": ""}, ["id must not", "name must not", "tenant_id"]),
        (
            {"path_prefix": "a", "retries": 11, "timeout_ms": 0},
            ["path_prefix", "retries", "timeout"],
        ),
        ({"path_prefix": "/a/../b"}, ["path_prefix"]),
        ({"path_prefix": "/a//b"}, ["path_prefix"]),
        ({"path_prefix": "/a?x"}, ["path_prefix"]),
        ({"path_prefix": "/admin/x"}, ["path_prefix"]),
        ({"path_prefix": "/health"}, ["path_prefix"]),
        ({"hosts": ["a b"]}, ["hosts"]),
        ({"hosts": ["*"]}, ["hosts"]),
        ({"methods": ["GET POST"]}, ["methods"]),
        ({"plans": [{"name": "g", "perMinute": 5}]}, ["plans[0].perMinute"]),
        ({"plans": [{"name": "g", "per_minute": 0}]}, ["plans[0].per_minute"]),
        ({"plans": [{"name": "g"}, {"name": "g"}]}, ["different names"]),
        ({"plans": [{"name": "g", "burst": 5}]}, ["plans[0].burst"]),
        ({"backend_auth": {"in": "body", "name": "k", "value": "v"}}, ["backend_auth.in"]),
        ({"backend_auth": {"in": "header", "name": "a b", "value": "v"}}, ["backend_auth.name"]),
        ({"backend_auth": {"in": "header", "name": "Host", "value": "v"}}, ["backend_auth.name"]),
        ({"backend_auth": {"in": "header", "name": "k", "value": "a\r\nX: 1"}}, ["value"]),
        ({"backend_auth": {"in": "header", "name": "k"}}, ["backend_auth.value"]),
        ({"id": "a\nb"}, ["id must not hold"]),
        ({"id": " ", "backend_url": "ftp://x/"}, ["id must not", "backend_url: "]),
    ],
)
async def test_everything_wrong_with_a_route_is_reported_and_nothing_is_stored(
    api: Api, fields: dict[str, Any], named: list[str]
) -> None:
    body = {**route_body("https://example.com"), **fields}
    answer = await api.admin("POST", "/admin/apis", body)
    found = await answer.json()
    assert answer.status == 400
    assert found["status"] == "error"
    for name in named:
        assert any(name in error for error in found["errors"]), (name, found)
    assert await (await api.admin("GET", "/admin/apis")).json() == []


@pytest.mark.parametrize(
    "fields",
    [{"retries": "2"}, {"retries": True}, {"hosts": "x"}, {"plans": [1]}, {"backend_auth": "x"},
     {"backend_auth": {"in": "header"}}, {"metadata": []}, {"timeout_ms": 2**40}],
)  # fmt: skip
async def test_fields_of_a_wrong_type_are_422(api: Api, fields: dict[str, Any]) -> None:
    answer = await api.admin("POST", "/admin/apis", {**route_body("https://example.com"), **fields})
    assert answer.status == 422
    assert (await answer.text()).startswith("Failed to deserialize the JSON body")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b'{"id": NaN}', 400),
        (b'{"id": "\\ud800"}', 400),
        (b"\xff", 400),
        (b"[" * 60_000, 400),
        (b'{"id": "a", "id": "b"}', 422),
        (b'"text"', 422),
        (b" " * 70_000, 413),
    ],
)
async def test_bodies_that_are_no_json_object_are_refused(raw: bytes, status: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    async with running(max_admin_body=65_000) as api:
        answer = await api.send("POST", "/admin/apis", headers, data=raw)
    assert answer.status == status


async def test_a_refused_update_leaves_the_old_route_in_place(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    bad = route_body(upstream.url, plans=[{"name": "g", "nonsense": 1}])
    assert (await api.admin("POST", "/admin/apis", bad)).status == 400
    assert (await api.get("/a")).status == 200


async def test_a_moved_route_leaves_its_old_path(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url, "/old")
    await api.route(upstream.url, "/new")
    assert [(await api.get(path)).status for path in ("/old", "/new")] == [404, 200]
    await api.admin("DELETE", "/admin/apis/r1")
    assert (await api.get("/new")).status == 404


async def test_an_api_id_of_another_tenant_is_refused(api: Api) -> None:
    await api.route("https://example.com", api_id="shared")
    other = route_body("https://example.com", "/b", id="r2", tenant_id="b", api_id="shared")
    answer = await api.admin("POST", "/admin/apis", other)
    assert answer.status == 400


@pytest.mark.parametrize("kind", ["apis", "policies", "consumers"])
async def test_lists_answer_conditional_reads(api: Api, kind: str) -> None:
    path = f"/admin/{kind}"
    empty = (await api.admin("GET", path)).headers["ETag"]
    await api.route("https://example.com")
    await api.policy("api_key", {})
    await api.consumer()
    full = await api.admin("GET", path)
    assert full.headers["ETag"] != empty
    for sent in (full.headers["ETag"], f'"x", {full.headers["ETag"]}', "*"):
        again = await api.admin("GET", path, headers={"If-None-Match": sent})
        assert (again.status, again.headers["ETag"]) == (304, full.headers["ETag"])
    assert (await api.admin("GET", path, headers={"If-None-Match": empty})).status == 200


async def test_consumers_are_read_back_by_fingerprint(api: Api) -> None:
    await api.consumer("k1", subscriptions=[{"api_id": "r1"}])
    digest = hashlib.sha256(b"k1").hexdigest()
    answer = await api.admin("GET", "/admin/consumers/c1")
    print_ = hashlib.sha256(digest.encode()).hexdigest()[:16]
    assert await answer.json() == {
        "id": "c1", "name": "mobile", "tenant_id": "acme", "metadata": {},
        "credentials": [{"type": "api_key", "fingerprint": print_}],
        "subscriptions": [{"api_id": "r1", "plan": None, "expires_at": None}],
    }  # fmt: skip
    assert (await api.admin("DELETE", "/admin/consumers/c1")).status == 204
    gone = await api.admin("DELETE", "/admin/consumers/c1")
    assert (gone.status, await gone.text()) == (404, "Consumer not found")
    assert (await api.admin("GET", "/admin/consumers/c1")).status == 404


async def test_one_key_belongs_to_one_consumer(api: Api) -> None:
    await api.consumer("k1", "c1")
    await api.consumer("k1", "c1", name="renamed")
    digest = hashlib.sha256(b"k1").hexdigest()
    body = {
        "id": "c2", "name": "n", "tenant_id": "acme",
        "credentials": [{"type": "api_key", "key_sha256": digest.upper()}],
    }  # fmt: skip
    answer = await api.admin("POST", "/admin/consumers", body)
    assert answer.status == 409
    await api.consumer("k2", "c1")
    assert (await api.admin("POST", "/admin/consumers", body)).status == 201


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"credentials": [{"type": "basic"}]}, "credentials[0].type"),
        ({"credentials": [{"type": "api_key", "key_sha256": "abc"}]}, "credentials[0].key_sha256"),
        ({"subscriptions": [{"api_id": ""}]}, "subscriptions[0].api_id"),
        ({"subscriptions": [{"api_id": "a", "expires_at": "soon"}]}, "subscriptions[0].expires_at"),
        (
            {"subscriptions": [{"api_id": "a", "expires_at": "2027-01-01T00:00:00"}]},
            "subscriptions[0].expires_at",
        ),
        ({"subscriptions": [{"api_id": "a", "expiresAt": None}]}, "subscriptions[0].expiresAt"),
    ],
)
async def test_a_wrong_consumer_is_refused_by_field(
    api: Api, fields: dict[str, Any], named: str
) -> None:
    body = {"id": "c1", "name": "n", "tenant_id": "acme", **fields}
    answer = await api.admin("POST", "/admin/consumers", body)
    assert answer.status == 400
    assert any(named in error for error in (await answer.json())["errors"])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"subscriptions": [{"api_id": f"a{n}"} for n in range(10_001)]},
            "subscriptions must be 10,000 at most",
        ),
        (
            {"credentials": [{"type": "api_key", "key_sha256": f"{n:064x}"} for n in range(101)]},
            "credentials must be 100 at most",
        ),
        ({"name": "n" * 513}, "name must not be longer than 512 characters"),
    ],
)
async def test_a_consumer_without_bounds_is_refused(
    api: Api, fields: dict[str, Any], said: str
) -> None:
    body = {"id": "c", "name": "n", "tenant_id": "acme", **fields}
    answer = await api.admin("POST", "/admin/consumers", body)
    assert answer.status == 400
    assert (await answer.json())["errors"] == [said]
    assert await (await api.admin("GET", "/admin/consumers")).json() == []


async def test_a_consumer_of_the_most_that_there_may_be_is_taken(api: Api) -> None:
    subscriptions = [{"api_id": f"a{n}"} for n in range(10_000)]
    credentials = [{"type": "api_key", "key_sha256": f"{n:064x}"} for n in range(100)]
    body = {"id": "c", "name": "n" * 512, "tenant_id": "acme"}
    await api.put("consumers", {**body, "credentials": credentials, "subscriptions": subscriptions})


@pytest.mark.parametrize(
    ("policy_type", "config"),
    [
        ("headers", {"request": {"set": {f"X-{n}": "v" for n in range(60)}, "remove": ["Y"] * 5}}),
        ("headers", {"response": {"add": {"X-Long": "v" * (16 * 1024 - 5)}}}),
        ("mock", {"headers": {f"X-{n}": "v" * 300 for n in range(64)}}),
    ],
)
async def test_a_policy_that_writes_headers_without_bounds_is_refused(
    api: Api, policy_type: str, config: object
) -> None:
    body = policy_body("p", "r1", policy_type, config, 100)
    answer = await api.admin("POST", "/admin/policies", body)
    assert answer.status == 400
    assert "headers at most" in str(await answer.json())


async def test_a_policy_with_a_wrong_config_is_refused(api: Api) -> None:
    body = {
        "id": "p", "name": "p", "policy_type": "rate_limit", "config": {"request": 1},
        "priority": 1, "api_id": "a",
    }  # fmt: skip
    answer = await api.admin("POST", "/admin/policies", body)
    assert answer.status == 400
    assert "'request'" in (await answer.json())["errors"][0]


async def test_bad_tokens_exhaust_nobody_elses_limit() -> None:
    async with running(admin_rate_limit=5) as api:
        wrong = {"Authorization": "Bearer wrong"}
        statuses = {(await api.get("/admin/apis", wrong)).status for _ in range(100)}
        assert statuses == {401, 429}
        assert (await api.admin("GET", "/admin/apis")).status == 200


async def test_two_tokens_are_no_token(api: Api) -> None:
    sent = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")]
    assert (await api.get("/admin/apis", sent)).status == 401


async def test_a_catch_all_route_does_not_get_the_admin_paths(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url, "/")
    assert (await api.get("/admin/nosuch")).status == 401
    assert (await api.get("/admin")).status == 401
    assert (await api.admin("GET", "/admin/nosuch")).status == 404
    assert (await api.get("/health")).status == 200
    assert upstream.seen == []


async def test_an_instance_of_one_tenant_refuses_others(upstream: Upstream) -> None:
    async with running(tenant_id="acme") as api:
        await api.route(upstream.url)
        other = route_body(upstream.url, "/b", id="r2", tenant_id="other")
        refused = await api.admin("POST", "/admin/apis", other)
        consumer = {"id": "c", "name": "n", "tenant_id": "other"}
        also = await api.admin("POST", "/admin/consumers", consumer)
    assert (refused.status, also.status) == (400, 400)
    assert "other" in (await refused.json())["errors"][0]

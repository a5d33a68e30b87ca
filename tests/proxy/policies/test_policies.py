"""API keys, plans, rate limits and CORS, through a running data plane."""

from __future__ import annotations

from typing import Any

import pytest
from stoa_proxy.policies import POLICIES

from tests.proxy.conftest import Api, FakeClock, Upstream, policy_body, running

KEY = {"X-API-Key": "k1"}
GOLD = [{"name": "gold", "per_minute": 2}]
TO_GOLD = [{"api_id": "r1", "plan": "gold"}]


async def test_an_api_with_plans_is_closed_without_any_policy(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url, plans=GOLD)
    await api.consumer("k1", subscriptions=TO_GOLD)
    none, unknown = await api.get("/a"), await api.get("/a", {"X-API-Key": "other"})
    assert (none.status, unknown.status) == (401, 401)
    assert "WWW-Authenticate" in none.headers
    assert (await api.get("/a", KEY)).status == 200
    seen = upstream.seen[0]
    assert len(upstream.seen) == 1
    assert seen.all("X-API-Key") == []
    assert (seen.all("X-Consumer-Id"), seen.all("X-Consumer-Name")) == (["c1"], ["mobile"])
    assert seen.all("X-Tenant-Id") == ["acme"]


@pytest.mark.parametrize(
    "subscriptions",
    [
        [],
        [{"api_id": "other", "plan": "gold"}],
        [{"api_id": "r1", "plan": "silver"}],
        [{"api_id": "r1", "plan": None}],
        [{"api_id": "r1", "plan": "gold", "expires_at": "2026-06-01T00:00:00Z"}],
    ],
)
async def test_a_known_key_without_a_live_subscription_is_forbidden(
    api: Api, upstream: Upstream, subscriptions: Any
) -> None:
    await api.route(upstream.url, plans=GOLD)
    await api.consumer("k1", subscriptions=subscriptions)
    assert (await api.get("/a", KEY)).status == 403
    assert upstream.seen == []


async def test_a_subscription_ends_when_it_expires(
    api: Api, upstream: Upstream, clock: FakeClock
) -> None:
    await api.route(upstream.url, plans=GOLD)
    until = {"api_id": "r1", "plan": "gold", "expires_at": "2026-06-01T00:01:00+00:00"}
    await api.consumer("k1", subscriptions=[until])
    assert (await api.get("/a", KEY)).status == 200
    clock.advance(60)
    assert (await api.get("/a", KEY)).status == 403


async def test_an_expired_subscription_does_not_fall_back_to_the_own_tenants_right(
    api: Api, upstream: Upstream, clock: FakeClock
) -> None:
    await api.route(upstream.url)
    await api.policy("api_key", {})
    until = {"api_id": "r1", "expires_at": "2026-06-01T00:01:00Z"}
    await api.consumer("k1", "c1", [until])
    await api.consumer("k2", "c2", [until], tenant_id="other")
    keys = [{"X-API-Key": key} for key in ("k1", "k2")]
    assert [(await api.get("/a", key)).status for key in keys] == [200, 200]
    clock.advance(60)
    assert [(await api.get("/a", key)).status for key in keys] == [403, 403]
    assert len(upstream.seen) == 2


async def test_a_key_is_refused_from_the_moment_its_subscription_is_revoked(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url, plans=GOLD)
    await api.consumer("k1", subscriptions=TO_GOLD)
    assert (await api.get("/a", KEY)).status == 200
    await api.consumer("k1", subscriptions=[])
    assert (await api.get("/a", KEY)).status == 403
    await api.consumer("k1", subscriptions=TO_GOLD)
    assert (await api.get("/a", KEY)).status == 200
    assert len(upstream.seen) == 2


async def test_a_revoked_key_is_unknown_and_its_successor_is_let_in(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url, plans=GOLD)
    await api.consumer("k1", subscriptions=TO_GOLD)
    await api.consumer("k2", subscriptions=TO_GOLD)  # the same consumer, with another key
    assert (await api.get("/a", KEY)).status == 401
    assert (await api.get("/a", {"X-API-Key": "k2"})).status == 200
    await api.admin("DELETE", "/admin/consumers/c1")
    assert (await api.get("/a", {"X-API-Key": "k2"})).status == 401
    assert len(upstream.seen) == 1


async def test_a_plan_counts_per_consumer_and_api_over_all_its_routes(
    api: Api, upstream: Upstream, clock: FakeClock
) -> None:
    await api.route(upstream.url, plans=GOLD, api_id="r1")
    await api.route(upstream.url, "/b", id="r2", plans=GOLD, api_id="r1")
    await api.consumer("k1", "c1", TO_GOLD)
    await api.consumer("k2", "c2", TO_GOLD)
    first, second, third = [await api.get(path, KEY) for path in ("/a", "/b", "/a")]
    assert (first.status, second.status, third.status) == (200, 200, 429)
    assert first.headers["RateLimit-Remaining"] == "1"
    assert third.headers["Retry-After"] == "60"
    assert third.headers["RateLimit-Limit"] == "2"
    assert third.content_type == "application/problem+json"
    assert (await api.get("/a", {"X-API-Key": "k2"})).status == 200
    clock.advance(60)
    assert (await api.get("/a", KEY)).status == 200


async def test_a_key_policy_without_plans_admits_the_own_tenant_and_named_subscribers(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.policy("api_key", {})
    await api.consumer("k1", "c1")
    await api.consumer("k2", "c2", tenant_id="other")
    await api.consumer("k3", "c3", [{"api_id": "r1"}], tenant_id="other")
    statuses = [(await api.get("/a", {"X-API-Key": key})).status for key in ("k1", "k2", "k3")]
    assert statuses == [200, 403, 200]


async def test_an_api_for_subscribers_admits_nobody_by_the_tenant_alone(
    api: Api, upstream: Upstream, clock: FakeClock
) -> None:
    await api.route(upstream.url, access="subscribed")
    await api.policy("api_key", {})
    await api.consumer("k1", "c1")
    await api.consumer("k2", "c2", [{"api_id": "r1", "expires_at": "2026-06-01T00:01:00Z"}])
    keys = [{"X-API-Key": key} for key in ("k1", "k2")]
    assert [(await api.get("/a", key)).status for key in keys] == [403, 200]
    clock.advance(60)
    assert [(await api.get("/a", key)).status for key in keys] == [403, 403]
    await api.route(upstream.url, access="tenant")
    assert [(await api.get("/a", key)).status for key in keys] == [200, 403]


async def test_two_keys_are_never_a_choice(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url, plans=GOLD)
    await api.consumer("k1", subscriptions=TO_GOLD)
    for headers in ([("X-API-Key", "k1"), ("X-API-Key", "k1")], [("X-API-Key", "k1, k2")]):
        assert (await api.get("/a", headers)).status in (400, 401)
    await api.policy("api_key", {"in": "query", "name": "key"})
    assert (await api.get("/a?key=k1&k%65y=k1")).status == 400
    assert upstream.seen == []


async def test_a_key_in_the_query_is_hidden_or_kept(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    await api.consumer("k1")
    await api.policy("api_key", {"in": "query", "name": "key"})
    assert (await api.get("/a?x=1&key=k%31&y=%20")).status == 200
    await api.policy("api_key", {"in": "header", "name": "X-Key", "hide": False})
    assert (await api.get("/a", {"X-Key": "k1"})).status == 200
    assert upstream.seen[0].target == "/?x=1&y=%20"
    assert upstream.seen[1].all("X-Key") == ["k1"]


async def test_a_removed_consumer_or_policy_takes_effect_at_once(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.policy("api_key", {})
    await api.consumer("k1")
    assert (await api.get("/a", KEY)).status == 200
    await api.admin("DELETE", "/admin/consumers/c1")
    assert (await api.get("/a", KEY)).status == 401
    await api.admin("DELETE", "/admin/policies/r1.api_key")
    assert (await api.get("/a")).status == 200


async def test_a_policy_that_arrives_before_its_route_is_enforced(
    api: Api, upstream: Upstream
) -> None:
    await api.policy("api_key", {})
    await api.route(upstream.url)
    assert (await api.get("/a")).status == 401


@pytest.mark.parametrize(
    "config",
    [{"requests": 2, "window": "1m", "by": "ip"}, {"maxRequests": 2, "intervalSeconds": 60}],
)
async def test_a_rate_limit_is_enforced_for_anonymous_clients(
    api: Api, upstream: Upstream, clock: FakeClock, config: object
) -> None:
    await api.route(upstream.url)
    await api.policy("rate_limit", config)
    statuses = [(await api.get("/a")).status for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    clock.advance(60)
    assert (await api.get("/a")).status == 200


async def test_a_limit_that_slides_gives_back_one_by_one_and_says_when(
    api: Api, upstream: Upstream, clock: FakeClock
) -> None:
    await api.route(upstream.url)
    config = {"requests": 2, "window": "1m", "algorithm": "sliding_window"}
    await api.policy("rate_limit", config)
    assert (await api.get("/a")).status == 200
    clock.advance(30)
    assert [(await api.get("/a")).status for _ in range(2)] == [200, 429]
    clock.advance(30)
    # A window that began with the first request would be empty now.
    answer = await api.get("/a")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
    assert answer.headers["RateLimit-Policy"] == '"rate";q=2;w=60'
    clock.advance(2)
    assert [(await api.get("/a")).status for _ in range(2)] == [200, 429]


async def test_a_bucket_without_a_burst_holds_the_requests_of_its_window(
    api: Api, upstream: Upstream, clock: FakeClock
) -> None:
    await api.route(upstream.url)
    await api.policy("rate_limit", {"requests": 3, "window": "30s", "algorithm": "token_bucket"})
    assert [(await api.get("/a")).status for _ in range(4)] == [200, 200, 200, 429]
    clock.advance(10)
    assert [(await api.get("/a")).status for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"algorithm": "fixed"}, "config.algorithm"),
        ({"algorithm": "sliding_window", "burst": 3}, "config.burst"),
    ],
)
async def test_an_algorithm_that_makes_no_sense_is_refused(
    api: Api, fields: dict[str, Any], named: str
) -> None:
    config = {"requests": 2, "window": "1m", **fields}
    body = policy_body("p", "r1", "rate_limit", config)
    answer = await api.admin("POST", "/admin/policies", body)
    assert answer.status == 400
    assert named in await answer.text()


async def test_a_rate_limit_by_header_counts_each_value_apart(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    await api.policy("rate_limit", {"requests": 1, "window": "1m", "by": "header:X-App"})
    sent = [{"X-App": "a"}, {"X-App": "b"}, {"X-App": "a"}, None, None]
    assert [(await api.get("/a", one)).status for one in sent] == [200, 200, 429, 200, 429]


@pytest.mark.parametrize("algorithm", ["sliding_window", "token_bucket", None])
@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("consumer", [200, 200, 200, 429]),
        ("ip", [200, 200, 429, 429]),
        ("tenant", [200, 429, 200, 429]),
        ("header:X-App", [200, 429, 200, 429]),
    ],
)
async def test_a_rate_limit_tells_apart_whom_it_counts_by_and_nobody_else(
    upstream: Upstream, by: str, expected: list[int], algorithm: str | None
) -> None:
    async with running(clock=FakeClock(), trusted_proxies=["127.0.0.1"]) as api:
        await api.route(upstream.url)
        await api.policy("api_key", {})
        config = {"requests": 1, "window": "1m", "by": by}
        await api.policy("rate_limit", config | ({"algorithm": algorithm} if algorithm else {}))
        await api.consumer("k1", "c1")
        await api.consumer("k2", "c2")
        await api.consumer("k3", "c3", [{"api_id": "r1"}], tenant_id="other")
        sent = [("k1", "1", "a"), ("k2", "2", "a"), ("k3", "1", "b"), ("k1", "2", "b")]
        found = [
            await api.get(
                "/a", {"X-API-Key": key, "X-Forwarded-For": f"198.51.100.{address}", "X-App": app}
            )
            for key, address, app in sent
        ]
    assert [answer.status for answer in found] == expected


CORS = {"origins": ["https://app.test"], "credentials": True, "maxAge": "10m",
        "exposeHeaders": ["X-Total"]}  # fmt: skip
PREFLIGHT = {"Origin": "https://app.test", "Access-Control-Request-Method": "POST"}


async def test_a_preflight_is_answered_here_before_authentication(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url, methods=["GET", "POST"], plans=GOLD)
    await api.policy("cors", CORS)
    answer = await api.send(
        "OPTIONS", "/a/x", {**PREFLIGHT, "Access-Control-Request-Headers": "x-one"}
    )
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.test"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert answer.headers["Access-Control-Allow-Headers"] == "x-one"
    assert answer.headers["Access-Control-Max-Age"] == "600"
    foreign = await api.send("OPTIONS", "/a/x", {**PREFLIGHT, "Origin": "https://evil.test"})
    assert foreign.status == 204
    assert "Access-Control-Allow-Origin" not in foreign.headers
    assert "Access-Control-Allow-Methods" not in foreign.headers
    assert upstream.seen == []


async def test_refusals_carry_cors_headers_so_that_pages_can_read_them(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url, plans=GOLD)
    await api.policy("cors", CORS)
    answer = await api.get("/a", {"Origin": "https://app.test"})
    assert answer.status == 401
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.test"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Expose-Headers"] == "X-Total"
    assert answer.headers["Vary"] == "Origin"


async def test_options_without_a_cors_policy_is_an_ordinary_method(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url, methods=["OPTIONS"])
    assert (await api.send("OPTIONS", "/a", PREFLIGHT)).status == 200
    await api.route(upstream.url, methods=["GET"])
    assert (await api.send("OPTIONS", "/a", PREFLIGHT)).status == 405


@pytest.mark.parametrize(
    ("policy_type", "config", "named"),
    [
        ("rate_limit", {"requests": 1, "window": "1m", "per": "x"}, "'per'"),
        ("rate_limit", {"requests": 0, "window": "1m"}, "config.requests"),
        ("rate_limit", {"requests": True, "window": "1m"}, "config.requests"),
        ("rate_limit", {"requests": 1, "window": "60"}, "config.window"),
        ("rate_limit", {"requests": 1, "window": "1m", "by": "user"}, "config.by"),
        ("rate_limit", {"maxRequests": 1}, "config.intervalSeconds"),
        ("rate_limit", {"maxRequests": 1, "intervalSeconds": 1, "dailyLimit": 5}, "dailyLimit"),
        ("api_key", {"in": "cookie"}, "config.in"),
        ("api_key", {"name": "bad name"}, "config.name"),
        ("api_key", {"hide": "no"}, "config.hide"),
        ("cors", {}, "config.origins"),
        ("cors", {"origins": ["*"], "credentials": True}, "config.credentials"),
        ("cors", {"origins": ["app.test"]}, "app.test"),
        ("cors", {"origins": ["*"], "headers": ["a b"]}, "config.headers"),
        ("cors", {"origins": ["*"], "methods": ["GET", "*"]}, "config.methods"),
        ("cors", {"origins": ["*"], "maxAge": 5}, "config.maxAge"),
        ("magic", {}, "magic"),
    ],
)
def test_a_config_that_is_wrong_is_refused_by_name(
    policy_type: str, config: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=named.replace(".", r"\.")):
        POLICIES.parse(policy_type, "p", config)

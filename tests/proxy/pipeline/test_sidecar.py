"""Mode `sidecar`: what Envoy, nginx and others that ask at `/authz` are told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from stoa_proxy.config import ProxyConfig, config_from_env
from stoa_proxy.errors import ConfigInvalid

from tests.proxy.conftest import Api, FakeClock, Upstream, running
from tests.proxy.raw import exchange
from tests.proxy.tokens.issuer import ISSUER, Issuer, make_token

Start = Callable[..., Awaitable[Upstream]]
# A backend that nobody may call from here; a sidecar has no need to.
PRIVATE = "http://10.9.8.7:4711"
PLANS = [{"name": "gold", "per_minute": 2}]
CLIENT = "198.51.100.7"


@pytest.fixture
async def sidecar(clock: FakeClock) -> AsyncIterator[Api]:
    async with running(mode="sidecar", clock=clock, backends_allow=()) as api:
        yield api


async def subscribed(api: Api, **fields: Any) -> Api:
    """An API at /a that needs a key of a subscriber."""
    await api.route(PRIVATE, plans=PLANS, **fields)
    await api.consumer(subscriptions=[{"api_id": "r1", "plan": "gold"}])
    return api


async def envoy(
    api: Api, path: str = "/a/x", headers: dict[str, str] | None = None, method: str = "GET"
) -> aiohttp.ClientResponse:
    sent = {"Host": "api.acme.test", "X-Forwarded-For": CLIENT, **(headers or {})}
    return await api.send(method, f"/authz{path}", sent)


def original(path: str = "/a/x", method: str = "GET", **headers: str) -> dict[str, str]:
    return {
        "X-Original-Method": method,
        "X-Original-URI": path,
        "X-Original-Host": "api.acme.test",
        "X-Forwarded-For": CLIENT,
        **headers,
    }


async def document(api: Api, body: Any, content_type: str = "application/json") -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await api.send("POST", "/authz", {"Content-Type": content_type}, data=raw)


def described(path: str = "/a/x", **fields: Any) -> dict[str, Any]:
    return {"method": "GET", "path": path, "headers": {"Host": "api.acme.test"}, **fields}


# Envoy's form.


async def test_envoy_is_told_who_calls_and_which_headers_go(sidecar: Api) -> None:
    await subscribed(sidecar)
    sent = {"X-API-Key": "k1", "X-Consumer-Id": "forged", "X-Consumer-Level": "gold"}
    answer = await envoy(sidecar, "/a/x?q=1", sent, method="POST")
    assert answer.status == 200
    assert await answer.text() == ""
    assert answer.headers["X-Consumer-Id"] == "c1"
    assert answer.headers["X-Tenant-Id"] == "acme"
    assert answer.headers["RateLimit-Remaining"] == "1"
    gone = answer.headers["x-envoy-auth-headers-to-remove"].split(",")
    # The key, and every claim that is not made here; what is made here would be removed again.
    assert {"x-api-key", "x-user-id", "x-consumer-level"} <= set(gone)
    assert not {"x-consumer-id", "x-tenant-id", "x-consumer-name"} & set(gone)


async def test_an_open_api_lets_pass_and_takes_claims_away(sidecar: Api) -> None:
    await sidecar.route(PRIVATE)
    answer = await envoy(sidecar)
    assert answer.status == 200
    assert "X-Consumer-Id" not in answer.headers
    assert "x-consumer-id" in answer.headers["x-envoy-auth-headers-to-remove"].split(",")


async def test_refusals_have_their_own_status_and_what_a_client_needs(sidecar: Api) -> None:
    await subscribed(sidecar)
    await sidecar.consumer("k2", "c2")
    missing = await envoy(sidecar)
    assert (missing.status, missing.headers["WWW-Authenticate"]) == (401, 'ApiKey realm="api"')
    assert (await envoy(sidecar, headers={"X-API-Key": "k9"})).status == 401
    assert (await envoy(sidecar, headers={"X-API-Key": "k2"})).status == 403
    statuses = [(await envoy(sidecar, headers={"X-API-Key": "k1"})).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    over = await envoy(sidecar, headers={"X-API-Key": "k1"})
    assert over.headers["Retry-After"] == "60"
    assert (await over.json())["type"] == "urn:stoa:problem:rate-limit-exceeded"


async def test_a_request_without_a_route_is_refused(sidecar: Api) -> None:
    await sidecar.route(PRIVATE, methods=["GET"])
    await sidecar.put("apis", _route("r2", "/off", activated=False))
    assert (await envoy(sidecar, "/b")).status == 404
    assert (await envoy(sidecar, "/ab")).status == 404
    assert (await envoy(sidecar, method="POST")).status == 405
    assert (await envoy(sidecar, "/off")).status == 503
    for path in ("/a/../b", "/a/%2e%2e/b", "/a/%00", "/a%5C..%5Cb"):
        assert (await envoy(sidecar, path)).status == 400, path


async def test_routes_are_those_of_the_host_that_was_asked_for(sidecar: Api) -> None:
    await sidecar.route(PRIVATE, hosts=["open.test"])
    guarded = _route("r2", "/a", hosts=["api.acme.test"], plans=PLANS)
    await sidecar.put("apis", guarded)
    assert (await envoy(sidecar)).status == 401
    assert (await envoy(sidecar, headers={"Host": "open.test"})).status == 200
    assert (await envoy(sidecar, headers={"Host": "other.test"})).status == 404
    # What only nginx's form reads says nothing in Envoy's.
    spoofed = {"X-Original-Host": "open.test", "X-Original-URI": "/a"}
    assert (await envoy(sidecar, headers=spoofed)).status == 401


async def test_what_changes_in_the_table_holds_for_the_next_check_on_a_connection(
    sidecar: Api,
) -> None:
    await subscribed(sidecar)
    key = {"X-API-Key": "k1"}
    assert (await envoy(sidecar, headers=key)).status == 200
    await sidecar.admin("DELETE", "/admin/consumers/c1")
    assert (await envoy(sidecar, headers=key)).status == 401
    await sidecar.consumer("k1", "c7", [{"api_id": "r1", "plan": "gold"}])
    assert (await envoy(sidecar, headers=key)).headers["X-Consumer-Id"] == "c7"
    await sidecar.admin("DELETE", "/admin/apis/r1")
    assert (await envoy(sidecar, headers=key)).status == 404


async def test_a_subscription_ends_by_the_clock(sidecar: Api, clock: FakeClock) -> None:
    await sidecar.route(PRIVATE, plans=PLANS)
    end = (clock.now()).isoformat().replace("00:00:00", "00:00:10")
    await sidecar.consumer(subscriptions=[{"api_id": "r1", "plan": "gold", "expires_at": end}])
    assert (await envoy(sidecar, headers={"X-API-Key": "k1"})).status == 200
    clock.advance(11)
    assert (await envoy(sidecar, headers={"X-API-Key": "k1"})).status == 403


# nginx's form.


async def test_nginx_is_told_who_calls(sidecar: Api) -> None:
    await subscribed(sidecar)
    sent = original("/a/x?q=1", "POST", **{"X-API-Key": "k1"})
    answer = await sidecar.get("/authz", sent)
    assert answer.status == 200
    assert answer.headers["X-Consumer-Name"] == "mobile"


async def test_nginx_is_told_401_or_403_and_the_status_beside_it(sidecar: Api) -> None:
    await subscribed(sidecar)
    missing = await sidecar.get("/authz", original())
    assert (missing.status, missing.headers["X-Stoa-Status"]) == (401, "401")
    assert missing.headers["WWW-Authenticate"] == 'ApiKey realm="api"'
    for _ in range(2):
        await sidecar.get("/authz", original(**{"X-API-Key": "k1"}))
    over = await sidecar.get("/authz", original(**{"X-API-Key": "k1"}))
    assert (over.status, over.headers["X-Stoa-Status"]) == (403, "429")
    assert over.headers["X-Stoa-Reason"] == "rate-limit-exceeded"
    assert over.headers["Retry-After"] == "60"
    lost = await sidecar.get("/authz", original("/nowhere"))
    assert (lost.status, lost.headers["X-Stoa-Status"]) == (403, "404")


@pytest.mark.parametrize(
    "name", ["X-Original-Method", "X-Original-URI", "X-Original-Host", "X-Forwarded-For"]
)
async def test_a_configuration_that_forgets_a_header_lets_nothing_pass(
    sidecar: Api, name: str
) -> None:
    await sidecar.route(PRIVATE)
    sent = original()
    del sent[name]
    answer = await sidecar.get("/authz", sent)
    assert (answer.status, answer.headers["X-Stoa-Reason"]) == (403, "check-incomplete")
    assert (await sidecar.get("/authz", original())).status == 200


@pytest.mark.parametrize(
    "extra",
    [
        "X-Original-URI: /a/x",
        "x-original-method: GET",
        "X-Original-Host: api.acme.test",
        "X-Original-URL: http://api.acme.test/a/x",
        "X-Forwarded-For: 10.0.0.1",
    ],
)
async def test_what_a_client_adds_to_the_headers_of_nginx_refuses_its_request(
    sidecar: Api, extra: str
) -> None:
    await sidecar.route(PRIVATE)
    lines = [f"{name}: {value}" for name, value in original().items()]

    async def ask(more: list[str]) -> bytes:
        text = "\r\n".join(["GET /authz HTTP/1.1", "Host: h", "Connection: close", *more])
        return await exchange(sidecar.gateway.port, f"{text}\r\n\r\n".encode())

    assert (await ask(lines)).startswith(b"HTTP/1.1 200 ")
    for refused in ([*lines, extra], [extra, *lines]):
        assert b"X-Stoa-Reason: check-incomplete" in await ask(refused)


async def test_a_whole_url_stands_for_host_and_target(sidecar: Api) -> None:
    await sidecar.route(PRIVATE, hosts=["api.acme.test"])
    sent = {
        "X-Original-Method": "GET",
        "X-Forwarded-For": CLIENT,
        "X-Original-URL": "https://api.acme.test/a/x?q=1",
    }
    assert (await sidecar.get("/authz", sent)).status == 200
    for wrong in (
        "https://other.test/a/x",
        "/a/x",
        "ftp://api.acme.test/a",
        "https://api.acme.test",
    ):
        assert (await sidecar.get("/authz", {**sent, "X-Original-URL": wrong})).status == 403


@pytest.mark.parametrize("target", ["http://open.test/open", "*", "a", "//open.test/a/../open"])
async def test_a_target_that_is_no_path_is_refused(sidecar: Api, target: str) -> None:
    await sidecar.route(PRIVATE, "/open", hosts=["open.test"])
    assert (await sidecar.get("/authz", original(target))).status == 403


# JSON.


async def test_a_document_is_answered_by_a_document(sidecar: Api) -> None:
    await subscribed(sidecar)
    body = described(source_ip=CLIENT)
    body["headers"]["x-api-key"] = "k1"
    answer = await document(sidecar, body)
    assert answer.status == 200
    said = await answer.json()
    assert said["allowed"] is True
    assert said["headers_to_add"]["X-Consumer-Id"] == "c1"
    assert "x-api-key" in said["headers_to_remove"]
    assert said["headers_for_client"]["RateLimit-Remaining"] == "1"


async def test_nobody_is_who_a_document_says_he_is(sidecar: Api) -> None:
    await subscribed(sidecar)
    user = {"id": "c1", "email": "e@x", "roles": ["admin"], "scopes": ["read"], "claims": {}}
    answer = await document(sidecar, described(user=user, tenant_id="acme", context={"a": 1}))
    assert answer.status == 401
    said = await answer.json()
    assert said["allowed"] is False
    assert said["status_code"] == 401
    assert said["denied_by_policy"] == "credential-missing"
    assert said["headers_for_client"]["WWW-Authenticate"] == 'ApiKey realm="api"'


async def test_recorded_documents_get_a_decision_and_never_a_yes_for_an_unknown_caller(
    sidecar: Api,
) -> None:
    """The requests that STOA gateway 0.9.25 was asked (`/api/v1/x`), also with empty identities."""
    await sidecar.route(PRIVATE, "/api/v1", plans=PLANS)
    user = {"id": "u1", "email": "e@x", "roles": ["admin"], "scopes": [], "claims": {"k": 1}}
    asked = {"method": "GET", "path": "/api/v1/x", "headers": {"x-user-id": "spoof"},
             "source_ip": "1.2.3.4", "context": {"a": 1}}  # fmt: skip
    for more in ({"user": user, "tenant_id": "acme"}, {"user": user, "tenant_id": ""}, {},
                 {"user": {"id": ""}, "tenant_id": "acme"}, {"user": None, "foo": 1}):  # fmt: skip
        assert (await document(sidecar, {**asked, **more})).status == 401


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "text/plain", 415),
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 422),
        ({"path": "/x"}, "application/json", 422),
        ({"method": "GET"}, "application/json", 422),
        ({"method": "GET", "path": "x"}, "application/json", 422),
        ({"method": "GET X", "path": "/x"}, "application/json", 422),
        ({"method": "GET", "path": "/x", "headers": {"a b": "c"}}, "application/json", 422),
        ({"method": "GET", "path": "/x", "headers": {"a": "b\r\nc: d"}}, "application/json", 422),
        ({"method": "GET", "path": "/x", "headers": {"a": 1}}, "application/json", 422),
        ({"method": "GET", "path": "/x", "source_ip": "nowhere"}, "application/json", 422),
        (b" " * 70_000, "application/json", 413),
    ],
)
async def test_what_is_no_check_is_refused(
    sidecar: Api, body: Any, content_type: str, status: int
) -> None:
    await sidecar.route(PRIVATE, "/x")
    assert (await document(sidecar, body, content_type)).status == status


async def test_without_a_host_nothing_passes_that_depends_on_it(sidecar: Api) -> None:
    await sidecar.route(PRIVATE, "/a")
    await sidecar.put("apis", _route("r2", "/a/b", hosts=["api.acme.test"], plans=PLANS))
    asked = {"method": "GET", "headers": {}}
    assert (await document(sidecar, {**asked, "path": "/a/x"})).status == 200
    refused = await document(sidecar, {**asked, "path": "/a/b/x"})
    assert refused.status == 403
    assert (await refused.json())["denied_by_policy"] == "host-needed"


# What holds for all forms.


@pytest.mark.parametrize("form", ["envoy", "nginx", "json"])
async def test_only_named_callers_are_told_anything(form: str) -> None:
    async with running(mode="sidecar", authz_callers=("192.0.2.0/24",)) as api:
        await api.route(PRIVATE)
        if form == "json":
            answer = await document(api, described())
        else:
            answer = await (envoy(api) if form == "envoy" else api.get("/authz", original()))
        assert answer.status == 403
        metrics = await (await api.get("/metrics")).text()
        assert 'stoa_authz_refusals_total{reason="caller-refused"} 1' in metrics


async def test_the_client_is_the_last_address_that_a_caller_adds(sidecar: Api) -> None:
    await sidecar.route(PRIVATE)
    await sidecar.policy("ip_filter", {"allow": ["203.0.113.0/24"]})
    good, bad = "203.0.113.5", "198.51.100.7"
    for addresses, status in ((good, 200), (bad, 403), (f"{good}, {bad}", 403),
                              (f"{bad}, {good}", 200), (f"{good}, 127.0.0.1", 403)):  # fmt: skip
        answer = await envoy(sidecar, headers={"X-Forwarded-For": addresses})
        assert answer.status == status, addresses
    # A client that nobody names is at no address, not at the caller's.
    await sidecar.policy("ip_filter", {"allow": ["127.0.0.0/8"]})
    assert (await sidecar.get("/authz/a", {"Host": "h"})).status == 403
    assert (await document(sidecar, described())).status == 403


async def test_proxies_before_a_caller_are_passed_over() -> None:
    async with running(mode="sidecar", trusted_proxies=("192.0.2.0/24",)) as api:
        await api.route(PRIVATE)
        await api.policy("ip_filter", {"allow": ["203.0.113.0/24"]})
        for addresses, status in (("203.0.113.5, 192.0.2.7", 200), ("203.0.113.5, 192.1.2.7", 403)):
            answer = await envoy(api, headers={"X-Forwarded-For": addresses})
            assert answer.status == status, addresses


async def test_tokens_are_checked_with_the_keys_of_their_issuer(
    clock: FakeClock, start_upstream: Start
) -> None:
    issuer = Issuer()
    service = await start_upstream(issuer.answer)
    async with running(mode="sidecar", clock=clock) as api:
        await api.route(PRIVATE)
        config = {"issuer": ISSUER, "jwksUri": f"{service.url}/keys",
                  "forwardClaims": {"sub": "X-User-ID"}}  # fmt: skip
        await api.policy("jwt", config)
        digest = hashlib.sha256(b"mobile").hexdigest()
        await api.consumer(credentials=[{"type": "jwt", "client_id_sha256": digest}])
        token = {"Authorization": f"Bearer {make_token(clock)}"}
        for answer in (
            await envoy(api, headers=token),
            await api.get("/authz", original(**token)),
            await envoy(api, headers=token),
        ):
            assert answer.status == 200
            assert answer.headers["X-User-ID"] == "u1"
            assert answer.headers["X-Consumer-Id"] == "c1"
        body = described()
        body["headers"] |= token
        said = await (await document(api, body)).json()
        assert said["headers_to_add"]["X-User-ID"] == "u1"
        assert "x-user-id" not in said["headers_to_remove"]
        other = {"Authorization": f"Bearer {make_token(clock, name='other')}"}
        assert (await envoy(api, headers=other)).status == 401
        assert issuer.calls == ["/keys"]


async def test_keys_that_cannot_be_had_refuse(clock: FakeClock, start_upstream: Start) -> None:
    issuer = Issuer()
    issuer.status = 500
    service = await start_upstream(issuer.answer)
    async with running(mode="sidecar", clock=clock) as api:
        await api.route(PRIVATE)
        await api.policy("jwt", {"issuer": ISSUER, "jwksUri": f"{service.url}/keys"})
        token = {"Authorization": f"Bearer {make_token(clock)}"}
        assert (await envoy(api, headers=token)).status == 503
        answer = await api.get("/authz", original(**token))
        assert (answer.status, answer.headers["X-Stoa-Status"]) == (403, "503")


async def test_headers_that_policies_change_are_told(sidecar: Api) -> None:
    await sidecar.route(PRIVATE)
    config = {"request": {"set": {"X-Region": "eu"}, "remove": ["X-Debug"]}}
    await sidecar.policy("headers", config)
    answer = await envoy(sidecar, headers={"X-Region": "us", "X-Debug": "1"})
    assert answer.headers["X-Region"] == "eu"
    assert "x-debug" in answer.headers["x-envoy-auth-headers-to-remove"].split(",")


async def test_what_is_about_responses_is_left_to_who_makes_them(sidecar: Api) -> None:
    await sidecar.route(PRIVATE, retries=3, fallback_url="http://10.1.1.1")
    for kind, config in (
        ("mock", {"status": 200, "body": "pretended"}),
        ("caching", {"ttl": "60s"}),
        ("cors", {"origins": ["https://a.test"]}),
        ("circuit_breaker", {"failures": 1, "window": "1s", "reset": "1s"}),
    ):
        await sidecar.policy(kind, config)
    for _ in range(2):
        answer = await envoy(sidecar, headers={"Origin": "https://a.test"})
        assert (answer.status, await answer.text()) == (200, "")
        assert "Access-Control-Allow-Origin" not in answer.headers
    # A preflight is a request like others: who answers it stands before the check.
    await sidecar.policy("api_key", {})
    preflight = {"Origin": "https://a.test", "Access-Control-Request-Method": "GET"}
    assert (await envoy(sidecar, headers=preflight, method="OPTIONS")).status == 401


async def test_decisions_are_counted_by_tenant(sidecar: Api) -> None:
    await subscribed(sidecar)
    await sidecar.put("apis", _route("r2", "/b", tenant_id="globex"))
    await envoy(sidecar, headers={"X-API-Key": "k1"})
    await envoy(sidecar, headers={"X-API-Key": "k1"})
    await envoy(sidecar)
    await envoy(sidecar, "/b")
    await envoy(sidecar, "/nowhere")
    assert "acme" not in await (await sidecar.get("/metrics")).text()
    text = await (await sidecar.admin("GET", "/metrics")).text()
    for tenant, decision, count in (("acme", "allow", 2), ("acme", "deny", 1),
                                    ("globex", "allow", 1), ("none", "deny", 1)):  # fmt: skip
        line = f'stoa_authz_decisions_total{{tenant="{tenant}",decision="{decision}"}} {count}'
        assert line in text
    assert 'stoa_authz_refusals_total{reason="credential-missing"} 1' in text
    assert 'stoa_http_requests_total{method="GET",status="200"} 3' in text
    usage = sidecar.gateway.pipeline.usage.take()
    counted = {tuple(key): (one.requests, one.refused) for key, one in usage.items()}
    assert counted == {("acme", "r1", "c1"): (2, 0), ("acme", "r1", ""): (1, 1),
                       ("globex", "r2", ""): (1, 0)}  # fmt: skip
    # What a heartbeat says.
    assert sidecar.gateway.pipeline.metrics.totals() == (5, 0)


async def test_a_sidecar_has_its_own_paths_and_no_others(sidecar: Api) -> None:
    await sidecar.route(PRIVATE, "/")
    for path in ("/health", "/health/live", "/ready", "/health/ready", "/metrics"):
        assert (await sidecar.get(path)).status == 200, path
    assert (await sidecar.admin("GET", "/admin/apis")).status == 200
    for path in ("/", "/a", "/authzx", "/mcp", "/shadow/status", "/health/startup"):
        answer = await sidecar.get(path)
        assert (answer.status, await answer.text()) == (404, ""), path
    wrong = await sidecar.send("DELETE", "/authz")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET,POST")


async def test_only_a_sidecar_answers_at_authz(upstream: Upstream) -> None:
    async with running() as api:
        await api.route(upstream.url, plans=PLANS)
        await api.consumer(subscriptions=[{"api_id": "r1", "plan": "gold"}])
        assert (await envoy(api, headers={"X-API-Key": "k1"})).status == 404
        assert (await api.get("/authz", original(**{"X-API-Key": "k1"}))).status == 404
        # And nobody elsewhere goes by what is only for it.
        assert (await api.get("/a", original("/b", **{"X-API-Key": "k1"}))).status == 200
        assert upstream.seen[0].target == "/"


async def test_bytes_that_are_no_request_are_refused_as_everywhere(sidecar: Api) -> None:
    await sidecar.route(PRIVATE)
    port = sidecar.gateway.port
    both = b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"
    for head in (
        b"GET /authz/a HTTP/1.1\r\nHost: h\r\n" + both + b"\r\n",
        b"GET /authz/a HTTP/1.1\r\nHost: h\r\n X-Original-URI: /a\r\n\r\n",
        b"GET /authz HTTP/1.1\r\nHost : h\r\n\r\n",
    ):
        received = await exchange(port, head)
        assert received.startswith(b"HTTP/1.1 400 "), head


async def test_a_check_with_two_hosts_is_refused(sidecar: Api) -> None:
    await sidecar.route(PRIVATE)
    head = b"GET /authz/a HTTP/1.1\r\nHost: h\r\nHost: i\r\nConnection: close\r\n\r\n"
    received = await exchange(sidecar.gateway.port, head)
    assert received.split(b" ")[1] in (b"400", b"403")


def test_a_sidecar_listens_on_its_own_port() -> None:
    config = config_from_env({"STOA_GATEWAY_MODE": "sidecar"})
    assert (config.mode, config.port, config.host) == ("sidecar", 8081, "127.0.0.1")
    assert config_from_env({"STOA_GATEWAY_MODE": "sidecar", "STOA_PORT": "9000"}).port == 9000
    assert config_from_env({"STOA_GATEWAY_MODE": "edge-mcp"}).port == 8080


def test_callers_are_networks() -> None:
    env = {"STOA_GATEWAY_MODE": "sidecar", "STOA_AUTHZ_CALLERS": "10.0.0.0/8, 192.0.2.1"}
    assert config_from_env(env).authz_callers == ("10.0.0.0/8", "192.0.2.1")
    with pytest.raises(ConfigInvalid, match="STOA_AUTHZ_CALLERS"):
        config_from_env({**env, "STOA_AUTHZ_CALLERS": "somewhere"})


async def test_the_table_of_a_sidecar_outlives_it(tmp_path: Path) -> None:
    for _ in range(2):
        async with running(mode="sidecar", backends_allow=(), state_dir=str(tmp_path)) as api:
            if not (await (await api.admin("GET", "/admin/apis")).json()):
                await api.route(PRIVATE)
            assert (await envoy(api)).status == 200


def test_the_mode_is_one_of_those_there_are() -> None:
    with pytest.raises(ConfigInvalid, match="STOA_GATEWAY_MODE"):
        ProxyConfig(mode="Sidecar")


def _route(route_id: str, prefix: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": route_id, "name": route_id, "tenant_id": "acme", "path_prefix": prefix,
        "backend_url": PRIVATE, "methods": [], "spec_hash": "h", "activated": True, **fields,
    }  # fmt: skip

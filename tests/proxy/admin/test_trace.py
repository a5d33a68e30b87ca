"""`POST /admin/trace`: how one request is decided, without a word of it for any other."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from tests.proxy.conftest import Api, FakeClock, Upstream
from tests.proxy.tokens.issuer import ISSUER, Issuer, make_token

SECRET = "k1-which-nobody-may-read"


async def trace(api: Api, target: str, **fields: Any) -> Any:
    body = {"method": "GET", "target": target, **fields}
    answer = await api.admin("POST", "/admin/trace", body)
    assert answer.status == 200, await answer.text()
    return await answer.json()


def verdicts(document: Any, hook: str = "request") -> list[tuple[str, str]]:
    return [
        (step["policy"]["type"], step["verdict"])
        for step in document["steps"]
        if step["hook"] == hook
    ]


@pytest.fixture
async def limited(api: Api, upstream: Upstream) -> Api:
    """An API with a key, a limit of two and edited headers."""
    await api.route(f"{upstream.url}/base?token=hidden", "/a", retries=0)
    await api.policy("api_key", {"name": "X-Key"})
    await api.policy("rate_limit", {"requests": 2, "window": "1m"})
    await api.policy("headers", {"request": {"set": {"X-Team": "billing"}}})
    await api.consumer(SECRET)
    return api


async def test_a_trace_tells_route_policies_backend_and_answer(
    limited: Api, upstream: Upstream
) -> None:
    found = await trace(limited, "/a/orders?x=1", api_key=SECRET)
    assert (found["route"]["id"], found["route"]["tenant"]) == ("r1", "acme")
    assert found["consumer"]["name"] == "mobile"
    assert verdicts(found) == [
        ("api_key", "passed"),
        ("access", "passed"),
        ("rate_limit", "passed"),
    ]
    assert [
        step["detail"] for step in found["steps"] if step["policy"]["type"] == "rate_limit"
    ] == ["1 of 2 left, whole again in 60 s"]
    assert ("headers", "edited") in verdicts(found, "upstream request")
    assert found["upstream"]["url"] == f"{upstream.url}/base/orders"
    assert ["X-Team", "billing"] in found["upstream"]["headers"]
    assert [call["status"] for call in found["calls"]] == [200]
    assert (found["answer"]["status"], found["answer"]["source"]) == (200, "backend")
    assert json.loads(found["answer"]["body"])["url"] == "/base/orders?token=hidden&x=1"
    assert len(upstream.seen) == 1


async def test_no_credential_is_in_a_trace(limited: Api, upstream: Upstream) -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(headers={"Set-Cookie": "session=abc-secret"})

    upstream.answer = answer
    headers = [["Authorization", "Bearer jwt-secret"], ["Cookie", "a=cookie-secret"]]
    found = await trace(limited, "/a?api_key=query-secret", api_key=SECRET, headers=headers)
    text = json.dumps(found)
    for secret in (SECRET, "jwt-secret", "cookie-secret", "query-secret", "abc-secret", "hidden"):
        assert secret not in text
    assert ["Set-Cookie", "***"] in found["answer"]["headers"]


async def test_a_refusal_names_the_policy_and_the_later_ones_do_not_run(limited: Api) -> None:
    found = await trace(limited, "/a/orders")
    assert verdicts(found) == [("api_key", "refused")]
    assert (found["answer"]["status"], found["answer"]["source"]) == (401, "policy")
    assert found["answer"]["policy"]["id"] == "r1.api_key"
    assert found["upstream"] is None
    assert found["calls"] == []


async def test_a_traced_request_counts_as_any_other(limited: Api) -> None:
    for _ in range(2):
        await trace(limited, "/a", api_key=SECRET)
    assert (await limited.get("/a", {"X-Key": SECRET})).status == 429
    assert (await trace(limited, "/a", api_key=SECRET))["answer"]["status"] == 429


async def test_what_is_explained_is_not_sent_and_counts_nowhere(
    limited: Api, upstream: Upstream
) -> None:
    def lines(text: str) -> list[str]:
        return [line for line in text.splitlines() if "memory" not in line]

    await limited.policy("quota", {"requests": 2, "period": "day"})
    await limited.policy("circuit_breaker", {"failures": 1, "window": "1m", "reset": "1m"})
    before = lines(await (await limited.get("/metrics")).text())
    for _ in range(3):
        found = await trace(limited, "/a", api_key=SECRET, send=False)
        assert (found["sent"], found["answer"], found["calls"]) == (False, None, [])
        assert ("quota", "passed") in verdicts(found)
        assert found["upstream"]["url"].startswith(upstream.url)
    assert upstream.seen == []
    assert lines(await (await limited.get("/metrics")).text()) == before
    for _ in range(2):
        assert (await limited.get("/a", {"X-Key": SECRET})).status == 200
    explained = await trace(limited, "/a", api_key=SECRET, send=False)
    assert explained["answer"]["status"] == 429
    assert explained["answer"]["policy"]["type"] == "quota"


async def test_an_open_breaker_is_explained_and_not_tried(
    api: Api, clock: FakeClock, upstream: Upstream
) -> None:
    async def fail(_: web.BaseRequest) -> web.Response:
        return web.Response(status=500)

    upstream.answer = fail
    await api.route(upstream.url)
    await api.policy("circuit_breaker", {"failures": 1, "window": "1m", "reset": "1m"})
    assert (await api.get("/a")).status == 500
    found = await trace(api, "/a", send=False)
    assert verdicts(found, "upstream") == [("circuit_breaker", "unavailable")]
    assert found["answer"]["status"] == 503
    clock.advance(61)
    for _ in range(3):  # it takes nobody's turn to try the backend
        found = await trace(api, "/a", send=False)
        assert verdicts(found, "upstream") == [("circuit_breaker", "available")]
    assert (await api.get("/a")).status == 500


async def test_attempts_and_the_fallback_are_told(
    api: Api, upstream: Upstream, closed_url: str
) -> None:
    await api.route(closed_url, retries=1, fallback_url=f"{upstream.url}/instead")
    found = await trace(api, "/a/x")
    assert [call["failure"] for call in found["calls"]] == ["unreachable", "unreachable", None]
    assert found["fallback"] == "unreachable"
    assert (found["answer"]["status"], found["answer"]["source"]) == (200, "fallback")
    again = await trace(api, "/a/x")
    assert [call["upstream"] for call in again["calls"]] == [f"{upstream.url}/instead/x"]


async def test_a_body_is_sent_and_bounded(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    await api.policy("request_size", {"max": "4B"})
    body = base64.b64encode(b"four").decode()
    found = await trace(api, "/a", method="post", body=body)
    assert (found["answer"]["status"], upstream.seen[-1].method) == (200, "POST")
    assert upstream.seen[-1].body == b"four"
    found = await trace(api, "/a", method="POST", body=base64.b64encode(b"fives").decode())
    assert found["answer"]["status"] == 413


async def test_a_large_answer_is_cut_and_a_binary_one_encoded(api: Api, upstream: Upstream) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        size = 100_000 if "large" in request.raw_path else 3
        return web.Response(body=b"\xff\x00x" if size == 3 else b"x" * size)

    upstream.answer = answer
    await api.route(upstream.url)
    found = (await trace(api, "/a/large"))["answer"]
    assert (len(found["body"]), found["body_cut"]) == (64 * 1024, True)
    found = (await trace(api, "/a/small"))["answer"]
    assert (found["body_encoding"], base64.b64decode(found["body"])) == ("base64", b"\xff\x00x")


async def test_token_policies_are_waited_for(
    api: Api,
    clock: FakeClock,
    upstream: Upstream,
    start_upstream: Callable[..., Awaitable[Upstream]],
) -> None:
    service = await start_upstream(Issuer().answer)
    await api.route(upstream.url)
    await api.policy("jwt", {"issuer": ISSUER, "jwksUri": f"{service.url}/keys"})
    await api.policy("api_key", {})
    headers = [["Authorization", f"Bearer {make_token(clock)}"]]
    found = await trace(api, "/a", headers=headers)
    assert ("jwt", "waited") in verdicts(found, "prepare")
    assert ("jwt", "passed") in verdicts(found)
    assert [kind for kind, _ in verdicts(found)][:2] == ["jwt", "either"]


@pytest.mark.parametrize(
    ("target", "fields", "status", "source"),
    [
        ("/nowhere", {}, 404, "gateway"),
        ("/a", {"method": "DELETE"}, 405, "gateway"),
        ("/a/%00", {}, 400, "gateway"),
        ("/a", {"host": "not a host"}, 400, "gateway"),
        ("/a", {"client_address": "10.0.0.1"}, 403, "policy"),
        ("/a", {"client_address": "10.0.0.2"}, 200, "backend"),
    ],
)
async def test_what_never_reaches_a_policy_is_told_too(
    api: Api, upstream: Upstream, target: str, fields: Any, status: int, source: str
) -> None:
    await api.route(upstream.url, methods=["GET"])
    await api.policy("ip_filter", {"deny": ["10.0.0.1"]})
    answer = (await trace(api, target, **fields))["answer"]
    assert (answer["status"], answer["source"]) == (status, source)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"target": "http://other/"}, "target must begin with /"),
        ({"target": "/a b"}, "target must begin with /"),
        ({"method": "GE T"}, "method is not a token"),
        ({"headers": [["X-A", "a\r\nX-B: b"]]}, "holds a control character"),
        ({"headers": [["Content-Length", "5"]]}, "the gateway's own"),
        ({"headers": [["X-A"]]}, "must be a pair"),
        ({"headers": [["X", "y"]] * 101}, "not be more than 100"),
        ({"body": "???"}, "not Base64"),
        ({"client_address": "here"}, "not an address"),
        ({"api_key": "a\nb"}, "api_key is not a value"),
        ({"wrong": 1}, "wrong is not a known field"),
    ],
)
async def test_what_is_no_request_is_refused(api: Api, fields: Any, said: str) -> None:
    body = {"method": "GET", "target": "/a", **fields}
    answer = await api.admin("POST", "/admin/trace", body)
    assert answer.status == 400
    assert said in await answer.text()


async def test_only_who_has_the_token_traces(api: Api) -> None:
    answer = await api.send(
        "POST", "/admin/trace", {"Content-Type": "application/json"}, data=b"{}"
    )
    assert answer.status == 401
    assert (await api.admin("GET", "/admin/trace")).status == 405


async def test_only_a_few_are_traced_at_once(api: Api, upstream: Upstream) -> None:
    go, waiting = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(_: web.BaseRequest) -> web.Response:
        waiting.release()
        await go.wait()
        return web.Response()

    upstream.answer = wait
    await api.route(upstream.url)
    running = [asyncio.create_task(trace(api, "/a")) for _ in range(4)]
    for _ in running:
        await waiting.acquire()
    body = {"method": "GET", "target": "/a"}
    assert (await api.admin("POST", "/admin/trace", body)).status == 503
    go.set()
    assert [(await one)["answer"]["status"] for one in running] == [200] * 4


async def test_a_trace_that_sends_nothing_takes_no_backends_turn(
    api: Api, start_upstream: Callable[..., Awaitable[Upstream]]
) -> None:
    upstreams = [await start_upstream() for _ in range(2)]
    urls = [{"url": one.url} for one in upstreams]
    await api.route(upstreams[0].url, "/a", upstreams=urls)
    for turn in (0, 1, 0):
        for _ in range(3):
            found = await trace(api, "/a", send=False)
            assert found["upstream"]["url"].startswith(upstreams[turn].url)
        assert (await api.get("/a")).status == 200
    assert [len(one.seen) for one in upstreams] == [2, 1]
    metrics = await (await api.get("/metrics")).text()
    assert 'gateway_lb_selections_total{strategy="round_robin"} 3' in metrics
    found = await trace(api, "/a")
    assert found["calls"][0]["upstream"].startswith(upstreams[1].url)


@pytest.mark.parametrize(
    "auth",
    [
        {"in": "header", "name": "X-Custom", "value": "backend+secret"},
        {"in": "query", "name": "custom", "value": "backend+secret"},
        {"type": "basic", "username": "u", "password": "backend+secret"},
    ],
)
async def test_a_backend_that_responds_with_what_it_got_shows_no_credential_of_its_own(
    api: Api, upstream: Upstream, auth: dict[str, str]
) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        basic = request.headers.get("Authorization", "").removeprefix("Basic ")
        decoded = base64.b64decode(basic).decode()
        return web.Response(text=f"{request.path_qs} {dict(request.headers)} {decoded}")

    upstream.answer = answer
    await api.route(f"{upstream.url}?sig=of-the-url", "/a", backend_auth=auth)
    found = await trace(api, "/a")
    assert "***" in found["answer"]["body"]
    assert "sig=of-the-url" in found["answer"]["body"], "of that nobody knows what it is"
    text = json.dumps(found)
    assert "secret" not in text
    assert "of-the-url" not in json.dumps(found["upstream"])


async def test_a_token_for_a_backend_is_in_no_trace(
    api: Api, upstream: Upstream, start_upstream: Callable[..., Awaitable[Upstream]]
) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"access_token": "tok-secret", "token_type": "Bearer"})

    endpoint = await start_upstream(answer)
    auth = {
        "type": "oauth2_client_credentials", "token_url": endpoint.url, "client_id": "c",
        "client_secret": "client-secret", "scopes": [],
    }  # fmt: skip
    await api.route(upstream.url, "/a", backend_auth=auth)
    found = await trace(api, "/a")
    assert (found["answer"]["status"], found["calls"][0]["status"]) == (200, 200)
    assert upstream.seen[0].all("authorization") == ["Bearer tok-secret"]
    assert ["Authorization", "***"] in found["upstream"]["headers"]
    assert "tok-secret" not in json.dumps(found)

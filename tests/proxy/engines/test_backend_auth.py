"""The backend's own credential: basic, and tokens that the gateway gets for itself."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from tests.proxy.conftest import Api, FakeClock, Upstream, route_body, running

Start = Callable[..., Awaitable[Upstream]]
SECRET = "s3cr3t/+ and more"
PROBLEM = "urn:stoa:problem:token-unavailable"


class Issuer:
    """A token endpoint, its tokens numbered; `answer` may be replaced, `gate` holds it."""

    def __init__(self) -> None:
        self.lifetime: Any = 600
        self.status = 200
        self.extra: dict[str, Any] = {}
        self.raw: bytes | None = None
        self.forms: list[dict[str, list[str]]] = []
        self.clients: list[str] = []
        self.gate: asyncio.Event | None = None
        self.begun = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.forms.append(parse_qs((await request.read()).decode()))
        scheme, _, credential = request.headers["Authorization"].partition(" ")
        assert (request.method, scheme) == ("POST", "Basic")
        self.clients.append(base64.b64decode(credential).decode())
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.raw is not None:
            return web.Response(status=self.status, body=self.raw)
        body = {
            "access_token": f"token-{len(self.forms)}", "token_type": "Bearer", **self.extra,
        }  # fmt: skip
        if self.lifetime is not None:
            body["expires_in"] = self.lifetime
        return web.json_response(body, status=self.status)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def endpoint(issuer: Issuer, start_upstream: Start) -> str:
    return f"{(await start_upstream(issuer.handle)).url}/token"


def credentials(endpoint: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "oauth2_client_credentials", "token_url": endpoint, "client_id": "gateway one",
        "client_secret": SECRET, "scopes": ["orders:read", "orders:write"], **fields,
    }  # fmt: skip


@pytest.fixture
async def tokened(api: Api, upstream: Upstream, endpoint: str) -> Api:
    await api.route(upstream.url, backend_auth=credentials(endpoint))
    return api


def sent(upstream: Upstream) -> list[str]:
    return [value for one in upstream.seen for value in one.all("authorization")]


async def kind(answer: Any) -> str:
    return str(json.loads(await answer.text())["type"])


async def test_a_user_name_and_a_password_go_as_basic_in_place_of_the_clients(
    api: Api, upstream: Upstream
) -> None:
    auth = {"type": "basic", "username": "gateway", "password": "pä:ss"}
    await api.route(upstream.url, backend_auth=auth)
    answer = await api.get("/a", {"Authorization": "Bearer of-the-client", "X-Other": "1"})
    assert answer.status == 200
    (header,) = upstream.seen[0].all("authorization")
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == "gateway:pä:ss"
    assert upstream.seen[0].all("x-other") == ["1"]
    read = await (await api.admin("GET", "/admin/apis/r1")).json()
    assert set(read["backend_auth"]) == {"type", "value_set", "fingerprint"}
    assert read["backend_auth"]["value_set"] is True


async def test_a_token_is_fetched_once_and_sent_in_place_of_the_clients(
    tokened: Api, upstream: Upstream, issuer: Issuer
) -> None:
    for number in range(5):
        answer = await tokened.get(f"/a/{number}", {"authorization": "Bearer of-the-client"})
        assert answer.status == 200
    assert sent(upstream) == ["Bearer token-1"] * 5
    assert issuer.forms == [
        {"grant_type": ["client_credentials"], "scope": ["orders:read orders:write"]}
    ]
    # RFC 6749, 2.3.1: both parts are encoded as in a form.
    assert issuer.clients == ["gateway+one:s3cr3t%2F%2B+and+more"]


async def test_all_who_want_a_token_at_once_wait_for_one_fetch(
    tokened: Api, upstream: Upstream, issuer: Issuer
) -> None:
    issuer.gate = asyncio.Event()
    tasks = [asyncio.create_task(tokened.get("/a")) for _ in range(20)]
    await asyncio.wait_for(issuer.begun.wait(), 30)
    tasks[0].cancel()  # who asked first leaves, and takes nothing from the others
    issuer.gate.set()
    answers = await asyncio.gather(*tasks[1:])
    assert {answer.status for answer in answers} == {200}
    assert set(sent(upstream)) == {"Bearer token-1"}
    assert len(issuer.forms) == 1


async def test_a_token_is_replaced_before_its_end_and_the_old_one_serves_meanwhile(
    tokened: Api, upstream: Upstream, issuer: Issuer, clock: FakeClock
) -> None:
    await tokened.get("/a")
    clock.advance(529)
    await tokened.get("/a")
    assert len(issuer.forms) == 1
    clock.advance(2)  # a minute and the margin before its end
    issuer.gate = asyncio.Event()
    issuer.begun.clear()
    first = asyncio.create_task(tokened.get("/a"))
    await asyncio.wait_for(issuer.begun.wait(), 30)
    assert (await tokened.get("/a")).status == 200
    assert sent(upstream) == ["Bearer token-1"] * 3
    issuer.gate.set()
    assert (await first).status == 200
    await tokened.get("/a")
    assert sent(upstream)[3:] == ["Bearer token-2"] * 2


async def test_while_no_new_token_comes_the_old_one_is_used_to_its_end_and_no_longer(
    tokened: Api, upstream: Upstream, issuer: Issuer, clock: FakeClock
) -> None:
    await tokened.get("/a")
    issuer.status = 500
    clock.advance(540)
    assert (await tokened.get("/a")).status == 200
    clock.advance(51)
    answer = await tokened.get("/a")
    assert (answer.status, await kind(answer)) == (502, PROBLEM)
    assert sent(upstream) == ["Bearer token-1"] * 2


async def test_without_a_token_no_request_goes_out_and_nobody_asks_again_for_a_while(
    tokened: Api, upstream: Upstream, issuer: Issuer, clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    issuer.status = 401
    for _ in range(5):
        answer = await tokened.get("/a")
        assert (answer.status, await kind(answer)) == (502, PROBLEM)
        assert answer.headers["Retry-After"] == "1"
    assert (len(issuer.forms), upstream.seen) == (1, [])
    clock.advance(1.1)
    assert (await tokened.get("/a")).headers["Retry-After"] == "2"  # and doubles
    assert len(issuer.forms) == 2
    clock.advance(2.1)
    issuer.status = 200
    assert (await tokened.get("/a")).status == 200
    metrics = await (await tokened.get("/metrics")).text()
    assert 'stoa_backend_token_fetches_total{result="failed"} 2' in metrics
    assert 'stoa_backend_token_fetches_total{result="fetched"} 1' in metrics
    assert "the token endpoint responds with 401" in caplog.text
    for secret in (SECRET, "token-3", issuer.clients[0]):
        assert secret not in caplog.text


async def test_without_a_token_the_fallback_is_used(
    api: Api, upstream: Upstream, endpoint: str, issuer: Issuer
) -> None:
    issuer.status = 503
    await api.route(upstream.url, backend_auth=credentials(endpoint), fallback_url="builtin:echo")
    answer = await api.get("/a", {"Authorization": "Bearer of-the-client"})
    assert (answer.status, answer.headers["X-Stoa-Fallback"]) == (200, "token-unavailable")
    assert "token-" not in (await answer.text()).replace("token-unavailable", "")
    assert upstream.seen == []


@pytest.mark.parametrize(
    "body",
    [
        b"no json", b"[]", b'{"access_token": "t"}', b'{"access_token": "t", "token_type": "mac"}',
        b'{"access_token": "a\\r\\nX: 1", "token_type": "bearer"}',
        b'{"access_token": 7, "token_type": "bearer"}',
        b'{"access_token": "t", "token_type": "bearer", "expires_in": 0}',
        b'{"access_token": "t", "token_type": "bearer", "expires_in": true}',
        b'{"access_token": "t", "token_type": "bearer", "expires_in": 0.001}',
        b"[" * 100_000,
    ],
)  # fmt: skip
async def test_a_bad_token_response_is_none(
    tokened: Api, upstream: Upstream, issuer: Issuer, body: bytes
) -> None:
    issuer.raw = body
    for _ in range(3):
        answer = await tokened.get("/a")
        assert (answer.status, await kind(answer)) == (502, PROBLEM)
    assert upstream.seen == []
    assert len(issuer.forms) == 1, "nobody asks again for a while"


@pytest.mark.parametrize(
    ("lifetime", "good"), [(None, 289), ("60", 53), (10, 8), (1e12, 86_000), (10**400, 86_000)]
)
async def test_a_token_has_the_lifetime_that_is_said_or_a_usual_one(
    tokened: Api, issuer: Issuer, clock: FakeClock, upstream: Upstream, lifetime: Any, good: int
) -> None:
    issuer.lifetime = lifetime
    await tokened.get("/a")
    clock.advance(good)
    issuer.status = 500
    assert (await tokened.get("/a")).status == 200
    clock.advance(500 if good == 86_000 else 3)
    assert (await tokened.get("/a")).status == 502


async def test_a_backend_that_refuses_a_token_makes_the_next_request_get_another(
    tokened: Api, upstream: Upstream, issuer: Issuer, clock: FakeClock
) -> None:
    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=401)

    await tokened.get("/a")
    upstream.answer = refuse
    # Just fetched: the backend may refuse the request and not the token.
    assert [(await tokened.get("/a")).status for _ in range(3)] == [401] * 3
    assert len(issuer.forms) == 1
    clock.advance(11)
    assert (await tokened.get("/a")).status == 401
    upstream.answer = None
    assert (await tokened.get("/a")).status == 200
    assert sent(upstream)[-1] == "Bearer token-2"


async def test_routes_share_a_token_and_another_secret_gets_another(
    api: Api, upstream: Upstream, endpoint: str, issuer: Issuer
) -> None:
    for route_id in ("r1", "r2"):
        await api.route(
            upstream.url, f"/{route_id}", id=route_id, backend_auth=credentials(endpoint)
        )
    assert [(await api.get(path)).status for path in ("/r1", "/r2")] == [200, 200]
    assert len(issuer.forms) == 1
    rotated = credentials(endpoint, client_secret="next")
    await api.route(upstream.url, "/r1", id="r1", backend_auth=rotated)
    assert (await api.get("/r1")).status == 200
    assert issuer.clients[1] == "gateway+one:next"
    # The same secret of another tenant is another client to us.
    other = route_body(upstream.url, "/t2", id="t2", tenant_id="other")
    await api.put("apis", {**other, "backend_auth": credentials(endpoint)})
    assert (await api.get("/t2")).status == 200
    assert len(issuer.forms) == 3


async def test_a_secret_is_never_read_back_nor_kept_on_disk(
    upstream: Upstream, endpoint: str, issuer: Issuer, tmp_path: Any, clock: FakeClock
) -> None:
    auth = credentials(endpoint)
    async with running(state_dir=str(tmp_path), clock=clock) as api:
        await api.route(upstream.url, backend_auth=auth)
        assert (await api.get("/a")).status == 200
        read = await (await api.admin("GET", "/admin/apis")).text()
        assert SECRET not in read
        shown = json.loads(read)[0]["backend_auth"]
        assert {name: shown[name] for name in ("token_url", "client_id", "scopes")} == {
            name: auth[name] for name in ("token_url", "client_id", "scopes")
        }
        assert shown["value_set"] is True
    saved = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert SECRET.encode() not in saved
    assert b"token-1" not in saved
    async with running(state_dir=str(tmp_path), clock=clock) as api:
        answer = await api.get("/a")
        assert (answer.status, await kind(answer)) == (
            503, "urn:stoa:problem:credential-unresolved",
        )  # fmt: skip


async def test_a_token_endpoint_that_leads_away_or_may_not_be_called_gives_no_token(
    api: Api, upstream: Upstream, start_upstream: Start
) -> None:
    elsewhere = await start_upstream()

    async def lead_away(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"{elsewhere.url}/token"})

    leading = await start_upstream(lead_away)
    await api.route(upstream.url, backend_auth=credentials(f"{leading.url}/token"))
    assert (await api.get("/a")).status == 502
    assert (elsewhere.seen, upstream.seen) == ([], [])
    await api.gateway.update_backends(allow=())
    body = route_body("https://b.example", backend_auth=credentials(f"{leading.url}/token"))
    answer = await api.admin("POST", "/admin/apis", body)
    assert answer.status == 400
    assert (await answer.json())["error"].startswith("backend_auth.token_url targets a private")


async def test_a_refused_client_fetches_no_token(
    tokened: Api, upstream: Upstream, issuer: Issuer
) -> None:
    await tokened.policy("api_key", {})
    assert (await tokened.get("/a")).status == 401
    assert (issuer.forms, upstream.seen) == ([], [])


async def test_a_retry_at_another_backend_carries_the_token(
    api: Api, upstream: Upstream, closed_url: str, endpoint: str
) -> None:
    urls = [{"url": closed_url}, {"url": upstream.url}]
    await api.route(closed_url, upstreams=urls, backend_auth=credentials(endpoint))
    assert [(await api.get("/a")).status for _ in range(4)] == [200] * 4
    assert sent(upstream) == ["Bearer token-1"] * 4


@pytest.mark.parametrize(
    ("auth", "named"),
    [
        ({"type": "digest", "in": "header", "name": "X", "value": "v"}, "backend_auth.type"),
        ({"type": "basic", "username": "a:b", "password": "x"}, "backend_auth.username"),
        ({"type": "basic", "username": "a"}, "backend_auth.password is missing"),
        (credentials("ftp://b/token"), "backend_auth.token_url"),
        (credentials("builtin:echo"), "backend_auth.token_url"),
        (credentials("http://b", client_id=" "), "backend_auth.client_id"),
        (credentials("http://b", scopes=['a"b']), "backend_auth.scopes"),
        (credentials("http://b", audience="x"), "backend_auth.audience"),
    ],
)
async def test_a_credential_that_makes_no_sense_is_refused_by_field(
    api: Api, auth: dict[str, Any], named: str
) -> None:
    answer = await api.admin("POST", "/admin/apis", route_body("http://b", backend_auth=auth))
    assert answer.status == 400
    text = await answer.text()
    assert named in text
    assert SECRET not in text

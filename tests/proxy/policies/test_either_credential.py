"""An API with `api_key` and `jwt`: a key or a token lets in, and never a bad one beside a good."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

import pytest

from tests.proxy.conftest import Api, FakeClock, Upstream
from tests.proxy.tokens.issuer import ISSUER, Issuer, make_token

CREDENTIALS = [
    {"type": "api_key", "key_sha256": hashlib.sha256(b"k1").hexdigest()},
    {"type": "jwt", "client_id_sha256": hashlib.sha256(b"mobile").hexdigest()},
]


@pytest.fixture
async def both(
    api: Api, upstream: Upstream, start_upstream: Callable[..., Awaitable[Upstream]]
) -> Api:
    issuer = Issuer()
    service = await start_upstream(issuer.answer)
    await api.route(upstream.url)
    forward = {"forwardClaims": {"sub": "X-User-Id"}}
    await api.policy("jwt", {"issuer": ISSUER, "jwksUri": f"{service.url}/keys", **forward})
    await api.policy("api_key", {})
    await api.consumer(credentials=CREDENTIALS)
    await api.consumer("k2", consumer_id="c2")
    return api


async def test_a_key_or_a_token_lets_in(both: Api, clock: FakeClock, upstream: Upstream) -> None:
    token = {"Authorization": f"Bearer {make_token(clock)}"}
    for headers in ({"X-API-Key": "k1"}, token, {"X-API-Key": "k1", **token}):
        assert (await both.get("/a/x", headers)).status == 200
        assert upstream.seen[-1].all("x-consumer-id") == ["c1"]
        assert upstream.seen[-1].all("x-api-key") == []
    # Nobody says who they are by a header that a token is to say.
    assert (await both.get("/a/x", {"X-API-Key": "k1", "X-User-Id": "root"})).status == 200
    assert upstream.seen[-1].all("x-user-id") == []


async def test_none_is_told_of_both(both: Api, upstream: Upstream) -> None:
    answer = await both.get("/a/x")
    assert answer.status == 401
    challenges = sorted(answer.headers.getall("WWW-Authenticate"))
    assert challenges == ['ApiKey realm="api"', 'Bearer realm="api"']
    assert upstream.seen == []


async def test_a_bad_one_refuses_whatever_stands_beside_it(
    both: Api, clock: FakeClock, upstream: Upstream
) -> None:
    good = {"Authorization": f"Bearer {make_token(clock)}"}
    bad = {"Authorization": f"Bearer {make_token(clock, {'exp': 1})}"}
    assert (await both.get("/a/x", {"X-API-Key": "k1", **bad})).status == 401
    assert (await both.get("/a/x", {"X-API-Key": "nope", **good})).status == 401
    assert (await both.get("/a/x", {"X-API-Key": "k2", **good})).status == 403
    stranger = {"Authorization": f"Bearer {make_token(clock, {'azp': 'stranger'})}"}
    assert (await both.get("/a/x", {"X-API-Key": "k1", **stranger})).status == 403
    assert upstream.seen == []

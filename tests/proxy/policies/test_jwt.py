"""`jwt` on the real engine: tokens of an issuer on loopback, whose keys rotate and fail."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from stoa_proxy.policies import POLICIES
from stoa_proxy.policies.jwt import VerifiedTokens

from tests.proxy.conftest import Api, FakeClock, Upstream, running
from tests.proxy.tokens.issuer import ISSUER, Issuer, jwk, make_token, private_key

Start = Callable[..., Awaitable[Upstream]]
CLIENT = hashlib.sha256(b"mobile").hexdigest()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def guarded(
    api: Api, issuer: Issuer, upstream: Upstream, start_upstream: Start
) -> Callable[..., Awaitable[Api]]:
    """Configures the policy of /a, and the application `mobile`."""
    service = await start_upstream(issuer.answer)

    async def configure(**config: Any) -> Api:
        issuer.discovery.setdefault("issuer", config.get("issuer", ISSUER))
        issuer.discovery.setdefault("jwks_uri", f"{service.url}/keys")
        await api.route(upstream.url)
        uri = {"jwksUri": f"{service.url}/keys"}
        await api.policy("jwt", {"issuer": ISSUER, **uri, **config})
        await api.consumer(credentials=[{"type": "jwt", "client_id_sha256": CLIENT}])
        return api

    return configure


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "algorithm",
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"],
)
async def test_a_good_token_of_each_algorithm_passes_and_identifies_its_application(
    guarded: Any, issuer: Issuer, clock: FakeClock, upstream: Upstream, algorithm: str
) -> None:
    api = await guarded()
    issuer.keys = [jwk("ES256", "other", "other"), jwk(algorithm, "k1")]
    answer = await api.get("/a/x", bearer(make_token(clock, algorithm=algorithm)))
    assert answer.status == 200, await answer.text()
    assert upstream.seen[0].all("x-consumer-name") == ["mobile"]
    # The keys are fetched once, the signature is checked once.
    assert (await api.get("/a/x", bearer(make_token(clock, algorithm=algorithm)))).status == 200
    assert issuer.calls == ["/keys"]


async def test_no_token_is_told_which_scheme_is_wanted_and_nothing_is_fetched(
    guarded: Any, issuer: Issuer, upstream: Upstream
) -> None:
    api = await guarded()
    for headers in ({}, {"Authorization": "Basic dTpw"}, {"Authorization": "Bearer"}):
        answer = await api.get("/a/x", headers)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
        assert answer.content_type == "application/problem+json"
    assert (issuer.calls, upstream.seen) == ([], [])


async def test_two_tokens_are_never_a_choice(guarded: Any, clock: FakeClock) -> None:
    api = await guarded()
    good = make_token(clock)
    answer = await api.get(
        "/a/x", [("Authorization", f"Bearer {good}"), ("Authorization", "Bearer x")]
    )
    assert answer.status == 400


def _unsigned(header: dict[str, Any], clock: FakeClock) -> str:
    claims = {"iss": ISSUER, "azp": "mobile", "exp": int(clock.now().timestamp()) + 60}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in (header, claims)
    ]
    return ".".join(parts)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS256", "RS1", "ES256K", 7])
async def test_no_algorithm_but_the_known_asymmetric_ones_is_accepted(
    guarded: Any, issuer: Issuer, clock: FakeClock, algorithm: Any
) -> None:
    api = await guarded()
    token = _unsigned({"alg": algorithm, "kid": "k1"}, clock)
    for signature in ("", "AAAA"):
        answer = await api.get("/a/x", bearer(f"{token}.{signature}"))
        assert answer.status == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert issuer.calls == []


@pytest.mark.parametrize("form", ["pem", "jwk"])
async def test_a_public_key_is_never_the_secret_of_an_hmac(
    guarded: Any, issuer: Issuer, clock: FakeClock, form: str
) -> None:
    api = await guarded()
    issuer.keys = [jwk("RS256", "k1"), {"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}]
    public = private_key("RS256").public_key()
    secret = (
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        if form == "pem"
        else b"secret"
    )
    for name in ("HS256", "RS256"):
        signed = _unsigned({"alg": name, "kid": "k1"}, clock)
        mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        signature = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
        assert (await api.get("/a/x", bearer(f"{signed}.{signature}"))).status == 401


async def test_an_algorithm_that_the_policy_leaves_out_is_refused(
    guarded: Any, issuer: Issuer, clock: FakeClock
) -> None:
    api = await guarded(algorithms=["RS256"])
    issuer.keys = [jwk("ES256", "k1"), jwk("RS256", "k2")]
    assert (await api.get("/a/x", bearer(make_token(clock)))).status == 401
    token = make_token(clock, algorithm="RS256", key_id="k2")
    assert (await api.get("/a/x", bearer(token))).status == 200


async def test_a_key_verifies_only_the_algorithm_that_it_names(
    guarded: Any, issuer: Issuer, clock: FakeClock
) -> None:
    api = await guarded()
    issuer.keys = [jwk("RS256", "k1", alg="PS256")]
    for algorithm, status in (("RS256", 401), ("PS256", 200)):
        token = jwt.encode(
            {"iss": ISSUER, "azp": "mobile", "exp": int(clock.now().timestamp()) + 60},
            private_key("RS256"),
            algorithm,
            headers={"kid": "k1"},
        )
        assert (await api.get("/a/x", bearer(token))).status == status


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ([jwk("ES256", "k1", use="enc")], "of another use"),
        ([jwk("ES256", "k1", key_ops=["sign"])], "of another operation"),
        ([jwk("ES256", "k1", d="AAAA")], "whose private part is published"),
        ([jwk("ES256", "k1", "another")], "of somebody else"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_keys_that_must_not_verify_do_not(
    guarded: Any, issuer: Issuer, clock: FakeClock, keys: list[dict[str, Any]], why: str
) -> None:
    api = await guarded()
    issuer.keys = [*keys, jwk("RS256", "other")]
    assert (await api.get("/a/x", bearer(make_token(clock)))).status == 401


async def test_a_short_rsa_key_verifies_nothing(
    guarded: Any, issuer: Issuer, clock: FakeClock
) -> None:
    api = await guarded()
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(short.public_key(), as_dict=True)
    issuer.keys = [{**public, "kid": "k1", "key_ops": ["verify"]}, jwk("ES256", "other")]
    claims = {"iss": ISSUER, "azp": "mobile", "exp": int(clock.now().timestamp()) + 60}
    with pytest.warns(UserWarning, match="below"):
        token = jwt.encode(claims, short, "RS256", headers={"kid": "k1"})
    assert (await api.get("/a/x", bearer(token))).status == 401


async def test_a_token_without_a_key_id_is_checked_with_the_keys_of_its_algorithm(
    guarded: Any, issuer: Issuer, clock: FakeClock
) -> None:
    api = await guarded()
    issuer.keys = [jwk("RS256", None), jwk("ES256", "x", "x"), jwk("ES256", None)]
    assert (await api.get("/a/x", bearer(make_token(clock, key_id=None)))).status == 200


async def test_critical_parameters_are_refused(guarded: Any, clock: FakeClock) -> None:
    api = await guarded()
    token = make_token(clock, crit=["exp"])
    assert (await api.get("/a/x", bearer(token))).status == 401


async def test_a_changed_token_is_refused_also_after_the_good_one(
    guarded: Any, clock: FakeClock
) -> None:
    api = await guarded()
    good = make_token(clock)
    assert (await api.get("/a/x", bearer(good))).status == 200
    head, _, signature = good.split(".")
    body = make_token(clock, {"sub": "root"}).split(".")[1]
    assert (await api.get("/a/x", bearer(f"{head}.{body}.{signature}"))).status == 401


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 200),
        ({"iss": "https://id.test/realms/other"}, 401),
        ({"iss": ISSUER + "/"}, 401),
        ({"iss": None}, 401),
        ({"exp": None}, 401),
        ({"exp": "4102444800"}, 401),
        ({"exp": True}, 401),
        ({"exp": 10**400}, 401),
        ({"nbf": "x"}, 401),
        ({"aud": ["other", "orders"]}, 200),
        ({"aud": "other"}, 401),
        ({"aud": None}, 401),
        ({"aud": {"orders": 1}}, 401),
    ],
    ids=str,
)
async def test_issuer_audience_and_times_are_checked(
    guarded: Any, clock: FakeClock, claims: dict[str, Any], status: int
) -> None:
    api = await guarded(audiences=["orders", "billing"])
    answer = await api.get("/a/x", bearer(make_token(clock, {"aud": "orders"} | claims)))
    assert answer.status == status, await answer.text()


async def test_times_have_the_tolerance_of_the_policy_and_no_more(
    guarded: Any, clock: FakeClock
) -> None:
    api = await guarded(clockSkew="10s")
    now = int(clock.now().timestamp())
    cases = [({"exp": now - 9}, 200), ({"exp": now - 10}, 401)]
    cases += [({"nbf": now + 10}, 200), ({"nbf": now + 11}, 401)]
    for claims, status in cases:
        answer = await api.get("/a/x", bearer(make_token(clock, claims)))
        assert answer.status == status, claims


async def test_a_token_ends_though_its_signature_was_checked_before(
    guarded: Any, clock: FakeClock
) -> None:
    api = await guarded(clockSkew="0s")
    token = make_token(clock)
    assert (await api.get("/a/x", bearer(token))).status == 200
    clock.advance(60)
    answer = await api.get("/a/x", bearer(token))
    assert answer.status == 401
    assert "expired" in (await answer.json())["detail"]


@pytest.mark.parametrize(
    ("required", "claims", "status"),
    [
        ({"plan": "gold"}, {"plan": "gold"}, 200),
        ({"plan": "gold"}, {"plan": "goldish"}, 403),
        ({"plan": ["gold", "silver"]}, {"plan": "silver"}, 200),
        ({"roles": "admin"}, {"roles": ["user", "admin"]}, 200),
        ({"scope": "write"}, {"scope": "read write"}, 200),
        ({"scope": "rit"}, {"scope": "read write"}, 403),
        ({"level": 2}, {"level": 2}, 200),
        ({"level": 1}, {"level": True}, 403),
        ({"email_verified": True}, {"email_verified": True}, 200),
        ({"email_verified": True}, {"email_verified": 1}, 403),
        ({"plan": "gold"}, {}, 403),
    ],
    ids=str,
)
async def test_required_claims_have_one_of_the_accepted_values(
    guarded: Any, clock: FakeClock, required: Any, claims: Any, status: int
) -> None:
    api = await guarded(requiredClaims=required)
    answer = await api.get("/a/x", bearer(make_token(clock, claims)))
    assert answer.status == status
    if status == 403:
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


async def test_claims_go_to_the_backend_and_what_the_client_claims_does_not(
    guarded: Any, clock: FakeClock, upstream: Upstream
) -> None:
    forward = {"sub": "X-User-Id", "roles": "X-Roles", "org": "X-Org", "n": "X-N", "none": "X-None"}
    api = await guarded(forwardClaims=forward)
    claims = {"sub": "Zoë\r\nX-Evil: 1", "roles": ["a", "b"], "org": {"id": 1}, "n": 2.5}
    sent = dict.fromkeys((*forward.values(), "X_Org", "x_roles"), "forged")
    answer = await api.get("/a/x", bearer(make_token(clock, claims)) | sent)
    assert answer.status == 200
    seen = upstream.seen[0]
    assert seen.all("x-user-id") == ["Zo%C3%AB%0D%0AX-Evil: 1"]
    assert seen.all("x-roles") == ["a,b"]
    assert seen.all("x-org") == ['{"id":1}']
    assert seen.all("x-n") == ["2.5"]
    assert seen.all("x-none") == seen.all("x_org") == seen.all("x_roles") == []
    assert "forged" not in str(seen.headers)


async def test_tokens_of_clients_that_are_no_application_are_refused(
    guarded: Any, clock: FakeClock
) -> None:
    api = await guarded()
    for claims in ({"azp": "stranger"}, {"azp": None}, {"azp": ["mobile"], "client_id": "mobile"}):
        assert (await api.get("/a/x", bearer(make_token(clock, claims)))).status == 403
    token = make_token(clock, {"azp": None, "client_id": "mobile"})
    assert (await api.get("/a/x", bearer(token))).status == 200


async def test_a_client_id_of_another_tenant_opens_nothing_without_a_subscription(
    guarded: Any, clock: FakeClock, upstream: Upstream
) -> None:
    api = await guarded()
    claimed = [{"type": "jwt", "client_id_sha256": hashlib.sha256(b"partner").hexdigest()}]
    await api.consumer(consumer_id="c0", tenant_id="evil", credentials=claimed, name="evil")
    # Nobody loses its own client to a tenant that names it, too.
    both = [{"type": "jwt", "client_id_sha256": CLIENT}]
    await api.consumer(consumer_id="c00", tenant_id="evil", credentials=both, name="evil")
    assert (await api.get("/a/x", bearer(make_token(clock)))).status == 200
    assert upstream.seen[-1].all("x-consumer-name") == ["mobile"]
    partner = make_token(clock, {"azp": "partner"})
    assert (await api.get("/a/x", bearer(partner))).status == 403
    subscription = {"api_id": "r1", "plan": None, "expires_at": None}
    await api.consumer(
        consumer_id="c0", tenant_id="evil", credentials=claimed, subscriptions=[subscription]
    )
    assert (await api.get("/a/x", bearer(partner))).status == 200


async def test_a_removed_application_is_refused_at_once(guarded: Any, clock: FakeClock) -> None:
    api = await guarded()
    token = make_token(clock)
    assert (await api.get("/a/x", bearer(token))).status == 200
    assert (await api.admin("DELETE", "/admin/consumers/c1")).status == 204
    assert (await api.get("/a/x", bearer(token))).status == 403


async def test_plans_count_and_refuse_by_the_application_of_the_token(
    guarded: Any, clock: FakeClock, upstream: Upstream
) -> None:
    api = await guarded()
    await api.route(upstream.url, plans=[{"name": "gold", "per_minute": 1}])
    token = make_token(clock)
    assert (await api.get("/a/x", bearer(token))).status == 403
    subscription = {"api_id": "r1", "plan": "gold", "expires_at": None}
    credentials = [{"type": "jwt", "client_id_sha256": CLIENT}]
    await api.consumer(credentials=credentials, subscriptions=[subscription])
    assert [(await api.get("/a/x", bearer(token))).status for _ in range(2)] == [200, 429]


async def test_a_new_key_of_the_issuer_is_fetched_but_not_for_every_unknown_one(
    guarded: Any, issuer: Issuer, clock: FakeClock
) -> None:
    api = await guarded()
    assert (await api.get("/a/x", bearer(make_token(clock)))).status == 200
    issuer.keys = [jwk("ES256", "k2", "rotated")]
    rotated = make_token(clock, key_id="k2", name="rotated")
    assert (await api.get("/a/x", bearer(rotated))).status == 401  # looked at less than 30 s ago
    clock.advance(30)
    assert (await api.get("/a/x", bearer(rotated))).status == 200
    assert len(issuer.calls) == 2
    for number in range(5):
        token = make_token(clock, key_id=f"unknown-{number}", name="rotated")
        assert (await api.get("/a/x", bearer(token))).status == 401
    assert len(issuer.calls) == 2
    # What was signed by the key that is gone is refused, though it was good a moment ago.
    assert (await api.get("/a/x", bearer(make_token(clock)))).status == 401


async def test_keys_are_fetched_once_for_all_that_wait_and_a_client_that_leaves_takes_none_along(
    guarded: Any, issuer: Issuer, clock: FakeClock
) -> None:
    api = await guarded()
    issuer.gate = asyncio.Event()
    first = asyncio.create_task(api.get("/a/x", bearer(make_token(clock))))
    await asyncio.wait_for(issuer.begun.wait(), 30)
    others = [asyncio.create_task(api.get("/a/x", bearer(make_token(clock)))) for _ in range(4)]
    await asyncio.sleep(0)
    first.cancel()
    issuer.gate.set()
    answers = await asyncio.wait_for(asyncio.gather(*others), 30)
    assert [answer.status for answer in answers] == [200] * 4
    assert len(issuer.calls) == 1


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, b"", "responds with 500"),
        (302, b"", "responds with 302"),
        (200, b"{", "no JSON"),
        (200, b"[" * 100_000, "no JSON"),
        (200, b"[]", "no list of keys"),
        (200, b'{"keys": []}', "no key that can verify"),
        (200, b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', "no key that can verify"),
        (200, b'{"keys": [7, {"kty": ["RSA"]}, {"kty": "EC", "crv": "P-256"}]}', "no key that"),
        (200, b'{"keys": [' + b"1," * 200 + b"1]}", "more than 100 keys"),
        (200, b" " * 300_000, "more than 262144 bytes"),
        (200, b"x" * 1_100_000, "more than 1048576 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_issuer_without_usable_keys_is_503_says_why_and_is_left_alone_for_a_while(
    guarded: Any,
    issuer: Issuer,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: bytes,
    message: str,
) -> None:
    api = await guarded()
    issuer.status, issuer.body = status, body
    issuer.headers = {"Location": "/elsewhere"}
    for _ in range(3):
        answer = await api.get("/a/x", bearer(make_token(clock)))
        assert answer.status == 503
        assert "issuer" not in await answer.text()
    assert len(issuer.calls) == 1
    assert message in caplog.text
    issuer.status, issuer.body = 200, None
    clock.advance(1)
    assert (await api.get("/a/x", bearer(make_token(clock)))).status == 200


async def test_keys_of_before_are_used_while_the_issuer_is_down_but_not_for_ever(
    guarded: Any, issuer: Issuer, clock: FakeClock
) -> None:
    api = await guarded()
    assert (await api.get("/a/x", bearer(make_token(clock)))).status == 200
    issuer.status = 503
    clock.advance(301)
    assert (await api.get("/a/x", bearer(make_token(clock)))).status == 200
    assert len(issuer.calls) == 2
    clock.advance(3600)
    assert (await api.get("/a/x", bearer(make_token(clock)))).status == 503
    issuer.status = 200
    clock.advance(30)
    assert (await api.get("/a/x", bearer(make_token(clock)))).status == 200


async def test_keys_of_before_are_used_while_the_issuer_hangs(
    guarded: Any, issuer: Issuer, clock: FakeClock, upstream: Upstream
) -> None:
    api = await guarded()
    await api.route(upstream.url, timeout_ms=600_000)
    assert (await api.get("/a/x", bearer(make_token(clock)))).status == 200
    issuer.gate = asyncio.Event()
    clock.advance(301)
    for _ in range(3):
        assert (await api.get("/a/x", bearer(make_token(clock)))).status == 200
    assert len(issuer.calls) == 2
    issuer.gate.set()


async def test_an_issuer_that_is_slower_than_requests_wait_is_not_asked_anew_by_each(
    guarded: Any, issuer: Issuer, clock: FakeClock, upstream: Upstream
) -> None:
    api = await guarded()
    await api.route(upstream.url, timeout_ms=100)
    issuer.gate = asyncio.Event()
    for _ in range(3):
        assert (await api.get("/a/x", bearer(make_token(clock)))).status == 503
    issuer.gate.set()
    async with asyncio.timeout(30):
        while (await api.get("/a/x", bearer(make_token(clock)))).status != 200:
            await asyncio.sleep(0)
    assert issuer.calls == ["/keys"]


async def test_the_issuer_says_how_long_its_keys_are_good(
    guarded: Any, issuer: Issuer, clock: FakeClock
) -> None:
    api = await guarded()
    issuer.headers = {"Cache-Control": "public, max-age=900"}
    for seconds, calls in ((0, 1), (899, 1), (1, 2)):
        clock.advance(seconds)
        assert (await api.get("/a/x", bearer(make_token(clock)))).status == 200
        assert len(issuer.calls) == calls


async def test_keys_are_found_by_discovery_and_only_of_the_issuer_itself(
    api: Api, issuer: Issuer, clock: FakeClock, upstream: Upstream, start_upstream: Start
) -> None:
    service = await start_upstream(issuer.answer)
    own = f"{service.url}/realms/acme"
    await api.route(upstream.url)
    await api.policy("jwt", {"issuer": own})
    await api.consumer(credentials=[{"type": "jwt", "client_id_sha256": CLIENT}])
    token = make_token(clock, {"iss": own})
    issuer.discovery = {"issuer": ISSUER, "jwks_uri": f"{service.url}/keys"}
    assert (await api.get("/a/x", bearer(token))).status == 503
    issuer.discovery = {"issuer": own, "jwks_uri": f"{service.url}/keys"}
    clock.advance(1)
    assert (await api.get("/a/x", bearer(token))).status == 200
    discovered = "/realms/acme/.well-known/openid-configuration"
    assert issuer.calls == [discovered, discovered, "/keys"]


async def test_keys_are_fetched_under_the_address_rules_of_backends(
    clock: FakeClock, upstream: Upstream
) -> None:
    async with running(clock=clock, backends_allow=("192.0.2.0/24",)) as api:
        await api.route("http://192.0.2.1")
        await api.policy("jwt", {"issuer": ISSUER, "jwksUri": f"{upstream.url}/keys"})
        assert (await api.get("/a/x", bearer(make_token(clock)))).status == 503
    assert upstream.seen == []


async def test_no_token_is_in_a_log_a_refusal_or_a_representation(
    guarded: Any, issuer: Issuer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    api = await guarded(issuer=ISSUER)
    caplog.set_level("DEBUG")
    await api.route("builtin:echo")
    token = make_token(clock)
    for sent in (token, token[:-4] + "AAAA"):
        answer = await api.get("/a/x", bearer(sent))
        assert sent[:40] not in await answer.text()
    assert token[:40] not in caplog.text
    held = api.gateway.pipeline.states.of(VerifiedTokens).get("acme", b"")
    assert held is None
    metrics = await (await api.get("/metrics")).text()
    assert 'stoa_jwt_refusals_total{reason="invalid"} 1' in metrics
    assert 'stoa_jwt_key_fetches_total{result="fetched"} 1' in metrics


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "config.issuer"),
        ({"issuer": "acme"}, "config.issuer"),
        ({"issuer": "acme", "jwksUri": "ftp://x/"}, "config.jwksUri"),
        ({"issuer": "acme", "jwksUri": "https://u:p@x/"}, "config.jwksUri"),
        ({"issuer": ISSUER, "algorithms": ["HS256"]}, "config.algorithms"),
        ({"issuer": ISSUER, "algorithms": ["none"]}, "config.algorithms"),
        ({"issuer": ISSUER, "clockSkew": "2h"}, "config.clockSkew"),
        ({"issuer": ISSUER, "requiredClaims": {"a": None}}, "config.requiredClaims.a"),
        ({"issuer": ISSUER, "forwardClaims": {"a": "X-Consumer-Id"}}, "config.forwardClaims"),
        ({"issuer": ISSUER, "forwardClaims": {"a": "Host"}}, "config.forwardClaims"),
        ({"issuer": ISSUER, "forwardClaims": {"a": "X-A", "b": "x_a"}}, "config.forwardClaims"),
        ({"issuer": ISSUER, "secret": "x"}, "unknown keys 'secret'"),
    ],
    ids=str,
)
def test_a_config_that_cannot_work_is_refused_with_its_key(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        POLICIES.parse("jwt", "p", config)

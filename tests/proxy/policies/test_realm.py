"""`STOA_KEYCLOAK_*`: tokens of the operator's realm, whose keys come from its internal address."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from stoa_proxy.config import config_from_env
from stoa_proxy.keycloak_config import Realm

from tests.proxy.conftest import Api, FakeClock, Upstream, running
from tests.proxy.tokens.issuer import Issuer, jwk, make_token

Start = Callable[..., Awaitable[Upstream]]
PUBLIC = "https://id.example"
PATH = "/realms/acme"
CERTS = f"{PATH}/protocol/openid-connect/certs"
DISCOVERY = f"{PATH}/.well-known/openid-configuration"
CLIENT = hashlib.sha256(b"mobile").hexdigest()
PLANS = [{"name": "gold", "per_minute": 100}]


@pytest.fixture
def issuer() -> Issuer:
    """A Keycloak with a fixed hostname: it advertises its public address wherever it is asked."""
    issuer = Issuer()
    issuer.discovery = {"issuer": PUBLIC + PATH, "jwks_uri": PUBLIC + CERTS}
    return issuer


@pytest.fixture
async def keycloak(issuer: Issuer, start_upstream: Start) -> Upstream:
    return await start_upstream(issuer.answer)


@asynccontextmanager
async def realm_of(keycloak: Upstream, clock: FakeClock, **config: Any) -> AsyncIterator[Api]:
    """A gateway that may call no private address but for its realm's."""
    realm = Realm(PUBLIC, keycloak.url, PATH)
    async with running(realm=realm, clock=clock, backends_allow=(), **config) as api:
        yield api


def bearer(clock: FakeClock, **claims: Any) -> dict[str, str]:
    token = make_token(clock, {"iss": PUBLIC + PATH, **claims})
    return {"Authorization": f"Bearer {token}"}


async def application(api: Api, tenant: str = "acme", **fields: Any) -> None:
    credentials = [
        {"type": "jwt", "client_id_sha256": CLIENT},
        {"type": "api_key", "key_sha256": hashlib.sha256(b"k1").hexdigest()},
    ]
    await api.consumer(credentials=credentials, tenant_id=tenant, **fields)


@pytest.mark.parametrize("config", [{}, {"issuer": PUBLIC + PATH}])
async def test_tokens_of_the_public_issuer_are_checked_by_keys_from_the_internal_address(
    keycloak: Upstream, issuer: Issuer, clock: FakeClock, config: dict[str, Any]
) -> None:
    async with realm_of(keycloak, clock) as api:
        await api.route("builtin:echo")
        await api.policy("jwt", config)
        await application(api)
        assert (await api.get("/a")).status == 401
        assert issuer.calls == []
        assert (await api.get("/a", bearer(clock))).status == 200
        assert issuer.calls == [DISCOVERY, CERTS]
        assert (await api.get("/a", bearer(clock, iss=keycloak.url + PATH))).status == 401
        assert (await api.get("/a", bearer(clock, exp=1))).status == 401


async def test_an_api_with_plans_takes_a_key_or_a_token_of_a_subscriber(
    keycloak: Upstream, clock: FakeClock
) -> None:
    async with realm_of(keycloak, clock) as api:
        await api.route("builtin:echo", plans=PLANS)
        await application(api, subscriptions=[{"api_id": "r1", "plan": "gold"}])
        missing = await api.get("/a")
        challenges = missing.headers.getall("WWW-Authenticate")
        assert (missing.status, len(challenges)) == (401, 2)
        key = {"X-API-Key": "k1"}
        assert (await api.get("/a", key)).status == 200
        assert (await api.get("/a", bearer(clock))).status == 200
        assert (await api.get("/a", key | bearer(clock))).status == 200
        assert (await api.get("/a", bearer(clock, azp="stranger"))).status == 403
        assert (await api.get("/a", key | {"Authorization": "Bearer junk"})).status == 401
        await api.admin("DELETE", "/admin/consumers/c1")
        assert (await api.get("/a", bearer(clock))).status == 403


async def test_keys_go_on_while_the_realm_is_down(
    keycloak: Upstream, issuer: Issuer, clock: FakeClock
) -> None:
    issuer.discovery = {}
    async with realm_of(keycloak, clock) as api:
        await api.route("builtin:echo", plans=PLANS)
        await application(api, subscriptions=[{"api_id": "r1", "plan": "gold"}])
        assert (await api.get("/a", bearer(clock))).status == 503
        assert (await api.get("/a", {"X-API-Key": "k1"})).status == 200


async def test_without_a_realm_plans_take_keys_alone(clock: FakeClock) -> None:
    async with running(clock=clock) as api:
        await api.route("builtin:echo", plans=PLANS)
        await application(api, subscriptions=[{"api_id": "r1", "plan": "gold"}])
        refused = await api.get("/a", bearer(clock))
        assert refused.headers.getall("WWW-Authenticate") == ['ApiKey realm="api"']
        answer = await api.admin(
            "POST", "/admin/policies",
            {"id": "p", "name": "p", "policy_type": "jwt", "config": {}, "priority": 1,
             "api_id": "r1"},
        )  # fmt: skip
        assert answer.status == 400


async def test_the_keys_of_the_realm_are_fetched_once_for_all_tenants(
    keycloak: Upstream, issuer: Issuer, clock: FakeClock
) -> None:
    async with realm_of(keycloak, clock) as api:
        for tenant in ("acme", "globex"):
            await api.route(
                "builtin:echo", f"/{tenant}", id=tenant, tenant_id=tenant, api_id=tenant
            )
            await api.policy("jwt", {}, tenant)
        await application(api)
        assert (await api.get("/acme", bearer(clock))).status == 200
        # Good, but of no application of that tenant.
        assert (await api.get("/globex", bearer(clock))).status == 403
        assert issuer.calls == [DISCOVERY, CERTS]


async def test_no_tenant_reaches_the_internal_address(
    keycloak: Upstream, issuer: Issuer, clock: FakeClock
) -> None:
    """What the operator's settings may call is no backend, and no key set of a tenant."""
    async with realm_of(keycloak, clock) as api:
        await api.route("builtin:echo")
        await api.policy("jwt", {"jwksUri": f"{keycloak.url}/admin"})
        assert (await api.get("/a", bearer(clock))).status == 503
        answer = await api.admin("POST", "/admin/apis", {"backend_url": keycloak.url})
        assert answer.status in (400, 422)
        assert issuer.calls == []


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://other.example/realms/acme", "jwks_uri": PUBLIC + CERTS},
        {"issuer": f"{PUBLIC}/realms/other", "jwks_uri": PUBLIC + CERTS},
        {"issuer": PUBLIC + PATH, "jwks_uri": "https://elsewhere.example/certs"},
        {"issuer": PUBLIC + PATH, "jwks_uri": f"{PUBLIC}.evil.example/certs"},
        {"issuer": PUBLIC + PATH},
        {},
    ],
)
async def test_a_description_that_is_not_the_realms_lets_nothing_pass(
    keycloak: Upstream, issuer: Issuer, clock: FakeClock, discovery: dict[str, str]
) -> None:
    issuer.discovery = discovery
    async with realm_of(keycloak, clock) as api:
        await api.route("builtin:echo")
        await api.policy("jwt", {})
        await application(api)
        assert (await api.get("/a", bearer(clock))).status == 503
        assert set(issuer.calls) == {DISCOVERY}


async def test_a_server_that_names_the_address_it_is_asked_at_is_the_realm_too(
    keycloak: Upstream, issuer: Issuer, clock: FakeClock
) -> None:
    issuer.discovery = {"issuer": keycloak.url + PATH, "jwks_uri": keycloak.url + CERTS}
    async with realm_of(keycloak, clock) as api:
        await api.route("builtin:echo")
        await api.policy("jwt", {})
        await application(api)
        assert (await api.get("/a", bearer(clock))).status == 200


async def test_keys_rotate(keycloak: Upstream, issuer: Issuer, clock: FakeClock) -> None:
    async with realm_of(keycloak, clock) as api:
        await api.route("builtin:echo")
        await api.policy("jwt", {})
        await application(api)
        assert (await api.get("/a", bearer(clock))).status == 200
        issuer.keys = [jwk("ES256", "k2", "second")]
        clock.advance(301)
        assert (await api.get("/a", bearer(clock))).status == 401
        token = make_token(clock, {"iss": PUBLIC + PATH}, key_id="k2", name="second")
        assert (await api.get("/a", {"Authorization": f"Bearer {token}"})).status == 200


async def test_a_sidecar_checks_tokens_of_the_realm(keycloak: Upstream, clock: FakeClock) -> None:
    async with realm_of(keycloak, clock, mode="sidecar") as api:
        await api.route("http://10.1.1.1", plans=PLANS)
        await application(api, subscriptions=[{"api_id": "r1", "plan": "gold"}])
        sent = {"Host": "h", "X-Forwarded-For": "198.51.100.7"}
        assert (await api.get("/authz/a", sent)).status == 401
        answer = await api.get("/authz/a", sent | bearer(clock))
        assert (answer.status, answer.headers["X-Consumer-Id"]) == (200, "c1")


def test_the_realm_is_read_from_the_environment() -> None:
    env = {"STOA_KEYCLOAK_URL": "https://id.example/"}
    realm = config_from_env(env).realm
    assert realm is not None
    assert realm.issuer == "https://id.example/realms/stoa"
    assert realm.discovery_url == "https://id.example/realms/stoa/.well-known/openid-configuration"
    inside = {
        "STOA_KEYCLOAK_INTERNAL_URL": "http://keycloak:8080",
        "STOA_KEYCLOAK_REALM": "my realm",
    }
    realm = config_from_env({**env, **inside}).realm
    assert realm is not None
    assert realm.issuer == "https://id.example/realms/my%20realm"
    assert realm.discovery_url.startswith("http://keycloak:8080/realms/my%20realm/")
    assert config_from_env({}).realm is None

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from aiohttp import web

from stoa_gitops.adapter_sdk.contract import AdapterResult
from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapters.stoa import ADAPTER
from stoa_gitops.adapters.stoa.adapter import LOOSE_MATCH, StoaAdapter, build
from stoa_gitops.adapters.stoa.client import StoaClient, classify
from stoa_gitops.adapters.stoa.rules import unattached_in
from stoa_gitops.errors import GatewayMalformed
from stoa_gitops.model.instances import GatewayAuth
from stoa_gitops.model.keys import Key
from stoa_gitops.model.secret import Secret
from tests.adapters.front import listening
from tests.adapters.stoa.double import EXTENSIONS, Dialect, StoaDouble
from tests.adapters.stoa.specs import spec_of
from tests.adapters.stoa.test_mapping import BILLING, ROUTE, api
from tests.unit.adapter_sdk.serving import answering, connection

TOKEN = "admin-token"


@dataclass
class Stoa:
    adapter: StoaAdapter
    double: StoaDouble


async def without_pause(seconds: float) -> None: ...


@asynccontextmanager
async def adapter_for(
    app: web.Application, token: str = TOKEN, gateway_type: str = ""
) -> AsyncIterator[StoaAdapter]:
    runner, base_url = await listening(app)
    link = connection(base_url, auth=GatewayAuth("bearer"), credentials={"token": token})
    http = AdminClient(link, classify=classify, sleep=without_pause)
    adapter = StoaAdapter("default", StoaClient(http), gateway_type=gateway_type)
    try:
        yield adapter
    finally:
        await adapter.disconnect()
        await runner.cleanup()


@pytest.fixture(params=list(Dialect), ids=lambda dialect: dialect.name.lower())
async def stoa(request: pytest.FixtureRequest) -> AsyncIterator[Stoa]:
    double = StoaDouble(request.param)
    async with adapter_for(double.app()) as adapter:
        yield Stoa(adapter, double)


@pytest.fixture
async def ours() -> AsyncIterator[Stoa]:
    double = StoaDouble(Dialect.OURS)
    async with adapter_for(double.app()) as adapter:
        yield Stoa(adapter, double)


@pytest.fixture
async def real() -> AsyncIterator[Stoa]:
    double = StoaDouble(Dialect.REAL)
    async with adapter_for(double.app()) as adapter:
        yield Stoa(adapter, double)


async def sync(stoa: Stoa, **changes: Any) -> AdapterResult:
    return await stoa.adapter.sync_api(spec_of(BILLING, api(**changes)), "acme")


async def test_health_names_version_and_extensions(stoa: Stoa) -> None:
    result = await stoa.adapter.health_check()
    named = EXTENSIONS if stoa.double.dialect is Dialect.OURS else []
    assert (result.data or {})["extensions"] == sorted(named)


async def test_of_a_real_gateway_it_is_noted_that_prefixes_match_by_letters(
    real: Stoa, ours: Stoa
) -> None:
    assert real.adapter.notes == (), "nobody has asked it yet"
    for stoa in (real, ours):
        assert (await stoa.adapter.health_check()).warnings == ()
    assert real.adapter.notes == (LOOSE_MATCH,)
    assert ours.adapter.notes == ()


@pytest.mark.parametrize(
    ("gateway_type", "status"),
    [("stoa_proxy", "502"), ("stoa_sidecar", "404"), ("stoa_shadow", "404"), ("stoa_edge_mcp", "")],
)
async def test_a_real_gateway_in_a_mode_that_serves_no_api_is_warned_of(
    gateway_type: str, status: str
) -> None:
    for dialect in Dialect:
        async with adapter_for(StoaDouble(dialect).app(), gateway_type=gateway_type) as adapter:
            warnings = (await adapter.health_check()).warnings
        is_warned = bool(status) and dialect is Dialect.REAL
        assert [status in text for text in warnings] == [True] * is_warned


async def test_capabilities_are_those_of_the_running_gateway(real: Stoa, ours: Stoa) -> None:
    assert real.adapter.capabilities() is None
    await real.adapter.health_check()
    await ours.adapter.health_check()
    has_not, has = real.adapter.capabilities(), ours.adapter.capabilities()
    assert has_not is not None
    assert has is not None
    depending = {name for name, one in ADAPTER.capabilities.items() if one.depends}
    assert {name for name in depending if has[name].supported} == depending
    assert {name for name in depending if not has_not[name].supported} == depending
    assert set(has) == set(has_not) == set(ADAPTER.capabilities)


async def test_policies_that_protect_nothing_are_a_warning(ours: Stoa) -> None:
    ours.double.unattached = ["p1", "p2"]
    (warning,) = (await ours.adapter.health_check()).warnings
    assert warning == "2 policies on the gateway name no API and protect nothing: p1, p2"


@pytest.mark.parametrize("value", [None, [], {}, "p1", 3])
def test_an_odd_field_of_the_health_is_no_warning(value: object) -> None:
    assert unattached_in({"unattached_policies": value}) == ""


async def test_a_gateway_that_learns_an_extension_is_believed_at_the_next_health_check(
    real: Stoa,
) -> None:
    await real.adapter.health_check()
    real.double.dialect = Dialect.OURS
    await real.adapter.health_check()
    rules, capabilities = real.adapter.rules(), real.adapter.capabilities()
    assert rules is not None
    assert rules.project is None
    assert capabilities is not None
    assert capabilities["hosts"].supported


async def test_routes_have_our_ids_names_and_hashes(stoa: Stoa) -> None:
    result = await sync(stoa)
    ids = [BILLING.identifier("default", part) for part in ("", "1", "2")]
    assert list(stoa.double.routes) == ids
    assert json.loads(str(result.resource_id)) == ids
    routes = list(stoa.double.routes.values())
    assert [route["name"] for route in routes] == ["billing", "billing#1", "billing#2"]
    assert {route["tenant_id"] for route in routes} == {"acme"}
    assert len({route["spec_hash"] for route in routes}) == 1
    if stoa.double.dialect is Dialect.OURS:
        assert {route["api_id"] for route in routes} == {ids[0]}


async def test_an_api_of_one_route_has_its_plain_uuid(stoa: Stoa) -> None:
    result = await sync(stoa, routes=api()["routes"][:1])
    assert result.resource_id == BILLING.identifier("default")


async def test_nothing_is_searched_where_the_gateway_was_looked_at(stoa: Stoa) -> None:
    await stoa.adapter.health_check()
    stoa.double.requests.clear()
    await stoa.adapter.sync_api(spec_of(BILLING, api(), gateway_id=""), "acme")
    assert [method for method, _, _ in stoa.double.requests] == ["POST"] * 3


async def test_an_adopted_api_is_replaced_by_ours_and_the_old_route_goes_last(stoa: Stoa) -> None:
    stoa.double.routes["theirs"] = dict(ROUTE)
    result = await stoa.adapter.sync_api(spec_of(BILLING, api(), gateway_id="theirs"), "acme")
    assert result.success, result.error
    assert set(stoa.double.routes) == {BILLING.identifier("default", p) for p in ("", "1", "2")}
    assert stoa.double.requests[-1][:2] == ("DELETE", "/admin/apis/theirs")


@pytest.mark.parametrize("change", [
    {"plans": [{"name": "gold", "perMinute": 1}]},
    {"backend": {"url": "builtin:echo", "timeout": "30s", "retries": 0}},
])  # fmt: skip
async def test_the_real_gateway_is_not_sent_what_it_would_drop(
    real: Stoa, change: dict[str, Any]
) -> None:
    result = await sync(real, **change)
    assert (result.success, result.reason) == (False, "Unsupported")
    assert real.double.routes == {}


async def test_the_real_gateway_gets_no_policies_and_no_consumers(real: Stoa) -> None:
    key = Key("policy", "acme", "billing.cors")
    value = {"api": "billing", "type": "cors", "priority": 1, "config": {"origins": []}}
    policy = await real.adapter.upsert_policy(spec_of(key, value))
    assert "stores policies and does not enforce them" in str(policy.error)
    app = {"displayName": "M", "credentials": [], "subscriptions": [], "identifiers": {}}
    consumer = await real.adapter.provision_application(spec_of(Key("application", "a", "m"), app))
    assert "no consumers" in str(consumer.error)
    assert {path for _, path, _ in real.double.requests} == {"/admin/health"}


async def test_a_private_backend_is_refused_in_the_gateways_words(ours: Stoa) -> None:
    backend = {"url": "http://10.0.0.1/", "timeout": "30s", "retries": 0}
    result = await sync(ours, backend=backend)
    assert (result.reason, (result.data or {})["status"]) == ("GatewayRefused", 400)
    assert "private/internal IP range" in str(result.error)


async def test_a_key_of_another_consumer_is_a_conflict(ours: Stoa) -> None:
    value = {
        "displayName": "M", "subscriptions": [], "identifiers": {},
        "credentials": [{"type": "api_key", "key": Secret("the same key")}],
    }  # fmt: skip
    one, two = Key("application", "acme", "one"), Key("application", "acme", "two")
    assert (await ours.adapter.provision_application(spec_of(one, value))).success
    result = await ours.adapter.provision_application(spec_of(two, value))
    assert (result.reason, (result.data or {})["status"]) == ("GatewayRefused", 409)
    assert "the same key" not in str(result)


@pytest.mark.parametrize("kind", ["basic", "oauth2"])
async def test_a_credential_that_the_gateway_does_not_know_is_refused(
    ours: Stoa, kind: str
) -> None:
    value = {
        "displayName": "M", "subscriptions": [], "identifiers": {}, "credentials": [{"type": kind}],
    }  # fmt: skip
    result = await ours.adapter.provision_application(spec_of(Key("application", "a", "m"), value))
    assert (result.success, result.reason) == (False, "Unsupported")


async def test_a_key_that_leads_nowhere_fails_its_application(ours: Stoa) -> None:
    value = {
        "displayName": "M", "subscriptions": [], "identifiers": {},
        "credentials": [{"type": "api_key", "key": None}],
    }  # fmt: skip
    result = await ours.adapter.provision_application(spec_of(Key("application", "a", "m"), value))
    assert (result.success, result.reason) == (False, "SecretUnresolved")
    assert ours.double.consumers == {}


async def test_a_backend_credential_without_value_fails_before_any_write(ours: Stoa) -> None:
    auth = {"in": "header", "name": "X-Key", "value": None}
    result = await sync(ours, backend={**api()["backend"], "auth": auth})
    assert result.reason == "SecretUnresolved"
    assert ours.double.routes == {}


async def test_an_adopted_policy_is_replaced_by_ours(ours: Stoa) -> None:
    ours.double.policies["theirs"] = {}
    key = Key("policy", "acme", "billing.cors")
    value = {"api": "billing", "type": "cors", "priority": 1, "config": {"origins": []}}
    result = await ours.adapter.upsert_policy(spec_of(key, value, gateway_id="theirs"))
    assert list(ours.double.policies) == [result.resource_id]


@pytest.mark.parametrize("dialect", list(Dialect), ids=lambda dialect: dialect.name.lower())
async def test_a_gateway_without_a_token_is_named_and_not_asked_again(dialect: Dialect) -> None:
    double = StoaDouble(dialect, token=None)
    async with adapter_for(double.app()) as adapter:
        result = await adapter.health_check()
    assert (result.success, result.reason) == (False, "GatewayUnauthorized")
    assert "STOA_ADMIN_API_TOKEN" in str(result.error)
    assert len(double.requests) == 1


async def test_a_wrong_token_is_unauthorized_and_never_shown() -> None:
    async with adapter_for(StoaDouble(Dialect.OURS).app(), token="wr0ng-t0ken") as adapter:
        result = await adapter.health_check()
    assert result.reason == "GatewayUnauthorized"
    assert "wr0ng" not in str(result)


async def test_an_unchanged_list_is_transferred_once(ours: Stoa) -> None:
    await sync(ours)
    first = await ours.adapter.list_apis()
    assert await ours.adapter.list_apis() == first
    await sync(ours, active=False)
    (item,) = await ours.adapter.list_apis()
    assert item["spec"]["active"] is False


@pytest.mark.parametrize(
    "body",
    [
        [1],
        [{}],
        [{**ROUTE, "id": 5}],
        [{**ROUTE, "methods": None}],
        [{**ROUTE, "activated": "yes"}],
    ],
)
async def test_a_list_of_something_else_is_malformed(body: Any) -> None:
    app = web.Application()
    health = {"version": "0.9.25", "status": "ok"}
    app.router.add_get("/admin/health", answering(partial(web.json_response, health)))
    app.router.add_get("/admin/apis", answering(partial(web.json_response, body)))
    async with adapter_for(app) as adapter:
        with pytest.raises(GatewayMalformed, match="check that baseUrl is a STOA gateway's"):
            await adapter.list_apis()


@pytest.mark.parametrize("health", [{}, {"status": "ok"}, {"version": 3}])
async def test_a_health_without_version_is_not_a_stoa_gateway(health: dict[str, Any]) -> None:
    app = web.Application()
    app.router.add_get("/admin/health", answering(partial(web.json_response, health)))
    async with adapter_for(app) as adapter:
        assert (await adapter.health_check()).reason == "GatewayMalformed"


async def test_ids_with_odd_letters_stay_within_their_path(stoa: Stoa) -> None:
    await stoa.adapter.health_check()
    stoa.double.requests.clear()
    result = await stoa.adapter.delete_api("../policies/x?y")
    assert result.success
    assert [path for _, path, _ in stoa.double.requests] == ["/admin/apis/../policies/x?y"]


def test_the_same_adapter_serves_all_modes() -> None:
    for gateway_type in ADAPTER.types:
        assert isinstance(build(connection(gateway_type=gateway_type)), StoaAdapter)


async def test_the_tenant_that_the_gateway_counts_is_the_one_handed_in(stoa: Stoa) -> None:
    spec = spec_of(BILLING, api(routes=api()["routes"][:1]))
    await stoa.adapter.sync_api(replace(spec, gateway_id=""), "acme")
    (route,) = stoa.double.routes.values()
    assert route["tenant_id"] == "acme"

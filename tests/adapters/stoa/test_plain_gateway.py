"""Paths and backends on the real gateway 0.9.25, by what it was seen to do."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapters.registry import losses
from stoa_gitops.adapters.stoa import mappers
from stoa_gitops.adapters.stoa.plain_gateway import OWN_PATHS, joinable_url, plain_losses
from stoa_gitops.adapters.stoa.rules import EXTENDED, PLAIN, RESERVED, missing_for
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.resources import SourceRef
from tests.adapters.stoa.double import Dialect, StoaDouble
from tests.adapters.stoa.rig import stoa_rig
from tests.adapters.stoa.specs import spec_of
from tests.adapters.stoa.test_mapping import BILLING, api
from tests.contract.rig import CRM, TOKEN
from tests.contract.rig import api as contract_api

WITHOUT_PATH = (
    "http://host",
    "http://host/",
    "http://host:8080",
    "https://[2001:db8::1]",
    "http://host//",
)
HOSTILE = (
    "",
    "/x",
    "/",
    "@evil.example:80/",
    "%40evil.example/",
    ":81/",
    ".evil.example/",
    "x",
    "//evil.example/",
    "?a=@b",
    "#@c",
)


def double_with(url: str) -> StoaDouble:
    double = StoaDouble(Dialect.REAL)
    double.routes["r"] = {"path_prefix": "/apis/x", "backend_url": url, "upstreams": []}
    return double


@pytest.mark.parametrize(
    ("url", "path", "host"),
    [
        ("http://upstream:18190", "/apis/x@127.0.0.1:18191/x", "127.0.0.1:18191"),
        ("http://upstream", "/apis/x:18191/x", "upstream:18191"),
        ("http://upstream:18190", "/apis/xbc/def", "upstream:18190bc"),
    ],
)
def test_the_double_lets_a_caller_choose_the_host_as_the_gateway_does(
    url: str, path: str, host: str
) -> None:
    target = double_with(url).forwarded_to(path)
    assert urlsplit(str(target)).netloc.rpartition("@")[2] == host


@pytest.mark.parametrize("url", WITHOUT_PATH)
@given(rest=st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12)))
def test_no_caller_chooses_the_host_of_a_backend_as_it_is_written(url: str, rest: str) -> None:
    target = str(double_with(joinable_url(url)).forwarded_to(f"/apis/x{rest}"))
    assert urlsplit(target).netloc == urlsplit(url).netloc
    assert urlsplit(target).path.startswith("/.")


@pytest.mark.parametrize("url", WITHOUT_PATH)
def test_a_usual_path_arrives_as_it_was(url: str) -> None:
    target = str(double_with(joinable_url(url)).forwarded_to("/apis/x/orders"))
    assert urlsplit(urljoin(target, target)).path.replace("/./", "/") == "/orders"


@pytest.mark.parametrize(
    "url", ["http://host/.", "http://host/v2", "http://host/v2/", "builtin:echo"]
)
def test_a_backend_with_a_path_is_written_as_it_is(url: str) -> None:
    assert joinable_url(url) == url


@pytest.mark.parametrize("url", WITHOUT_PATH)
def test_our_data_plane_gets_the_url_of_the_document(url: str) -> None:
    spec = spec_of(BILLING, api(backend={"url": url, "timeout": "30s", "retries": 0}))
    plain = {r["backend_url"] for r in mappers.routes_of(spec, "acme", PLAIN)}
    extended = {r["backend_url"] for r in mappers.routes_of(spec, "acme", EXTENDED)}
    assert extended == {url}
    assert plain == {joinable_url(url)} != extended


def with_path(path: str, *methods: str) -> dict[str, Any]:
    route = {"path": path, "methods": list(methods), "hosts": [], "stripPath": True}
    return api(routes=[route])


@pytest.mark.parametrize(
    "path",
    [
        "/", "/a%2Fb", "/caf%C3%A9", "/mcp", "/mcp/tools/list", "/metrics", "/proxy/x/y",
        "/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions", "/ws/r1", "/soap/r1",
        "/a2a", "/oauth/token", "/.well-known/openid-configuration", "/hegemon/x", "/health",
    ],
)  # fmt: skip
def test_a_path_that_never_reaches_its_route_is_a_loss(path: str) -> None:
    (loss,) = plain_losses("api", with_path(path))
    assert path in loss.message
    assert not loss.is_partial
    assert loss.message in str(missing_for(with_path(path), PLAIN))
    assert missing_for(with_path(path), EXTENDED) is None


@pytest.mark.parametrize(
    "path", ["/apis/acme/x", "/mcps", "/metricsx", "/v1/message", "/proxyx/a", "/soapy", "/a2ab"]
)
def test_a_path_that_only_begins_alike_is_none(path: str) -> None:
    assert plain_losses("api", with_path(path)) == ()


def test_a_path_above_one_of_the_gateways_own_is_written_and_says_what_it_misses() -> None:
    (loss,) = plain_losses("api", with_path("/v1"))
    assert loss.is_partial
    assert "/v1/messages" in loss.message
    assert missing_for(with_path("/v1"), PLAIN) is None


def test_methods_that_the_gateway_refuses_are_a_loss() -> None:
    (all_of_them,) = plain_losses("api", with_path("/x", "PROPFIND"))
    (one_of_them,) = plain_losses("api", with_path("/x", "GET", "QUERY"))
    assert (all_of_them.is_partial, one_of_them.is_partial) == (False, True)
    assert plain_losses("api", with_path("/x", "GET", "OPTIONS")) == ()


def test_two_routes_with_one_path_are_a_loss() -> None:
    routes = [*with_path("/x", "GET")["routes"], *with_path("/x", "POST")["routes"]]
    (loss,) = plain_losses("api", api(routes=routes))
    assert "any one of 2 routes" in loss.message


def test_a_query_of_the_backend_is_a_loss() -> None:
    backend = {"url": "http://host/q?k=1", "timeout": "30s", "retries": 0}
    (loss,) = plain_losses("api", api(backend=backend))
    assert "query" in loss.message


def at(host: str) -> JsonObject:
    return api(backend={"url": f"http://{host}/x", "timeout": "30s", "retries": 0})


# Both lists were seen of the gateway 0.9.25.
REFUSED = """
127.0.0.1 127.1 0x7f.1 2130706433 10.1.2.3 172.16.0.1 192.168.1.1 169.254.1.1 0.0.0.0
255.255.255.255 [::1] [::] [fd00::1] LOCALHOST
"""
TAKEN = """
100.64.0.1 172.32.0.1 224.0.0.1 198.18.0.1 0.1.2.3 1.2.3 [fe80::1] [::ffff:127.0.0.1]
a.localhost localhost. upstream x.example
"""


@pytest.mark.parametrize("host", REFUSED.split())
def test_a_backend_that_the_admin_api_refuses_is_a_loss(host: str) -> None:
    (loss,) = plain_losses("api", at(host))
    assert "a loopback or private address" in loss.message
    assert not loss.is_partial


@pytest.mark.parametrize("host", TAKEN.split())
def test_a_backend_that_the_admin_api_takes_is_none(host: str) -> None:
    assert plain_losses("api", at(host)) == ()


def test_other_kinds_have_no_losses() -> None:
    assert plain_losses("application", {"credentials": []}) == ()


def test_what_every_gateway_reserves_is_among_the_real_ones_own_paths() -> None:
    assert set(RESERVED) <= set(OWN_PATHS)


def instance(base_url: str) -> GatewayInstance:
    return GatewayInstance("g", "stoa_edge_mcp", "dev", base_url, SourceRef("gateways/g.yaml"))


def test_validation_says_it_of_a_gateway_that_may_be_a_real_one() -> None:
    remote, embedded = losses(instance("http://gateway:8080")), losses(instance("embedded"))
    assert remote is not None
    assert embedded is not None
    (loss,) = remote("api", with_path("/metrics"))
    assert loss.message.startswith("without the extensions of our data plane, it answers /metrics")
    assert embedded("api", with_path("/metrics")) == ()


@pytest.mark.parametrize("dialect", list(Dialect), ids=lambda dialect: dialect.name.lower())
async def test_the_plan_holds_back_what_the_running_gateway_cannot_do(dialect: Dialect) -> None:
    double = StoaDouble(dialect, TOKEN)
    async with stoa_rig(double) as rig:
        specs = {CRM: contract_api("crm", routes=with_path("/metrics")["routes"])}
        plan = await rig.plan(specs)
        if dialect is Dialect.OURS:
            assert [c.key for c in plan.changes] == [CRM]
            return
        assert not plan.changes
        assert [(s.reason, s.is_failure) for s in plan.skipped] == [(SkipReason.UNSUPPORTED, True)]
    assert {method for method, _, _ in double.requests} == {"GET"}


async def test_a_backend_that_was_written_without_a_path_is_written_again() -> None:
    double = StoaDouble(Dialect.REAL, TOKEN)
    specs = {CRM: contract_api("crm", backend={"url": "http://h", "timeout": "30s", "retries": 0})}
    async with stoa_rig(double) as rig:
        await rig.converge(specs)
        (route,) = double.routes.values()
        assert route["backend_url"] == "http://h/."
        assert (await rig.plan(specs)).is_empty
        # As an earlier version wrote it.
        route["backend_url"] = "http://h"
        assert [c.key for c in (await rig.plan(specs)).changes] == [CRM]

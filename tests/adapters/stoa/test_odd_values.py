"""Nothing that the catalog's schemas let through is refused by our data plane without a word."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stoa_proxy.admin.checks import Scope
from stoa_proxy.admin.json_body import Body
from stoa_proxy.admin.routes import parse_route
from stoa_proxy.foundation.address_guard import AddressGuard

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapters.registry import losses
from stoa_gitops.adapters.stoa.data_plane import data_plane_losses
from stoa_gitops.adapters.stoa.plain_gateway import plain_losses
from stoa_gitops.adapters.stoa.routes import routes_of
from stoa_gitops.adapters.stoa.rules import EXTENDED
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import API, POLICY
from stoa_gitops.model.resources import SourceRef
from tests.adapters.stoa.specs import spec_of
from tests.adapters.stoa.test_mapping import BILLING, api
from tests.laws import examples

FINDERS = (data_plane_losses, plain_losses)
EVERYWHERE = AddressGuard([ip_network("0.0.0.0/0"), ip_network("::/0")])


HOSTS = """
h 1.2.3.4 1.2.3 0x7f.1 [::1] [::ffff:8.8.8.8] \u00e9.example -a.b a..b a_b a. x.y.Z *.example a!b
xn--e1afmkfd.example 256.1.1.1
"""
PATHS = """
/ // /a//b /a/../b /%2e%2e/b /%252e /a%00 /%u002e /%c0%ae /\u00e9 /(a);b /..;x ?q=1 /a%5c..%5cb
"""
hosts = st.sampled_from([*HOSTS.split(), "x" * 64, "x." * 126 + "y"])
odd_paths = st.sampled_from([*PATHS.split(), "", "/a\\b", "/a b"])
paths = st.one_of(odd_paths, st.from_regex(r"(/[!-~]{0,6}){0,3}", fullmatch=True))
timeouts = st.sampled_from(["1ms", "30s", "1h", "3600001ms", "0s", "999h", "720h"])
numbers = st.sampled_from([1, 5, 2**31 - 1, 2**31, 10**12])


@st.composite
def odd_apis(draw: st.DrawFn) -> dict[str, Any]:
    where = draw(st.sampled_from(["header", "query"]))
    rates = st.sampled_from(["perSecond", "perMinute", "perDay", "perMonth", "burst"])
    plan = draw(st.dictionaries(rates, numbers, max_size=2))
    port = draw(st.sampled_from(["", ":80", ":65535"]))
    urls = st.builds("http://{}{}{}".format, hosts, st.just(port), paths)
    url, fallback = (draw(urls).partition("#")[0] for _ in range(2))
    fallback = draw(st.sampled_from([fallback, "builtin:echo"]))
    names = st.sampled_from(["X-Key", "Host", "Via", " ", "a b", "te", "k", "\u00e9"])
    return api(
        backend={
            "url": url,
            "fallback": fallback,
            "timeout": draw(timeouts),
            "retries": draw(st.sampled_from([0, 10, 11, 2**40])),
            "auth": {"in": where, "name": draw(names), "value": {"env": "K"}},
        },
        routes=[
            {
                "path": "/b",
                "methods": [],
                "stripPath": True,
                "hosts": [draw(hosts).strip("[]")],
                **draw(
                    st.sampled_from(({}, {"headers": [{"name": "x-env", "values": ["a", "b c"]}]}))
                ),
            }
        ],
        plans=[{"name": "gold", **plan}],
    )


@examples(600)
@given(spec=odd_apis())
@example(spec=api(plans=[{"name": "gold", "burst": 5}]))
def test_an_api_with_any_value_is_held_back_or_taken(spec: dict[str, Any]) -> None:
    if not data_plane_losses(API, spec):
        body = routes_of(resolved(spec), "acme", EXTENDED)[0]
        parse_route(Body(json.loads(json.dumps(body))), EVERYWHERE, Scope(None))


NEAR_USUAL = (
    r"https?://([a-z0-9-]{0,3}\.){0,3}(localhost|[a-z0-9]{0,3})(:[0-9]{1,2})?"
    r"(/[A-Za-z0-9_~.;%-]{0,3}){0,3}(\?[a-z])?"
)


@examples(600)
@given(url=st.from_regex(NEAR_USUAL, fullmatch=True))
@example(url=f"http://{'a.' * 127}com/")
@example(url=f"http://{'a' * 64}.com/")
@example(url="http://10.0.0.1/")
@example(url="http://a.example/v1/..")
def test_urls_that_are_not_looked_into_hold_nothing_to_find(url: str) -> None:
    def found(text: str) -> list[str]:
        spec = api(backend={"url": text, "timeout": "30s", "retries": 0})
        return [loss.message for find in FINDERS for loss in find(API, spec)]

    # With its scheme in upper case no URL is a usual one.
    assert found(url) == found(url.replace("http", "HTTP", 1))


def resolved(spec: dict[str, Any]) -> ObjectSpec:
    value = json.loads(json.dumps(spec))
    if "auth" in value["backend"]:
        value["backend"]["auth"]["value"] = "a-credential"
    return spec_of(BILLING, value)


@pytest.mark.parametrize("base_url", ["embedded", "http://gateway:8080"])
def test_validation_says_what_our_data_plane_refuses(base_url: str) -> None:
    gateway = GatewayInstance("g", "stoa_edge_mcp", "dev", base_url, SourceRef("gateways/g.yaml"))
    find = losses(gateway)
    assert find is not None
    config = {"request": {"set": {"Via": "x"}}}
    (loss,) = find(POLICY, {"api": "billing", "type": "headers", "config": config})
    assert loss.message == "the request header Via: the gateway alone writes it"
    assert loss.at == ("config", "request", "set")
    (loss,) = find(API, api(backend={"url": "http://a..b", "timeout": "30s", "retries": 0}))
    assert "the backend's host a..b" in loss.message

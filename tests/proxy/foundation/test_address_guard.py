"""Which backends are accepted, and which addresses are connected to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.backend import Backend, BuiltinEcho, parse_upstream
from stoa_proxy.errors import BackendInvalid
from stoa_proxy.foundation.address_guard import (
    Address,
    AddressGuard,
    Network,
    NetworkSet,
    is_in_any,
    parse_networks,
)

from tests.proxy.conftest import Api, Upstream, route_body, running

REFUSED = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
    "100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "::1", "::", "fe80::1",
    "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "::127.0.0.1", "fec0::1", "2001:db8::1", "no address",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert AddressGuard().refusal(address) is not None


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822"])
def test_public_addresses_pass(address: str) -> None:
    assert AddressGuard().refusal(address) is None


def test_allowed_networks_lift_a_refusal_and_denied_ones_win() -> None:
    guard = AddressGuard(parse_networks(["127.0.0.0/8"]), parse_networks(["127.0.0.2"]))
    assert guard.refusal("127.0.0.1") is None
    assert guard.refusal("::ffff:127.0.0.1") is None
    assert guard.refusal("64:ff9b::7f00:1") is None
    assert guard.refusal("127.0.0.2") is not None
    assert guard.refusal("64:ff9b::7f00:2") is not None
    assert guard.refusal("10.0.0.1") is not None
    assert AddressGuard(deny=parse_networks(["93.184.216.0/24"])).refusal("93.184.216.34")


def test_a_backend_is_parsed_into_parts() -> None:
    found = parse_upstream("https://Api.Example.com/v1/?k=1", AddressGuard())
    assert isinstance(found, Backend)
    assert found.origin == ("https", "api.example.com", 443, None)
    assert (found.base_path, found.base_query) == ("/v1/", "k=1")
    assert isinstance(parse_upstream("builtin:echo", AddressGuard()), BuiltinEcho)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/x", "file:///etc/passwd", "http://", "http://u:p@example.com/",
     "http://example.com/#f", "http://exa mple.com/", "http://example.com:0/", "http://h:99999/",
     "http://2130706433/", "http://0x7f000001/", "http://127.1/", "http://0177.0.0.1/",
     "http://localhost/", "http://LOCALHOST./", "http://a.localhost/", "http://[::1]/",
     "http://[::ffff:127.0.0.1]/", "http://[fe80::1%25eth0]/", "http://example.com/a/../b",
     "http://example.com\\@evil.test/", "//example.com", "builtin:other", "http://-x.test/"],
)  # fmt: skip
def test_backends_that_cannot_be_trusted_are_refused(url: str) -> None:
    with pytest.raises(BackendInvalid):
        parse_upstream(url, AddressGuard())


async def test_a_name_is_checked_by_the_address_it_is_connected_to(upstream: Upstream) -> None:
    # A name that stands for loopback passes at upsert when loopback is allowed; then it is not.
    async with running() as api:
        await api.route(f"http://localhost:{upstream.port}")
        assert (await api.get("/a")).status == 200
        await api.gateway.update_backends(allow=[])
        answer = await api.get("/a")
    assert answer.status == 502
    assert (await answer.json(content_type=None))["title"] == "Backend address refused"
    assert len(upstream.seen) == 1


async def test_literals_are_checked_again_when_they_are_connected_to(upstream: Upstream) -> None:
    async with running() as api:
        await api.route(upstream.url)
        assert (await api.get("/a")).status == 200
        await api.gateway.update_backends(allow=["127.0.0.0/8"], deny=["127.0.0.1"])
        assert (await api.get("/a")).status == 502
        refused = await api.admin("POST", "/admin/apis", route_body(upstream.url))
        assert refused.status == 400
        assert set(await refused.json()) == {"error", "detail"}
    assert len(upstream.seen) == 1


async def test_a_denied_fallback_is_refused_at_upsert(api: Api) -> None:
    body = route_body("builtin:echo", fallback_url="http://10.0.0.1/")
    answer = await api.admin("POST", "/admin/apis", body)
    assert answer.status == 400
    assert (await answer.json())["error"] == "fallback_url targets a private/internal IP range"


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@st.composite
def networks_of(draw: st.DrawFn, addresses: list[Address]) -> Network:
    """A network, which may hold one of the addresses."""
    address = draw(st.one_of(st.sampled_from(addresses), ADDRESSES))
    length = draw(st.integers(0, address.max_prefixlen))
    kind = IPv4Network if isinstance(address, IPv4Address) else IPv6Network
    return kind((int(address), length), strict=False)


@given(data=st.data(), addresses=st.lists(ADDRESSES, min_size=1, max_size=5))
def test_a_set_of_networks_holds_what_one_of_them_holds(
    data: st.DataObject, addresses: list[Address]
) -> None:
    networks = tuple(data.draw(st.lists(networks_of(addresses), max_size=5)))
    found = NetworkSet(networks)
    for address in addresses:
        assert (address in found) == is_in_any(address, networks)

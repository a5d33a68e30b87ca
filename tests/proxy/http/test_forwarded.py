"""Clients that trusted proxies name."""

from __future__ import annotations

import pytest
from stoa_proxy.foundation.address_guard import parse_networks
from stoa_proxy.http.forwarded import forwarded_client, forwarded_scheme, is_proxy

PROXIES = parse_networks(["10.0.0.0/8", "2001:db8:f::/48"])
PEER = "10.0.0.1"


@pytest.mark.parametrize(
    ("values", "client"),
    [
        ([], PEER),
        (["192.0.2.7"], "192.0.2.7"),
        (["203.0.113.9, 192.0.2.7"], "192.0.2.7"),
        (["203.0.113.9", "192.0.2.7, 10.0.0.2"], "192.0.2.7"),
        (["192.0.2.7:4711"], "192.0.2.7"),
        (["[2001:db8::7]:4711"], "2001:db8::7"),
        (["192.0.2.7, 2001:db8:f::2"], "192.0.2.7"),
        (["::ffff:192.0.2.7"], "192.0.2.7"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (["192.0.2.7, unknown"], PEER),
        (["192.0.2.7, unknown, 10.0.0.2"], "10.0.0.2"),
        (["192.0.2.7" + ", 10.0.0.2" * 5000], "10.0.0.2"),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy(values: list[str], client: str) -> None:
    assert forwarded_client(PEER, values, PROXIES) == client


def test_only_what_is_listed_is_a_proxy() -> None:
    peers = ("10.9.9.9", "::ffff:10.0.0.1", "2001:db8:f::1", "192.0.2.7", "unknown")
    assert [is_proxy(peer, PROXIES) for peer in peers] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("values", "scheme"),
    [
        ([], "http"), (["https"], "https"), (["HTTPS "], "https"), (["http"], "http"),
        (["https, http"], "http"), (["http", "https"], "https"), (["wss"], "http"),
        (["https,"], "http"), (["https" + "," * 50_000 + "https"], "https"),
    ],
)  # fmt: skip
def test_the_scheme_is_the_last_that_proxies_name(values: list[str], scheme: str) -> None:
    assert forwarded_scheme(values, "http") == scheme

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.catalog.evaluation.backend_urls import (
    check_url,
    denial_reason,
    foreign_family,
    literal_addresses,
)
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.resources import SourceRef


def gateway(*, allow: tuple[str, ...] = (), deny: tuple[str, ...] = ()) -> GatewayInstance:
    return GatewayInstance(
        "g", "stoa", "dev", "http://g", SourceRef("g"), backends_allow=allow, backends_deny=deny
    )


def verdict(url: str, **lists: tuple[str, ...]) -> str:
    backend, found = check_url(url, (), 0)
    assert backend is not None, found
    return denial_reason(backend, gateway(**lists))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1.", "127.1", "127.255.255.254", "2130706433", "0x7f000001",
     "0x7F.0.0.1", "017700000001",
     "0177.1", "127.0.1", "localhost", "LOCALHOST", "localhost.", "a.localhost", "[::1]",
     "[0:0:0:0:0:0:0:1]",
     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
     "[2002:7f00:1::]",
     "①②⑦.0.0.1", "\uff11\uff12\uff17.0.0.1", "169.254.169.254", "[fe80::1]", "[fe80::1%25eth0]",
     "0.0.0.0", "0", "0.1.2.3", "[::]",
     "224.0.0.1", "[ff02::1]", "255.255.255.255"],
)  # fmt: skip
def test_addresses_that_no_backend_has_are_known_in_every_notation(host: str) -> None:
    backend, found = check_url(f"http://{host}/", (), 0)
    assert found or (backend is not None and denial_reason(backend, gateway()))


@pytest.mark.parametrize(
    "host", ["example.com", "10.0.0.1", "192.168.1.1", "8.8.8.8", "127.0.0.1.example",
             "localhost.example", "[2001:db8::1]",
             "1.2.3.4.5", "256.1.1.1", "0x7f.example", "127", "a0x1"],
)  # fmt: skip
def test_other_hosts_are_left_to_whoever_resolves_them(host: str) -> None:
    expected = "" if host != "127" else "0.0.0.127 is unspecified"
    assert verdict(f"http://{host}/") == expected


def test_a_gateway_may_allow_and_deny() -> None:
    assert verdict("http://127.0.0.1/", allow=("127.0.0.0/8",)) == ""
    assert verdict("http://localhost/", allow=("127.0.0.1",)) == ""
    assert verdict("http://[::ffff:127.0.0.1]/", allow=("127.0.0.0/8",)) == ""
    assert "loopback" in verdict("http://[::1]/", allow=("127.0.0.0/8",))
    assert (
        verdict("http://10.1.2.3/", deny=("10.0.0.0/8",)) == "10.1.2.3 is denied by backends.deny"
    )
    assert "denied" in verdict("http://127.0.0.1/", allow=("127.0.0.0/8",), deny=("127.0.0.1/32",))


@pytest.mark.parametrize(
    ("url", "code"),
    [("ftp://x/", "backend.scheme"), ("file:///etc/passwd", "backend.scheme"), ("http://",
                                                                                "backend.url"),
     ("http://x:99999/", "backend.url"), ("http://x:0/", "backend.url"), ("http://[::1/",
                                                                          "backend.url"),
     ("http://%31/", "backend.url"), ("http://x/#f", "backend.url"), ("http://u@x/",
                                                                      "secret.value"),
     ("http://x:abc/", "backend.url")],
)  # fmt: skip
def test_urls_that_are_none(url: str, code: str) -> None:
    _, found = check_url(url, ("spec",), 2)
    assert [(finding.code, finding.document) for finding in found] == [(code, 2)]


@given(st.ip_addresses(v=4))
def test_every_spelling_of_an_ipv4_address_is_that_address(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    parts = [number >> shift & 255 for shift in (24, 16, 8, 0)]
    spellings = [
        str(address), str(number), hex(number), f"0{number:o}",
        ".".join(hex(part) for part in parts), ".".join(f"0{part:o}" for part in parts),
        f"{parts[0]}.{number & 0xFFFFFF}", f"{parts[0]}.{parts[1]}.{number & 0xFFFF}",
    ]  # fmt: skip
    assert all(literal_addresses(spelling) == (address,) for spelling in spellings)
    assert address in literal_addresses(f"::ffff:{address}")


@pytest.mark.parametrize(
    ("host", "environment", "expected"),
    [("api.prod.example", "dev", "production"), ("api-staging.example", "prod", "staging"),
     ("api.prod.example", "prod", ""),
     ("api.prod.example", "production", ""), ("products.example", "dev", ""), ("prod.dev.example",
                                                                               "dev", ""),
     ("api.prod.example", "blue", ""), ("live.example", "qa", "production")],
)  # fmt: skip
def test_names_that_speak_of_another_environment(
    host: str, environment: str, expected: str
) -> None:
    assert foreign_family(host, environment) == expected

from __future__ import annotations

from functools import partial
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.http.proxies import environment_proxy, is_exempt
from stoa_gitops.adapter_sdk.http.transport import Limits
from stoa_gitops.errors import GatewayUnreachable
from tests.socks import serve_socks
from tests.unit.adapter_sdk.serving import answering, connection, served

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("host", "exempt", "expected"),
    [
        ("192.0.2.1", "", False),
        ("192.0.2.1", "::1,fe80::/10", False),
        ("192.0.2.1", "localhost,127.0.0.1,[::1]", False),
        ("192.0.2.1", "192.0.2.0/24", True),
        ("192.0.2.1", "192.0.2.1:8001", True),
        ("192.0.2.1", "192.0.2.1:9", False),
        ("[2001:db8::1]", "2001:db8::/32", True),
        ("[2001:db8::1]", "[2001:db8::1]:8001", True),
        ("[2001:db8::1]", "[2001:db8::1]:9", False),
        ("2001:db8:0::1", "2001:db8::1", True),
        ("kong.example", ".example", True),
        ("kong.example", "*.example", True),
        ("kong.example", "a.example, KONG.example", True),
        ("notkong.example", "kong.example", False),
        ("kong.example", "10.0.0.0/8", False),
        ("kong.example", "*", True),
        ("192.0.2.1", "192.0.2.0/99,[::1,%,:", False),
    ],
)
def test_no_proxy_takes_names_domains_addresses_and_networks(
    host: str, exempt: str, expected: bool
) -> None:
    assert is_exempt(host, 8001, exempt) is expected
    found = environment_proxy(
        f"http://{host}:8001" if host.count(":") < 2 or "[" in host else f"http://[{host}]:8001",
        {"http_proxy": PROXY, "NO_PROXY": exempt},
    )
    assert found == (None if expected else PROXY)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"https_proxy": "proxy.example:3128"}, PROXY),
        ({"ALL_PROXY": PROXY}, PROXY),
        ({"http_proxy": PROXY}, None),
        ({"https_proxy": ""}, None),
    ],
)
def test_the_variable_is_that_of_the_scheme(
    variables: dict[str, str], expected: str | None
) -> None:
    assert environment_proxy("https://kong.example", variables) == expected


def test_a_header_of_a_caller_is_no_proxy() -> None:
    variables = {"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}
    assert environment_proxy("http://kong.example", variables) is None


def test_this_machine_is_called_directly() -> None:
    assert environment_proxy("http://127.0.0.1:8001", {"http_proxy": PROXY}) is None


@pytest.mark.parametrize(
    "proxy", ["socks5://p.example:1080", "ftp://p.example", "http://[::1", "http://:x"]
)
def test_a_proxy_that_cannot_be_used_says_why(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stoa_gitops.adapter_sdk.http.proxies.find_spec", lambda _: None)
    with pytest.raises(GatewayUnreachable, match=r"SOCKS|type ftp|is no URL"):
        environment_proxy("http://kong.example", {"all_proxy": proxy})


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "SOCKS5"])
async def test_a_gateway_is_called_through_a_socks_proxy_which_finds_its_name(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(answering(partial(web.json_response, [1]))) as one:
        port = urlsplit(one.base_url).port
        assert port
        with serve_socks() as proxy:
            monkeypatch.setenv("ALL_PROXY", proxy.url.replace("socks5h", scheme))
            client = AdminClient(connection(f"http://gateway.example:{port}"))
            assert await client.get_json("/v1/things", "the list of things", list) == [1]
            await client.aclose()
            exempt = AdminClient(connection(one.base_url))
            assert await exempt.get_json("/v1/things", "the list of things", list) == [1]
            await exempt.aclose()
            assert proxy.asked == [("gateway.example", port)]


async def test_a_socks_proxy_that_is_not_there_is_an_unreachable_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    client = AdminClient(connection("http://gateway.example:8001"), limits=Limits(tries=1))
    with pytest.raises(GatewayUnreachable, match="no connection"):
        await client.get_json("/v1/things", "the list of things", list)
    await client.aclose()

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.http.registered_address import is_within, plain_address
from stoa_gitops.adapter_sdk.http.transport import Limits
from stoa_gitops.errors import GatewayAddressRefused, GatewayError, GatewayUnreachable
from stoa_gitops.model.instances import RegistrationRules
from tests.adapters.front import listening
from tests.unit.adapter_sdk.serving import connection
from tests.unit.adapter_sdk.test_http_tls import CA, tls_server

WHAT = "the health"
LOOPBACK = ("127.0.0.0/8", "::1/128")


class Resolver:
    """Answers in turn, the last answer for ever, and counts how often it was asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def client_for(
    url: str, networks: Sequence[str], resolver: Resolver | None = None, **more: object
) -> AdminClient:
    """A client for a registered address, which tries once."""
    options = {} if resolver is None else {"resolve": resolver}
    link = connection(
        url,
        registration=RegistrationRules(networks=tuple(networks)),
        registration_id="4d1d4b2c",
        **more,
    )
    return AdminClient(link, limits=Limits(tries=1, connect_seconds=1.0), **options)  # type: ignore[arg-type]


@asynccontextmanager
async def gateway() -> AsyncIterator[tuple[str, list[web.Request]]]:
    requests: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        requests.append(request)
        if request.path == "/elsewhere":
            raise web.HTTPTemporaryRedirect("http://169.254.169.254/latest/meta-data")
        return web.json_response({"version": "1"})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner, url = await listening(app)
    try:
        yield url, requests
    finally:
        await runner.cleanup()


def port_of(url: str) -> str:
    return url.rpartition(":")[2]


async def health(client: AdminClient, path: str = "/admin/health") -> object:
    try:
        return await client.get_json(path, WHAT, dict)
    finally:
        await client.aclose()


async def test_the_request_goes_to_the_address_that_was_checked_under_the_given_name() -> None:
    async with gateway() as (url, requests):
        resolver = Resolver(["127.0.0.1"])
        named = f"http://pod.example:{port_of(url)}"
        assert await health(client_for(named, LOOPBACK, resolver)) == {"version": "1"}
        assert requests[0].host == f"pod.example:{port_of(url)}"
        assert resolver.asked == [("pod.example", int(port_of(url)))]


async def test_a_name_that_changes_its_answer_is_checked_again() -> None:
    async with gateway() as (url, requests):
        resolver = Resolver(["127.0.0.1"], ["169.254.169.254"])
        client = client_for(f"http://pod.example:{port_of(url)}", LOOPBACK, resolver)
        assert await client.get_json("/", WHAT, dict) == {"version": "1"}
        with pytest.raises(GatewayAddressRefused, match=r"169\.254\.169\.254, the address of pod"):
            await health(client)
        assert len(requests) == 1


async def test_one_address_outside_of_the_networks_refuses_them_all() -> None:
    async with gateway() as (url, requests):
        resolver = Resolver(["127.0.0.1", "10.1.2.3"])
        named = f"http://pod.example:{port_of(url)}"
        with pytest.raises(GatewayAddressRefused, match=r"10\.1\.2\.3"):
            await health(client_for(named, LOOPBACK, resolver))
        assert requests == []


async def test_the_next_address_is_called_where_one_does_not_answer() -> None:
    async with gateway() as (url, _):
        # Nothing listens on the first one.
        resolver = Resolver(["127.0.0.77", "127.0.0.1"])
        named = f"http://pod.example:{port_of(url)}"
        assert await health(client_for(named, LOOPBACK, resolver)) == {"version": "1"}


async def test_without_networks_nothing_is_called_and_the_field_is_named() -> None:
    async with gateway() as (url, requests):
        with pytest.raises(GatewayAddressRefused) as caught:
            await health(client_for(url, ()))
        assert requests == []
    assert str(caught.value) == (
        "the health: 127.0.0.1 is where the gateway registered itself, and no network is allowed: "
        "name those of such gateways in spec.registration.networks"
    )


async def test_a_redirect_is_not_followed() -> None:
    async with gateway() as (url, requests):
        with pytest.raises(GatewayError, match="redirects are not followed"):
            await health(client_for(url, LOOPBACK), "/elsewhere")
        assert len(requests) == 1


async def test_no_proxy_of_the_environment_stands_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with gateway() as (url, _):
        named = f"http://pod.example:{port_of(url)}"
        assert await health(client_for(named, LOOPBACK, Resolver(["127.0.0.1"])))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "localhost.",
        "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "[::127.0.0.1]",
        "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021",
    ],
)  # fmt: skip
async def test_loopback_in_any_notation_is_not_reached_by_a_wide_network(host: str) -> None:
    async with gateway() as (url, requests):
        client = client_for(f"http://{host}:{port_of(url)}", ("0.0.0.0/0", "::/0"))
        with pytest.raises(GatewayError):
            await health(client)
        assert requests == []


@pytest.mark.parametrize("host", ["127%2e0%2e0%2e1", "[fe80::1%25lo]", "[::1%25lo]", "%31%32%37.1"])
async def test_escapes_and_zones_in_a_host_are_refused(host: str) -> None:
    async with gateway() as (url, requests):
        with pytest.raises(GatewayError):
            await health(client_for(f"http://{host}:{port_of(url)}", LOOPBACK))
        assert requests == []


async def test_a_resolver_that_answers_with_a_zone_is_refused() -> None:
    client = client_for("http://pod.example:1", ("fe80::/10",), Resolver(["fe80::1%eth0"]))
    with pytest.raises(GatewayAddressRefused, match="fe80::1%eth0"):
        await health(client)


@pytest.mark.parametrize("found", [[], OSError("no such host")])
async def test_a_host_without_an_address_is_unreachable(found: object) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        if isinstance(found, Exception):
            raise found
        return []

    link = connection("http://pod.example", registration_id="4d1d4b2c")
    client = AdminClient(link, limits=Limits(tries=1), resolve=resolve)
    with pytest.raises(GatewayUnreachable, match=r"pod\.example, where the gateway registered"):
        await health(client)


@pytest.mark.parametrize(("name", "is_trusted"), [("gateway.internal", True), ("a.example", False)])
async def test_the_certificate_is_for_the_name_and_not_for_the_address(
    name: str, is_trusted: bool
) -> None:
    async with tls_server() as url:
        client = client_for(
            f"https://{name}:{port_of(url)}", LOOPBACK, Resolver(["127.0.0.1"]), tls={"ca": CA}
        )
        if is_trusted:
            assert await health(client, "/") == {"ok": True}
            return
        with pytest.raises(GatewayUnreachable, match="certificate"):
            await health(client, "/")


@pytest.mark.parametrize(
    ("address", "networks", "expected"),
    [
        ("10.1.2.3", ["10.0.0.0/8"], True),
        ("10.1.2.3", ["10.1.2.3/32"], True),
        ("10.1.2.3", ["10.2.0.0/16"], False),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], True),
        ("127.0.0.1", ["0.0.0.0/0"], False),
        ("127.0.0.1", ["127.0.0.0/8"], True),
        ("127.0.0.1", ["127.0.0.1/32"], True),
        ("::1", ["::/0"], False),
        ("::1", ["::1/128"], True),
        ("100.64.0.1", ["0.0.0.0/0"], False),
        ("100.64.0.1", ["100.64.0.0/10"], True),
        ("100.100.100.200", ["100.64.0.0/10"], False),
        ("100.100.100.200", ["100.100.100.200/32"], True),
        ("169.254.1.1", ["169.254.0.0/16"], True),
        ("169.254.169.254", ["169.254.0.0/16", "0.0.0.0/0"], False),
        ("fd00:ec2::254", ["fc00::/7"], False),
        ("fd00:1::1", ["fc00::/7"], True),
        ("64:ff9b::7f00:1", ["::/0"], False),
        ("2002:7f00:1::", ["::/0"], False),
        ("8.8.8.8", ["0.0.0.0/0"], True),
        ("2001:db8::1", ["::/0"], True),
        ("8.8.8.8", ["::/0"], False),
        ("8.8.8.8", [], False),
    ],
)
def test_an_address_is_within_networks_that_name_it(
    address: str, networks: list[str], expected: bool
) -> None:
    found = [ip_network(text) for text in networks]
    assert is_within(plain_address(address), found) is expected


@given(st.ip_addresses(), st.lists(st.ip_addresses(network="0.0.0.0/0").map(str), max_size=3))
@example(plain_address("127.0.0.1"), ["127.0.0.1"])
def test_more_networks_never_refuse_an_address(address: object, hosts: list[str]) -> None:
    narrow = [ip_network(host) for host in hosts]
    found = plain_address(str(address))
    wide = [*narrow, ip_network("10.0.0.0/8")]
    assert is_within(found, wide) or not is_within(found, narrow)

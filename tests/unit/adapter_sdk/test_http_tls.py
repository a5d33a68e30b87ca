from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from stoa_gitops.adapter_sdk.http.client import AdminClient
from stoa_gitops.adapter_sdk.http.transport import Limits
from stoa_gitops.errors import GatewayError, GatewayUnauthorized, GatewayUnreachable
from tests.unit.adapter_sdk.serving import connection

DATA = Path(__file__).with_name("data")
"""A CA, a server's and a client's certificate for gateway.internal, made for these tests."""

CA = (DATA / "ca.pem").read_text()
CERT = (DATA / "client.pem").read_text()
KEY = (DATA / "client.key.pem").read_text()
ONE_TRY = Limits(tries=1)


@asynccontextmanager
async def tls_server(*, wants_client: bool = False) -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DATA / "server.pem", DATA / "server.key.pem")
    if wants_client:
        context.load_verify_locations(DATA / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def ask(base_url: str, tls: dict[str, str], server_name: str = "gateway.internal") -> object:
    client = AdminClient(connection(base_url, tls=tls, server_name=server_name), limits=ONE_TRY)
    try:
        return await client.get_json("/", "the root", dict)
    finally:
        await client.aclose()


async def test_a_private_ca_and_a_server_name_are_enough() -> None:
    async with tls_server() as base_url:
        assert await ask(base_url, {"ca": CA}) == {"ok": True}


async def test_an_unknown_authority_is_not_trusted() -> None:
    async with tls_server() as base_url:
        with pytest.raises(GatewayUnreachable, match="certificate"):
            await ask(base_url, {})


async def test_a_certificate_of_another_name_is_not_trusted() -> None:
    async with tls_server() as base_url:
        with pytest.raises(GatewayUnreachable, match="certificate"):
            await ask(base_url, {"ca": CA}, server_name="other.internal")


async def test_our_certificate_is_shown_where_it_is_asked_for() -> None:
    async with tls_server(wants_client=True) as base_url:
        assert await ask(base_url, {"ca": CA, "cert": CERT, "key": KEY}) == {"ok": True}
        with pytest.raises(GatewayError):
            await ask(base_url, {"ca": CA})


@pytest.mark.parametrize(
    "tls",
    [
        {"ca": "not PEM"},
        {"ca": CA, "cert": CERT, "key": "not PEM"},
        {"ca": CA, "cert": CERT, "key": (DATA / "server.key.pem").read_text()},
        {"ca": CA, "cert": CERT},
    ],
    ids=["no CA", "no key", "another key", "key missing"],
)
async def test_unusable_material_is_named_without_being_shown(tls: dict[str, str]) -> None:
    with pytest.raises(GatewayUnauthorized, match=r"spec\.tls") as caught:
        await ask("https://127.0.0.1:9", tls)
    assert "BEGIN" not in str(caught.value)
    assert "not PEM" not in str(caught.value)

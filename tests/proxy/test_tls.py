"""A listener of TLS: which certificate it shows, whom it lets in, and that it follows its files."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig, config_from_env
from stoa_proxy.engines.complete import beginnings
from stoa_proxy.errors import CertificateUnusable, ConfigInvalid, ListenFailed
from stoa_proxy.foundation.server_certificates import ServerCertificates, TlsFiles

from tests import pki
from tests.proxy.conftest import LOOPBACK, TOKEN, Upstream, current_engine, route_body


class Authority(pki.Authority):
    """An authority whose certificates are those of a listener."""

    def serve(self, file: str, *names: str, password: bytes | None = None) -> TlsFiles:
        """Write FILE.crt and FILE.key for names."""
        issued = self.issue(file, *names, password=password)
        return TlsFiles(issued.certificate_file, issued.key_file)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def _quick_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginnings, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(beginnings, "_SECONDS", 3600.0)


class Served:
    """A gateway with TLS, and a client that trusts the authority."""

    def __init__(self, authority: Authority, files: TlsFiles, **config: Any) -> None:
        self.authority = authority
        self.gateway = Gateway(
            ProxyConfig(
                engine=current_engine(), port=0, admin_api_token=TOKEN, backends_allow=LOOPBACK,
                tls=files, **config,
            )
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        await self.gateway.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.stop(0.2)

    async def shown(self, name: str | None, client: TlsFiles | None = None) -> tuple[str, bytes]:
        """Return the common name of the certificate that a name gets, and what /health answers."""
        context = ssl.create_default_context(cafile=str(self.authority.file))
        context.check_hostname = False
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.gateway.port, ssl=context, server_hostname=name or ""
        )
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(30):
            answer = await reader.read()
        found = writer.get_extra_info("ssl_object").getpeercert()
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        return dict(part for (part,) in found["subject"])["commonName"], answer[:15]


OK = b"HTTP/1.1 200 OK"


async def test_a_name_gets_its_certificate_and_everybody_else_the_first(
    authority: Authority,
) -> None:
    first = authority.serve("first", "first.test")
    authority.serve("more/shop", "shop.test", "*.shop.test")
    authority.serve("more/other", "other.test")
    files = TlsFiles(first.certificate, first.key, authority.folder / "more")
    async with Served(authority, files) as served:
        for name, file in (
            ("first.test", "first"), ("SHOP.test", "more/shop"), ("api.shop.test", "more/shop"),
            ("a.api.shop.test", "first"), ("other.test", "more/other"), ("nobody.test", "first"),
            (None, "first"),
        ):  # fmt: skip
            assert await served.shown(name) == (file, OK), name


async def test_requests_and_what_backends_learn_of_them(
    authority: Authority, upstream: Upstream
) -> None:
    async with Served(authority, authority.serve("first", "first.test")) as served:
        assert served.gateway.base_url.startswith("https://")
        context = ssl.create_default_context(cafile=str(authority.file))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            url, name = served.gateway.base_url, {"server_hostname": "first.test"}
            body = route_body(upstream.url, "/a")
            made = await session.post(f"{url}/admin/apis", json=body, headers=headers, **name)
            assert made.status == 201
            for _ in range(3):
                async with session.get(f"{url}/a/x", **name) as answer:
                    assert answer.status == 200
            large = os.urandom(300_000)
            async with session.post(f"{url}/a/x", data=large, **name) as answer:
                assert answer.status == 200
    assert [seen.all("X-Forwarded-Proto") for seen in upstream.seen] == [["https"]] * 4
    assert upstream.seen[-1].body == large


async def test_certificates_are_read_again_and_broken_ones_change_nothing(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    files = authority.serve("first", "first.test")
    async with Served(authority, files) as served:
        assert (await served.shown("first.test"))[0] == "first"
        files.certificate.write_bytes(b"nothing")
        async with asyncio.timeout(30):
            while "the certificates stay as they were" not in caplog.text:
                await asyncio.sleep(0.01)
        assert await served.shown("first.test") == ("first", OK)
        renewed = authority.serve("renewed", "first.test")
        renewed.key.replace(files.key)
        renewed.certificate.replace(files.certificate)
        async with asyncio.timeout(30):
            while (await served.shown("first.test"))[0] != "renewed":
                await asyncio.sleep(0.01)


async def test_only_clients_of_the_authority_come_in(authority: Authority) -> None:
    first, client = authority.serve("first", "first.test"), authority.serve("client")
    files = TlsFiles(first.certificate, first.key, None, authority.file)
    (authority.folder / "elsewhere").mkdir()
    stranger = Authority(authority.folder / "elsewhere").serve("stranger")

    async def answer(shown: TlsFiles | None) -> bytes:
        try:
            return (await served.shown("first.test", shown))[1]
        except (ssl.SSLError, ConnectionError):
            return b""

    async with Served(authority, files) as served:
        assert [await answer(one) for one in (client, None, stranger)] == [OK, b"", b""]


async def test_a_client_that_never_shakes_hands_keeps_nobody_out(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginnings, "PER_CLIENT", 3)
    async with Served(authority, authority.serve("first", "first.test")) as served:
        silent = [
            await asyncio.open_connection(
                "127.0.0.1", served.gateway.port, local_addr=("127.0.0.9", 0)
            )
            for _ in range(4)
        ]
        # The fourth of one client is closed at once, and others are served.
        async with asyncio.timeout(30):
            assert await silent[3][0].read() == b""
        assert await served.shown("first.test") == ("first", OK)
        # Plain HTTP is no handshake.
        writer = silent[0][1]
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(30):
            assert b"200" not in await silent[0][0].read()
        for _, writer in silent:
            writer.close()


async def test_a_client_behind_a_load_balancer_that_never_shakes_hands_keeps_nobody_out(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginnings, "PER_CLIENT", 3)
    files = authority.serve("first", "first.test")
    balanced: dict[str, Any] = {"trusted_proxies": ("127.0.0.1/32",), "proxy_protocol": True}
    async with Served(authority, files, **balanced) as served:
        opened = []
        for client in ("192.0.2.9",) * 4 + ("192.0.2.10",):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.gateway.port)
            writer.write(f"PROXY TCP4 {client} 192.0.2.1 1 443\r\n".encode())
            opened.append((reader, writer))
        async with asyncio.timeout(30):
            assert await opened[3][0].read() == b""
            context = ssl.create_default_context(cafile=str(authority.file))
            reader, writer = opened[4]
            await writer.start_tls(context, server_hostname="first.test")
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(OK)
        for _, writer in opened:
            writer.close()


@pytest.mark.parametrize("wrong", ["missing", "key", "password", "text", "ca", "folder", "names"])
def test_files_that_cannot_be_used_are_named(authority: Authority, wrong: str) -> None:
    good, other = authority.serve("good", "good.test"), authority.serve("other", "o.test")
    more = authority.folder / "more"
    files = {
        "missing": TlsFiles(authority.folder / "none.crt", good.key),
        "key": TlsFiles(good.certificate, other.key),
        "password": authority.serve("locked", "l.test", password=b"secret"),
        "text": TlsFiles(good.key, good.key),
        "ca": TlsFiles(good.certificate, good.key, None, good.key),
        "folder": TlsFiles(good.certificate, good.key, more),
        "names": TlsFiles(good.certificate, good.key, more),
    }[wrong]
    if wrong == "names":
        authority.serve("more/nameless")
    with pytest.raises(CertificateUnusable, match=str(authority.folder)) as refused:
        ServerCertificates(files).load()
    assert str(refused.value).rpartition(": ")[2]


async def test_a_gateway_without_usable_certificates_does_not_start(tmp_path: Path) -> None:
    files = TlsFiles(tmp_path / "none.crt", tmp_path / "none.key")
    gateway = Gateway(ProxyConfig(engine=current_engine(), port=0, tls=files))
    with pytest.raises(ListenFailed, match=r"none\.crt"):
        await gateway.start()


def test_a_part_of_the_settings_is_refused() -> None:
    env = {"STOA_TLS_CERT_FILE": "a.crt", "STOA_TLS_KEY_FILE": "a.key"}
    assert config_from_env(env).tls == TlsFiles(Path("a.crt"), Path("a.key"))
    assert config_from_env({}).tls is None
    with pytest.raises(ConfigInvalid, match="STOA_TLS_KEY_FILE must be set, too"):
        config_from_env({"STOA_TLS_CERT_FILE": "a.crt"})
    with pytest.raises(ConfigInvalid, match="STOA_TLS_CERT_FILE and STOA_TLS_KEY_FILE must be"):
        config_from_env({"STOA_TLS_CLIENT_CA_FILE": "ca.pem"})

"""Listeners of several processes: certificates that follow their files, and PROXY protocol."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.proxy.conftest import Upstream, policy_body, route_body
from tests.proxy.test_proxy_protocol import version_1, version_2
from tests.proxy.test_tls import Authority
from tests.proxy.workers.world import LIMIT, Several, several

REQUEST = b"GET /a/x HTTP/1.1\r\nHost: first.test\r\nConnection: close\r\n\r\n"
CLIENT = "192.0.2.7"
PER_CLIENT = {"window": "1h", "by": "ip"}
BALANCED = {"trusted_proxies": ("127.0.0.1/32",), "proxy_protocol": True}

pytestmark = pytest.mark.parametrize("engine", ["aiohttp", "fast"])


async def talk(
    port: int, *parts: bytes, trust: ssl.SSLContext | None = None, address: str = "127.0.0.1"
) -> tuple[int, str]:
    """Send parts on a connection, the last one in TLS where `trust` is there.

    Return the status, 0 without one, and the serial number of the certificate.
    """
    before, request = parts[:-1], parts[-1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        async with asyncio.timeout(LIMIT):
            for part in before:
                writer.write(part)
                await writer.drain()
            serial = ""
            if trust is not None:
                await writer.start_tls(trust, server_hostname="first.test")
                found = writer.get_extra_info("ssl_object").getpeercert()
                serial = str(found["serialNumber"])
            writer.write(request)
            head = (await reader.read()).partition(b"\r\n")[0]
            return int(head.split()[1]) if head else 0, serial
    except (ConnectionError, ssl.SSLError):
        return 0, ""
    finally:
        writer.close()


async def talk_to_all(
    api: Several, *parts: bytes, trust: ssl.SSLContext | None = None
) -> list[tuple[int, str]]:
    """Send the same on connections of their own until each worker has answered one."""
    before = {one["number"]: one["requests"] for one in await api.workers()}
    answers: list[tuple[int, str]] = []
    async with asyncio.timeout(LIMIT):
        while True:
            answers += [await talk(api.gateway.port, *parts, trust=trust) for _ in range(4)]
            now = {one["number"]: one["requests"] for one in await api.workers()}
            if all(now[number] > before[number] for number in now):
                return answers


async def test_the_client_is_the_one_that_a_load_balancer_names_in_all_workers(
    engine: str, upstream: Upstream
) -> None:
    async with several(engine=engine, **BALANCED) as api:
        await api.administer("POST", "/admin/apis", route_body(upstream.url))
        for header in (version_1(CLIENT), version_2(CLIENT)):
            answers = await talk_to_all(api, header, REQUEST)
            assert {status for status, _ in answers} == {200}
        assert {tuple(one.all("X-Forwarded-For")) for one in upstream.seen} == {(CLIENT,)}
        port, seen = api.gateway.port, len(upstream.seen)
        for _ in range(6):  # whichever worker has them
            assert (await talk(port, REQUEST))[0] == 0
            assert (await talk(port, version_1(CLIENT), REQUEST, address="127.0.0.2"))[0] == 0
        assert len(upstream.seen) == seen
        # One limit of one client, whichever worker it meets; another client has its own.
        await api.administer(
            "POST",
            "/admin/policies",
            policy_body("limit", "r1", "rate_limit", {**PER_CLIENT, "requests": 6}, 100),
        )
        statuses = [(await talk(port, version_1("192.0.2.8"), REQUEST))[0] for _ in range(9)]
        assert statuses == [200] * 6 + [429] * 3
        assert (await talk(port, version_1("192.0.2.9"), REQUEST))[0] == 200


@pytest.mark.heavy
async def test_a_new_certificate_is_shown_by_all_workers_without_a_restart(
    engine: str, tmp_path: Path, upstream: Upstream
) -> None:
    authority = Authority(tmp_path)
    files = authority.serve("first", "first.test")
    trust = ssl.create_default_context(cafile=str(authority.file))
    async with several(engine=engine, tls=files, **BALANCED) as api:
        pids = await api.pids()
        await api.administer("POST", "/admin/apis", route_body(upstream.url))
        answers = await talk_to_all(api, version_1(CLIENT), REQUEST, trust=trust)
        assert {status for status, _ in answers} == {200}
        (first,) = {serial for _, serial in answers}
        assert {tuple(one.all("X-Forwarded-Proto")) for one in upstream.seen} == {("https",)}
        assert {tuple(one.all("X-Forwarded-For")) for one in upstream.seen} == {(CLIENT,)}
        authority.serve("first", "first.test")
        async with asyncio.timeout(LIMIT):
            shown = {first}
            while first in shown:
                answers = await talk_to_all(api, version_1(CLIENT), REQUEST, trust=trust)
                # No connection is refused while files change.
                assert {status for status, _ in answers} == {200}
                shown = {serial for _, serial in answers}
        assert len(shown) == 1
        assert await api.pids() == pids

from __future__ import annotations

import asyncio
import json
import logging
from urllib.parse import urlsplit

import pytest
from stoa_proxy.config import ProxyConfig

from stoa_gitops.daemon.embedded import EmbeddedGateway
from stoa_gitops.model.instances import EMBEDDED, GatewayInstance
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.reconcile.log_context import CycleFilter, in_cycle

LOCAL = GatewayInstance("local", "stoa", "dev", EMBEDDED, SourceRef("gateways/local.yaml"))


def host_and_port(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port


async def test_requests_belong_to_no_cycle_though_one_opened_the_listener(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.handler.addFilter(CycleFilter())
    gateway = EmbeddedGateway("127.0.0.1", 0)
    with in_cycle("local"):
        await gateway.serve(LOCAL)
    try:
        reader, writer = await asyncio.open_connection(*host_and_port(gateway.base_url))
        writer.write(b"GET /a HTTP/1.1\r\nHost : a\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        writer.close()
        lines = [r for r in caplog.records if "a request is refused" in r.getMessage()]
        assert lines
        assert [line for line in lines if hasattr(line, "cycle")] == []
    finally:
        await gateway.stop()


async def test_the_data_plane_takes_the_bounds_it_is_given() -> None:
    gateway = EmbeddedGateway("127.0.0.1", 0, config=ProxyConfig(max_connections=1))
    await gateway.serve(LOCAL)
    host, port = host_and_port(gateway.base_url)
    try:
        first, idle = await asyncio.open_connection(host, port)
        _, other = await asyncio.open_connection(host, port)
        assert await first.read() == b"", "the idle one is closed for a new one"
        idle.close()
        other.close()
    finally:
        await gateway.stop()


async def test_several_processes_serve_what_is_written_inside_this_one() -> None:
    gateway = EmbeddedGateway("127.0.0.1", 0, config=ProxyConfig(workers=2))
    await gateway.serve(LOCAL)
    try:
        assert gateway.admin is not None
        headers = {
            "Authorization": f"Bearer {gateway.token}",
            "Content-Type": "application/json",
        }
        body = json.dumps(
            {
                "id": "r", "name": "r", "tenant_id": "acme", "path_prefix": "/a", "methods": [],
                "spec_hash": "", "activated": True, "backend_url": "builtin:echo",
            }
        ).encode()  # fmt: skip
        status, _, _ = await gateway.admin("POST", "/admin/apis", headers, body)
        assert status == 201
        host, port = host_and_port(gateway.base_url)
        for _ in range(8):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
        status, _, parts = await gateway.admin("GET", "/admin/workers", headers, b"")
        workers = json.loads(b"".join([part async for part in parts]))
        assert (status, sum(one["requests"] for one in workers)) == (200, 8)
    finally:
        await gateway.stop()

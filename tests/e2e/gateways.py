"""Gateways outside the process: our data plane alone, and servers that are no gateway at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig

from tests.streams import Talk, stream_server

TOKEN = "an-admin-token-for-tests"


@asynccontextmanager
async def data_plane() -> AsyncIterator[Gateway]:
    """A data plane with an admin token, that may call loopback."""
    gateway = Gateway(ProxyConfig(port=0, admin_api_token=TOKEN, backends_allow=("127.0.0.0/8",)))
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop(0)


def document(name: str, base_url: str, more: str = "") -> str:
    """A GatewayInstance document for a gateway at an address, its token from the environment."""
    return (
        "apiVersion: gostoa.dev/v1alpha1\n"
        "kind: GatewayInstance\n"
        f"metadata: {{name: {name}}}\n"
        "spec:\n"
        "  gatewayType: stoa\n"
        "  environment: dev\n"
        f"  baseUrl: {base_url}\n"
        "  auth: {type: bearer, tokenRef: {env: GATEWAY_TOKEN}}\n"
        f"  backends: {{allow: [127.0.0.0/8]}}\n{more}"
    )


@asynccontextmanager
async def raw_server(talk: Talk) -> AsyncIterator[str]:
    """Serve bytes; yields the base URL."""

    async with stream_server(talk) as port:
        yield f"http://127.0.0.1:{port}"


async def html(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer like a web page."""
    await reader.readuntil(b"\r\n\r\n")
    body = b"<html><body>Welcome to nginx!</body></html>"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Promise more than is sent."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{"
    )
    await writer.drain()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read, and never answer."""
    await reader.read()

"""Gateways that register themselves where they are not, and a process that writes to them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.adapters.stoa.outgoing import RealGateway, State
from tests.e2e.running import Running, until
from tests.e2e.test_fleet import EDGES, KEY, ask, catalog_of, fleet
from tests.ports import own_port
from tests.streams import stream_server

TOKEN = "admin-token-of-the-gateways"
PUSHED = EDGES.replace(
    "registration: {match: {}}",
    "interval: 1s\n"
    "  auth: {type: bearer, tokenRef: {env: EDGE_TOKEN}}\n"
    "  registration: {match: {}, networks: [127.0.0.2/32]}",
)


@dataclass
class Listener:
    """Takes connections and answers every request with `answer`; `heads` are what was sent."""

    answer: bytes
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        await writer.drain()


@asynccontextmanager
async def listening(
    *hosts: str, port: int = 0, answer: bytes = b""
) -> AsyncIterator[tuple[Listener, int]]:
    """A listener at one port of these addresses."""
    listener = Listener(
        answer or b"HTTP/1.1 500 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    async with AsyncExitStack() as stack:
        for host in hosts:
            port = await stack.enter_async_context(stream_server(listener.handle, host, port))
        yield listener, port


async def refusal(process: Running, name: str, *words: str) -> str:
    """Wait until a condition of a gateway has all the words; return its message."""

    async def look() -> str | None:
        for item in (await ask(process, "/v1/status"))["items"]:
            if item["name"] == f"edges/{name}":
                for one in item["conditions"]:
                    text = f"{one['type']} {one['status']} {one['reason']}: {one['message']}"
                    if all(word in text for word in words):
                        return text
        return None

    return await until(look, f"{words} of {name}")


@pytest.mark.heavy
async def test_no_token_leaves_for_an_address_outside_of_the_networks(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path)
    catalog.write("gateways/edges.yaml", PUSHED)
    catalog.api("orders", "http://orders.example.org")
    names = tmp_path / "names.json"
    answers = {
        "inside.example": [["127.0.0.3"]],
        "both.example": [["127.0.0.2", "127.0.0.3"]],
        "turns.example": [["127.0.0.2"], ["127.0.0.3"]],
        "metadata.example": [["169.254.169.254"]],
        "private.example": [["10.0.0.7"]],
    }
    names.write_text(json.dumps(answers))
    async with AsyncExitStack() as stack:
        port = stack.enter_context(own_port())
        inside, _ = await stack.enter_async_context(
            listening("127.0.0.1", "127.0.0.3", "::1", port=port)
        )
        allowed, _ = await stack.enter_async_context(listening("127.0.0.2", port=port))
        location = f"location: http://127.0.0.3:{port}/admin/health".encode()
        redirect, redirect_port = await stack.enter_async_context(
            listening(
                "127.0.0.2",
                answer=b"HTTP/1.1 307 X\r\n" + location + b"\r\ncontent-length: 0\r\n"
                b"connection: close\r\n\r\n",
            )
        )
        cases = {
            "loopback": ("127.0.0.1", "127.0.0.1"),
            "localhost": ("localhost", "the address of localhost"),
            "loopback6": ("[::1]", "::1"),
            "mapped": ("[::ffff:127.0.0.1]", "127.0.0.1"),
            "decimal": ("2130706433", "2130706433"),
            "this-host": ("0.0.0.0", "0.0.0.0"),
            "link-local": ("169.254.7.7", "169.254.7.7"),
            "metadata": ("169.254.169.254", "169.254.169.254"),
            "metadata6": ("[fd00:ec2::254]", "fd00:ec2::254"),
            "alibaba": ("100.100.100.200", "100.100.100.200"),
            "by-name": ("inside.example", "127.0.0.3, the address of inside.example"),
            "by-names": ("both.example", "127.0.0.3, the address of both.example"),
            "metadata-name": ("metadata.example", "169.254.169.254, the address of"),
            "private-name": ("private.example", "10.0.0.7, the address of private.example"),
        }
        process = await stack.enter_async_context(
            fleet(
                tmp_path,
                program=("tests.e2e.odd_names", str(names)),
                EDGE_TOKEN=TOKEN,
            )
        )
        gateways = {
            **{name: f"http://{host}:{port}" for name, (host, _) in cases.items()},
            "turns": f"http://turns.example:{port}",
            "redirect": f"http://127.0.0.2:{redirect_port}",
        }
        for name, url in gateways.items():
            gateway = RealGateway(process.control, KEY, hostname=name, admin_url=url)
            await stack.enter_async_context(gateway)
            assert await gateway.register() is State.REGISTERED
        for name, (_, shown) in cases.items():
            text = await refusal(process, f"{name}-edgemcp-dev", "GatewayAddressRefused", shown)
            assert "spec.registration.networks" in text, name
        await refusal(process, "redirect-edgemcp-dev", "redirects are not followed")
        await refusal(process, "turns-edgemcp-dev", "127.0.0.3, the address of turns.example")
        assert inside.connections == 0, inside.heads
        # The token went to where it may go, so that none elsewhere means something.
        assert allowed.connections >= 1
        assert all(b"turns.example" in head for head in allowed.heads)
        assert redirect.connections >= 1
        assert any(TOKEN.encode() in head for head in (*allowed.heads, *redirect.heads))
    assert TOKEN not in process.log.read_text()


@pytest.mark.heavy
async def test_one_that_fetches_is_told_at_its_start_and_after_a_commit(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path)
    token = "networks: [127.0.0.0/8], reloadTokenRef: {env: EDGE_TOKEN}"
    catalog.write("gateways/edges.yaml", EDGES.replace("{match: {}}", f"{{match: {{}}, {token}}}"))
    catalog.api("orders", "http://orders.example.org")
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
    async with (
        listening("127.0.0.1", answer=answer) as (listener, port),
        fleet(tmp_path, EDGE_TOKEN=TOKEN) as process,
    ):

        async def calls(number: int) -> None:
            async def look() -> bool | None:
                return True if len(listener.heads) >= number else None

            await until(look, f"call {number}")

        url = f"http://127.0.0.1:{port}"
        async with RealGateway(process.control, KEY, hostname="pod", admin_url=url) as gateway:
            assert await gateway.register() is State.REGISTERED
            await calls(1)
            await gateway.pull()
            catalog.api("orders", "http://other.example.org")
            await calls(2)
            await gateway.pull()
            (route,) = gateway.table.values()
            assert route["backend_url"].startswith("http://other.example.org")
            assert await gateway.register() is State.REGISTERED  # it restarted
            await calls(3)
            assert "Told True" in await refusal(process, "pod-edgemcp-dev", "Told True")
    for head in listener.heads:
        assert head.startswith(b"POST /admin/routes/reload ")
        assert f"authorization: bearer {TOKEN}" in head.decode().lower()

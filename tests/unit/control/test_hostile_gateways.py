"""Whoever has a gateway key sends what costs the control plane most."""

from __future__ import annotations

import asyncio
import time

import pytest

from stoa_gitops.control.api import ROUTES
from stoa_gitops.control.problems import INTERNAL
from stoa_gitops.control.route import LARGE_BODY
from stoa_gitops.control.turns import LARGE_AT_ONCE, OF_ONE_ADDRESS
from stoa_gitops.fleet.keys import GatewayKeys
from tests.unit.control.conftest import KEY, Served, serving
from tests.unit.control.test_internal import GATEWAYS, Caller, detail

POSTS = [
    route.path for route in ROUTES if route.method == "POST" and route.path.startswith(INTERNAL)
]
MOST = 4 << 20
STEPS = b",".join([b"{}"] * 100)


@pytest.fixture
def caller(served: Served) -> Caller:
    return Caller(served)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "content",
    [
        b"", b"null", b"[]", b'"text"', b"7", b"{", b"\xff\xfe", b"NaN", b'{"x":1e999}',
        b"[" * 8_000, b'{"a":' * 1_500, b'{"synced_routes":' + b"[" * 8_000,
        b'{"synced_routes":{},"synced_policies":7,"hostname":[],"uptime_seconds":"x","etag":{}}',
    ],
)  # fmt: skip
async def test_no_post_takes_what_makes_no_sense(caller: Caller, path: str, content: bytes) -> None:
    gateway_id = await caller.registered()
    response = await caller.ask("POST", path.replace("{id}", gateway_id), content=content)
    detail(response, 422)


def of_routes(route: bytes, most: int = 20_000) -> bytes:
    """As many of a route as go into one acknowledgement."""
    count = min(most, (MOST - 20) // (len(route) + 1))
    return b'{"synced_routes":[' + b",".join([route] * count) + b"]}"


@pytest.mark.parametrize(
    "content",
    [
        of_routes(b'{"deployment_id":"","status":"","steps":[' + STEPS + b"]}"),
        of_routes(b'{"steps":[' + STEPS.replace(b"{}", b"1") + b"]}"),
        of_routes(b"1", MOST),
        of_routes(b'{"deployment_id":"","status":""}', MOST),
    ],
    ids=["many steps", "wrong steps", "wrong routes", "many routes"],
)
async def test_a_wrong_acknowledgement_is_refused_with_little_work(
    caller: Caller, content: bytes
) -> None:
    """The first two were half a minute and a minute of work, with up to 2 GiB of memory."""
    gateway_id = await caller.registered()
    began = time.process_time()
    path = f"{GATEWAYS}/{gateway_id}/route-sync-ack"
    said = detail(await caller.ask("POST", path, content=content), 422)
    assert time.process_time() - began < 5
    assert "synced_routes" in said
    assert len(said) < 1_000


ACK = b'{"synced_routes":[]}' + b" " * LARGE_BODY


class Slow:
    """An acknowledgement that is sent but for its last byte."""

    def __init__(self, served: Served, gateway_id: str, address: str = "127.0.0.1") -> None:
        self._port, self._gateway_id, self._address = served.port, gateway_id, address

    async def begin(self) -> Slow:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(self._address, 0)
        )
        path = f"{GATEWAYS}/{self._gateway_id}/route-sync-ack"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Gateway-Key: {KEY}\r\n"
        self._writer.write(f"{head}Content-Length: {len(ACK)}\r\n\r\n".encode() + ACK[:-1])
        await self._writer.drain()
        return self

    async def finish(self) -> bytes:
        self._writer.write(ACK[-1:])
        async with asyncio.timeout(30):
            line = await self._reader.readline()
        self._writer.close()
        return line

    async def run(self) -> bytes:
        return await (await self.begin()).finish()


async def registered(caller: Caller, count: int) -> list[str]:
    return [await caller.registered(hostname=f"pod-{number}") for number in range(count)]


async def test_large_bodies_are_held_in_turns_and_small_ones_wait_for_none() -> None:
    async with serving() as served:
        caller = Caller(served)
        *ids, last = await registered(caller, LARGE_AT_ONCE + 1)
        held = [
            await Slow(served, one, f"127.0.0.{2 + number // OF_ONE_ADDRESS}").begin()
            for number, one in enumerate(ids)
        ]
        for _ in range(3):
            assert (await caller.beat(last)).status_code == 204
        waiting = asyncio.create_task(Slow(served, last).run())
        for _ in range(10):
            assert (await caller.beat(last)).status_code == 204
        assert not waiting.done()
        for one in held:
            assert (await one.finish()).startswith(b"HTTP/1.1 200")
        assert (await waiting).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
async def test_who_sends_slowly_for_one_gateway_keeps_no_other_one_out(address: str) -> None:
    async with serving() as served:
        caller = Caller(served)
        one, other = await registered(caller, 2)
        held = [await Slow(served, one).begin() for _ in range(LARGE_AT_ONCE)]
        assert (await caller.beat(one)).status_code == 204
        assert (await Slow(served, other, address).run()).startswith(b"HTTP/1.1 200")
        if address != "127.0.0.1":  # and nobody elsewhere keeps a gateway out by its id
            assert (await Slow(served, one, address).run()).startswith(b"HTTP/1.1 200")
        for slow in held:
            assert (await slow.finish()).startswith(b"HTTP/1.1 200")


async def test_who_sends_slowly_for_many_gateways_keeps_no_other_address_out() -> None:
    async with serving() as served:
        caller = Caller(served)
        ids = await registered(caller, LARGE_AT_ONCE)
        held = [await Slow(served, one).begin() for one in ids]
        assert (await caller.beat(ids[0])).status_code == 204
        assert (await Slow(served, ids[-1], "127.0.0.2").run()).startswith(b"HTTP/1.1 200")
        for slow in held:
            assert (await slow.finish()).startswith(b"HTTP/1.1 200")


async def test_a_key_takes_over_no_gateway_of_another_environment(caller: Caller) -> None:
    """`a-proxy` in mode shadow of prod has the name of `a` in mode proxy of `shadow-prod`."""

    key = "gw_shadow-prod_" + "0" * 32
    caller.served.credentials.gateway_keys = GatewayKeys.parse(f"{key},gw_prod_{'1' * 32}")
    owner, thief = Caller(caller.served, f"gw_prod_{'1' * 32}"), Caller(caller.served, key)
    gateway_id = await owner.registered(hostname="a-proxy", mode="shadow", environment="prod")
    taken = {"hostname": "a", "mode": "proxy", "environment": "shadow-prod"}
    assert "STOA_INSTANCE_NAME" in detail(await thief.register(**taken), 409)
    detail(await thief.beat(gateway_id), 403)
    assert (await owner.beat(gateway_id)).status_code == 204
    member = caller.served.fleet.get(gateway_id)
    assert (member.registration.environment, member.registration.hostname) == ("prod", "a-proxy")
    await caller.served.fleet.tick()
    assert caller.served.records.entries[-1].status == "refused"

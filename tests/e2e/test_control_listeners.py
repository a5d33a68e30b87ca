"""The control listener of a whole process: its public twin, rotated keys, clients without end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx

from tests.adapters.stoa.outgoing import RealGateway, State
from tests.e2e.running import running, until
from tests.e2e.test_fleet import KEY, catalog_of

SECOND = "gw_dev_" + "2" * 32


async def test_a_public_listener_serves_all_but_what_is_for_gateways(tmp_path: Path) -> None:
    catalog_of(tmp_path)
    where = (tmp_path / "catalog", tmp_path / "state", "--public-listen", "127.0.0.1:0")
    async with running(*where, GATEWAY_API_KEYS=KEY) as process:
        log = process.log.read_text()
        said = next(line for line in log.splitlines() if "public" in line)
        url = str(json.loads(said)["message"]).rpartition(" ")[2]
        assert url != process.control
        token = {"Authorization": f"Bearer {process.control_token}"}
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            assert (await client.get("/health")).status_code == 200
            assert (await client.get("/v1/status")).status_code == 401
            assert (await client.get("/v1/status", headers=token)).status_code == 200
            keyed = {"X-Gateway-Key": KEY}
            for path in ("/v1/internal/gateways/tools", "//v1/internal/gateways/tools"):
                assert (await client.get(url + path, headers=keyed)).status_code == 404
                inside = process.control + path
                assert (await client.get(inside, headers=keyed)).status_code == 200


async def test_keys_are_rotated_while_the_process_runs(tmp_path: Path) -> None:
    catalog_of(tmp_path)
    file = tmp_path / "keys"
    file.write_text(KEY)
    where = (tmp_path / "catalog", tmp_path / "state")
    async with (
        running(*where, GATEWAY_API_KEYS_FILE=str(file)) as process,
        RealGateway(process.control, KEY) as first,
    ):
        assert await first.register() is State.REGISTERED
        file.write_text(f"{KEY},{SECOND}")
        async with RealGateway(process.control, SECOND, hostname="second") as second:

            async def is_live() -> bool | None:
                second.state = State.STARTING
                return await second.register() is State.REGISTERED or None

            await until(is_live, "the second key")
        file.write_text("")
        assert await first.beat() == 204

        async def is_a_trouble() -> bool | None:
            headers = {"Authorization": f"Bearer {process.control_token}"}
            async with httpx.AsyncClient(timeout=30) as client:
                response = await client.get(f"{process.control}/v1/status", headers=headers)
                return "is empty" in str(response.json()["troubles"]) or None

        await until(is_a_trouble, "the empty file in the status")
        assert await first.register() is State.REGISTERED
    assert KEY not in process.log.read_text()


async def test_clients_that_send_nothing_whole_keep_no_gateway_out(tmp_path: Path) -> None:
    catalog_of(tmp_path)
    where = (tmp_path / "catalog", tmp_path / "state")
    bounds = {"STOA_CONTROL_MAX_CONNECTIONS": "100"}
    async with running(*where, GATEWAY_API_KEYS=KEY, **bounds) as process:
        port = int(process.control.rpartition(":")[2])
        slow = []
        for number in range(300):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            part = b"POST /v1/internal/gateways/register HTTP/1.1\r\nContent-Length: 9\r\n"
            writer.write(part[: number % len(part)])
            slow.append(writer)
        async with RealGateway(process.control, KEY) as gateway:
            assert await gateway.ready() == "READY"
            assert await gateway.register() is State.REGISTERED
            assert await gateway.beat() == 204
        for writer in slow:
            writer.close()

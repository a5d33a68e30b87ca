"""Disks that are full, key files that break, restarts and gateways that flap, on a process."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.adapters.stoa.outgoing import RealGateway, ReloadFailed, State, started
from tests.e2e.running import Running, until
from tests.e2e.test_fleet import KEY, ask, catalog_of, figure, fleet

ONLINE = 'stoa_gitops_gateways{environment="dev",state="ONLINE"}'
NEW_KEY = "gw_dev_fedcba9876543210fedcba9876543210"


@contextmanager
def no_file_grows(process: Running) -> Iterator[None]:
    """Refuse each write of a process beyond a file's first byte, as a full disk does."""
    pid = process.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


async def troubles(process: Running, words: str) -> str:
    async def look() -> str | None:
        found = [one for one in (await ask(process, "/v1/status"))["troubles"] if words in one]
        return found[0] if found else None

    return await until(look, f"the trouble {words!r}")


async def no_troubles(process: Running) -> None:
    async def look() -> bool | None:
        return None if (await ask(process, "/v1/status"))["troubles"] else True

    await until(look, "a process without troubles")


async def pulled(gateway: RealGateway, count: int) -> None:
    async def look() -> bool | None:
        try:
            await gateway.pull()
        except ReloadFailed:
            return None
        return True if len(gateway.table) == count else None

    await until(look, f"{count} routes")


@pytest.mark.heavy
async def test_a_full_disk_takes_no_registration_and_no_table_and_loses_none(
    tmp_path: Path, address: str
) -> None:
    catalog = catalog_of(tmp_path)
    catalog.api("orders", "http://orders.example.org")
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(fleet(tmp_path, control=address))
        known = await stack.enter_async_context(started(process.control, KEY, reload=True))
        new = await stack.enter_async_context(
            RealGateway(process.control, KEY, hostname="new", reload=True)
        )
        await pulled(known, 1)
        with no_file_grows(process):
            assert await new.register() is State.STARTING
            assert (new.gateway_id, new.delays) == (None, [5])
            known.state = State.STARTING
            assert await known.register() is State.STARTING
            assert "registrations are not stored" in await troubles(process, "not stored")
            catalog.api("billing", "http://billing.example.org")
            for _ in range(30):
                assert await known.beat() == 204
                assert await known.ready() == "READY"
                with suppress(ReloadFailed):
                    await known.pull()
                assert known.table, "an empty list"
                await asyncio.sleep(0.1)
            assert await figure(process, ONLINE) == 1
        assert await new.register() is State.REGISTERED
        assert await known.register() is State.REGISTERED
        await pulled(known, 2)
        await pulled(new, 2)
        await no_troubles(process)
        assert await figure(process, ONLINE) == 2
    async with fleet(tmp_path, control=address) as process:
        assert await figure(process, ONLINE) == 2


@pytest.mark.heavy
async def test_a_key_file_that_breaks_and_comes_back_stops_no_gateway(
    tmp_path: Path, address: str
) -> None:
    catalog_of(tmp_path)
    file = tmp_path / "keys"
    file.write_text(KEY)
    more = {"GATEWAY_API_KEYS": "", "GATEWAY_API_KEYS_FILE": str(file)}
    async with (
        fleet(tmp_path, control=address, **more) as process,
        started(process.control, KEY) as gateway,
    ):

        def empty() -> None:
            file.write_text("")

        def unreadable() -> None:
            file.unlink()
            file.mkdir()  # the superuser reads whatever has no permissions

        for breaks in (empty, unreadable):
            breaks()
            assert "stay in force" in await troubles(process, "gateway keys")
            assert await gateway.beat() == 204
            assert await gateway.register() is State.REGISTERED
            # Its key may stand in the file that cannot be read: it has to come again.
            async with RealGateway(process.control, NEW_KEY, hostname="new") as new:
                assert await new.register() is State.STARTING
        file.rmdir()
        file.write_text(f"{KEY}\n{NEW_KEY}\n")
        await no_troubles(process)
        async with RealGateway(process.control, NEW_KEY, hostname="new") as new:
            assert await new.register() is State.REGISTERED
        file.write_text(NEW_KEY)

        async def is_over() -> bool | None:
            return True if await gateway.beat() == 401 else None

        await until(is_over, "the end of the old key")
    file.write_text("")
    async with (
        fleet(tmp_path, control=address, **more) as process,
        RealGateway(process.control, NEW_KEY, hostname="new") as new,
    ):
        assert await new.register() is State.STARTING
        file.write_text(NEW_KEY)
        await no_troubles(process)
        assert await new.register() is State.REGISTERED


async def _beat_on(gateway: RealGateway, is_answered: asyncio.Event) -> int:
    """Beat until one is not taken; return its status."""
    while (status := await gateway.beat()) == 204:
        is_answered.set()
    return status


@pytest.mark.heavy
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_in_the_middle_of_a_thousand_beats_loses_nobody(
    number: signal.Signals, tmp_path: Path, address: str
) -> None:
    catalog_of(tmp_path)
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(fleet(tmp_path, control=address))
        gateways = [
            await stack.enter_async_context(
                RealGateway(process.control, KEY, hostname=f"pod-{one}")
            )
            for one in range(1000)
        ]
        await asyncio.gather(*(gateway.register() for gateway in gateways))
        assert {gateway.state for gateway in gateways} == {State.REGISTERED}
        ids = [gateway.gateway_id for gateway in gateways]
        is_answered = asyncio.Event()
        beats = [asyncio.create_task(_beat_on(gateway, is_answered)) for gateway in gateways]
        await is_answered.wait()
        process.process.send_signal(number)
        await process.process.wait()
        assert set(await asyncio.gather(*beats)) <= {0, 503}
        process = await stack.enter_async_context(fleet(tmp_path, control=address))
        assert set(await asyncio.gather(*(gateway.beat() for gateway in gateways))) == {204}
        assert [gateway.gateway_id for gateway in gateways] == ids
        assert await figure(process, ONLINE) == 1000
        moves = 'stoa_gitops_gateway_transitions_total{state="OFFLINE"}'
        assert await figure(process, moves) == 0


@pytest.mark.heavy
async def test_a_gateway_that_flaps_at_two_addresses_is_one_and_is_said_in_bounds(
    tmp_path: Path,
) -> None:
    catalog = catalog_of(tmp_path)
    catalog.api("orders", "http://orders.example.org")
    turns = 20
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(fleet(tmp_path))
        first, second = [
            await stack.enter_async_context(
                RealGateway(process.control, KEY, reload=True, admin_url=f"http://127.0.0.1:{port}")
            )
            for port in (18101, 18102)
        ]
        await first.register()
        await pulled(first, 1)
        await second.register()
        for turn in range(turns):
            for gateway in (first, second):
                await gateway.register()
                gateway.uptime = turn
                assert await gateway.beat() == 204
            path = f"{process.control}/v1/internal/gateways/{first.gateway_id}"
            async with httpx.AsyncClient(timeout=30) as client:
                answer = await client.delete(path, headers={"X-Gateway-Key": KEY})
            assert answer.status_code == 204
            (item,) = (await ask(process, "/v1/status"))["items"]
            assert item["status"] == "OFFLINE"
        await first.register()
        await pulled(first, 1)
        (item,) = (await ask(process, "/v1/status"))["items"]
        assert item["status"] == "ONLINE"
        assert first.gateway_id == second.gateway_id
        items = (await ask(process, "/v1/audit?limit=500"))["items"]
        entries = [entry for entry in items if entry["action"] == "register"]
        # Each change of the address is one, and no repetition of the same.
        assert len(entries) <= 2 * turns + 3
        moves = 'stoa_gitops_gateway_transitions_total{state="OFFLINE"}'
        assert await figure(process, moves) == turns
    log = process.log.read_text()
    assert log.count("published as generation") == 1
    assert log.count("OFFLINE, it was ONLINE") == turns

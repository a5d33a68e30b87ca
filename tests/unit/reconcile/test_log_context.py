from __future__ import annotations

import asyncio
import logging

from stoa_gitops.reconcile.log_context import CycleFilter, in_cycle


def record() -> logging.LogRecord:
    made = logging.LogRecord("x", logging.INFO, __file__, 1, "words", None, None)
    assert CycleFilter().filter(made)
    return made


async def test_every_line_of_a_cycle_carries_its_id_on_threads_and_tasks_too() -> None:
    with in_cycle("kong") as number:
        lines = [
            record(),
            await asyncio.to_thread(record),
            await asyncio.create_task(asyncio.to_thread(record)),
        ]
    assert {(line.__dict__["cycle"], line.__dict__["gateway"]) for line in lines} == {
        (number, "kong")
    }
    assert "cycle" not in record().__dict__


async def test_cycles_side_by_side_keep_their_own_ids() -> None:
    async def one(gateway: str) -> tuple[str, str]:
        with in_cycle(gateway) as number:
            await asyncio.sleep(0)
            found = record().__dict__
            assert found["gateway"] == gateway
            return number, found["cycle"]

    pairs = await asyncio.gather(*(one(f"g{number}") for number in range(20)))
    assert all(number == seen for number, seen in pairs)
    assert len({number for number, _ in pairs}) == 20

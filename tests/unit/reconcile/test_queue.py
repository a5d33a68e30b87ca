from __future__ import annotations

import asyncio

from stoa_gitops.reconcile.queue import DirtyQueue


async def test_marks_add_up_until_they_are_taken_and_wake_once() -> None:
    queue = DirtyQueue()
    queue.request("kong", "interval")
    queue.request("kong", "catalog changed")
    queue.request("kong", "interval")
    assert await queue.take("kong") == ("interval", "catalog changed")
    waiting = asyncio.create_task(queue.take("kong"))
    await asyncio.wait({waiting}, timeout=0.01)
    assert not waiting.done()
    queue.request("kong", "retry")
    assert await waiting == ("retry",)


async def test_a_mark_made_while_a_cycle_runs_stays_for_the_next_one() -> None:
    queue = DirtyQueue()
    queue.request("kong", "first")
    await queue.take("kong")
    queue.request("kong", "during the cycle")
    assert await queue.take("kong") == ("during the cycle",)


async def test_gateways_do_not_wake_each_other() -> None:
    queue = DirtyQueue()
    waiting = asyncio.create_task(queue.take("gravitee"))
    queue.request("kong", "interval")
    await asyncio.wait({waiting}, timeout=0.01)
    assert not waiting.done()
    waiting.cancel()


async def test_forgetting_a_gateway_drops_its_marks() -> None:
    queue = DirtyQueue()
    queue.request("kong", "interval")
    queue.remove_gateway("kong")
    queue.request("kong", "new")
    assert await queue.take("kong") == ("new",)

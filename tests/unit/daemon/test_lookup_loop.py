"""Slow names take no thread from anything else, and no signal is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import suppress
from typing import Any

import pytest

from stoa_gitops.daemon.lookup_loop import AddressInfo, LookupLoop


class Names:
    """Lookups that wait for `release`."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.release = threading.Event()

    def look_up(self, host: str, *_: Any) -> AddressInfo:
        self.asked.append(host)
        assert self.release.wait(60)
        if host == "gone":
            raise OSError("no such name")
        return [(0, 0, 0, "", (host, 0))]


def run(names: Names, main: Any) -> Any:
    with asyncio.Runner(loop_factory=lambda: LookupLoop(names.look_up)) as runner:
        return runner.run(main)


def test_slow_names_leave_the_threads_of_the_loop_to_others() -> None:
    names = Names()

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        lookups = [asyncio.create_task(loop.getaddrinfo(f"slow-{n}", 80)) for n in range(50)]
        async with asyncio.timeout(30):
            assert await asyncio.to_thread(lambda: "done") == "done"
        names.release.set()
        return await asyncio.gather(*lookups)

    assert len(run(names, main())) == len(names.asked) == 50


def test_a_name_is_looked_up_once_for_all_who_ask() -> None:
    names = Names()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        lookups = [asyncio.create_task(loop.getaddrinfo("one", 80)) for _ in range(5)]
        lookups.append(asyncio.create_task(loop.getaddrinfo("gone", 80)))
        await asyncio.sleep(0)
        lookups[0].cancel()
        names.release.set()
        for lookup in lookups[1:5]:
            assert (await lookup)[0][4] == ("one", 0)
        with pytest.raises(OSError, match="no such name"):
            await lookups[5]
        assert sorted(names.asked) == ["gone", "one"]
        await loop.getaddrinfo("one", 80)
        assert len(names.asked) == 3, "nothing is kept"

    run(names, main())


def test_a_signal_reaches_a_loop_whose_wakeups_are_full_and_does_so_once() -> None:
    loop, received = LookupLoop(), []
    try:
        loop.add_signal_handler(signal.SIGUSR1, received.append, "once")
        with suppress(BlockingIOError):
            while loop._csock.send(b"\0" * 4096):  # type: ignore[attr-defined]
                pass
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        assert received == ["once"]
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        assert received == ["once", "once"]
        assert loop.remove_signal_handler(signal.SIGUSR1)
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    finally:
        loop.close()

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading

import pytest

from stoa_gitops.daemon.shutdown import kill_after, run_unless_stopped
from stoa_gitops.errors import CatalogNotFound


class Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stderr", [None, Full()], ids=["closed", "on a full disk"])
def test_a_process_is_ended_by_force_though_nobody_can_be_told(
    monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO | None
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(os, "_exit", codes.append)
    timer: threading.Timer = kill_after(0.0)
    timer.join(30)
    assert codes == [1]


async def test_what_is_done_until_then_raises_what_it_raises() -> None:
    async def fails() -> None:
        raise CatalogNotFound("there is no folder")

    with pytest.raises(CatalogNotFound):
        await run_unless_stopped(asyncio.Event(), fails())


async def test_what_hangs_is_left_when_told_to_end() -> None:
    stop, left = asyncio.Event(), []

    async def hangs() -> None:
        try:
            stop.set()
            await asyncio.Event().wait()
        finally:
            left.append(True)

    await asyncio.wait_for(run_unless_stopped(stop, hangs()), 30)
    assert left == [True]

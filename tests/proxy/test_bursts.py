"""Many at once: nobody waits for want of a place that there is."""

from __future__ import annotations

import socket
from pathlib import Path

from stoa_proxy.engines.pool import Pool
from stoa_proxy.guard import AddressGuard

from tests.proxy.conftest import running

SOMAXCONN = Path("/proc/sys/net/core/somaxconn")


async def test_callers_that_come_at_once_are_all_heard() -> None:
    allowed = int(SOMAXCONN.read_text()) if SOMAXCONN.exists() else 128
    async with running() as api:
        callers = [socket.socket() for _ in range(min(300, allowed))]
        try:
            for one in callers:  # the loop has no turn here: nobody is accepted
                one.settimeout(0.5)
                one.connect(("127.0.0.1", api.gateway.port))
        finally:
            for one in callers:
                one.close()


async def test_one_slow_upstream_cannot_take_the_connections_of_others() -> None:
    pool = Pool(AddressGuard())
    assert pool._connector.limit == pool._connector.limit_per_host == 0, "callers are the bound"
    await pool.retire()

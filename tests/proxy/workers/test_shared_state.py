"""What all processes of a gateway have in common."""

from __future__ import annotations

import os
import subprocess
import sys

from stoa_proxy.config import ProxyConfig
from stoa_proxy.core.limits import Limit
from stoa_proxy.core.quotas import QuotaKey
from stoa_proxy.workers.shared_state import SharedState

from tests.proxy.conftest import FakeClock

# Longer than a pipe holds, so that each is written in several parts.
LINES, LENGTH = 20, 300_000

# Writes long lines of one letter to a stream that another process writes to, too.
WRITE = """
import asyncio, sys
from stoa_proxy.workers.shared_state import SharedState
shared = SharedState.join(int(sys.argv[1]), b"secret", 2)
async def write():
    thread = shared.make_output_thread()
    for _ in range(int(sys.argv[3])):
        await thread.write("stdout", (sys.argv[2] * int(sys.argv[4]) + "\\n").encode())
asyncio.run(write())
"""


def test_lines_of_several_processes_are_whole_however_long_they_are() -> None:
    shared = SharedState.create(2)
    descriptor = shared.memory.descriptor
    read_end, write_end = os.pipe()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, str(descriptor), letter, str(LINES), str(LENGTH)],
            pass_fds=(descriptor,),
            stdout=write_end,
        )
        for letter in "ab"
    ]
    os.close(write_end)
    with os.fdopen(read_end, "rb") as file:
        lines = file.read().splitlines()
    assert [process.wait(60) for process in processes] == [0, 0]
    assert sorted(lines) == [b"a" * LENGTH] * LINES + [b"b" * LENGTH] * LINES
    shared.memory.close()


def test_processes_have_the_same_counters_and_parts_of_the_bounds() -> None:
    clock, config = FakeClock(), ProxyConfig(counters_per_policy=5)
    shared = SharedState.create(2)
    other = SharedState.join(os.dup(shared.memory.descriptor), shared.secret, 2)
    key = ("policy", "p", "api", "w", "ip", "1.2.3.4")
    for number, state in enumerate((shared, other, shared)):
        rates = state.rate_counters(clock, config)
        assert rates.hit("acme", [(key, Limit(9, 60.0))]).remaining == 8 - number
        quotas = state.quota_counters(clock)
        quota = QuotaKey("acme", "p", "api", "day", "ip", "1.2.3.4")
        assert quotas.hit(quota, 9).remaining == 8 - number
    counters = shared.rate_counters(clock, config)
    for caller in range(9):
        counters.hit("acme", [((*key[:-1], str(caller)), Limit(9, 60.0))])
    # Half of five, rounded up.
    assert len(counters) == 3
    other.memory.close()
    shared.memory.close()

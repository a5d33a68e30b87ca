"""Memory and locks of several processes, tried by several processes."""

from __future__ import annotations

import subprocess
import sys
from struct import Struct

from stoa_proxy.foundation.shared_memory import SharedMemory

NUMBER = Struct("<Q")
SIZE = 4096
ROUNDS = 3000

# Adds one so often, by reading and writing; without the lock additions would be lost.
ADD = """
import sys
from struct import Struct
from stoa_proxy.foundation.shared_memory import SharedMemory
memory = SharedMemory(int(sys.argv[1]), 4096)
number = Struct("<Q")
for _ in range(int(sys.argv[2])):
    memory.lock((3, 7))
    number.pack_into(memory.bytes, 8, number.unpack_from(memory.bytes, 8)[0] + 1)
    memory.unlock((3, 7))
"""
# Takes a lock, says so, and is killed.
HOLD = """
import sys
from stoa_proxy.foundation.shared_memory import SharedMemory
memory = SharedMemory(int(sys.argv[1]), 4096)
memory.lock((7,))
print("locked", flush=True)
sys.stdin.read()
"""


def start(code: str, memory: SharedMemory, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(memory.descriptor), *words],
        pass_fds=(memory.descriptor,),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_what_processes_add_under_a_lock_is_not_lost() -> None:
    memory = SharedMemory.create(SIZE)
    processes = [start(ADD, memory, str(ROUNDS)) for _ in range(3)]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert NUMBER.unpack_from(memory.bytes, 8)[0] == 3 * ROUNDS
    memory.close()


def test_a_killed_process_gives_its_locks_back() -> None:
    memory = SharedMemory.create(SIZE)
    process = start(HOLD, memory)
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    process.kill()
    process.communicate(timeout=60)
    memory.lock((3, 7))  # would wait for ever
    memory.unlock((3, 7))
    memory.close()

"""What a process does not need any more goes back to the system."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, gc, sys, tempfile, threading
from stoa_gitops.daemon import memory_tuning

memory_tuning.tune_memory()
threads, held = [], []
meet = threading.Barrier(4)

def work():
    mine = [bytes(2000) for _ in range(1000)]
    held.append(mine)
    meet.wait()

for _ in range(3):
    threads.append(threading.Thread(target=work))
    threads[-1].start()
meet.wait()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
with tempfile.TemporaryFile() as file:
    stream = ctypes.c_void_p(libc.fdopen(file.fileno(), b"w"))
    libc.malloc_info(0, stream)
    libc.fflush(stream)
    file.seek(0)
    print(file.read().count(b"<heap nr="), gc.get_threshold()[0], sys.getswitchinterval())
"""


def settled(**environment: str) -> tuple[int, int]:
    """Heaps after three threads have allocated in parallel, and the collector's first threshold."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**clean, **environment},
        capture_output=True,
        check=True,
    )
    heaps, threshold, turn = done.stdout.split()
    assert float(turn) == pytest.approx(0.001)
    return int(heaps), int(threshold)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has heaps to count")
def test_threads_share_one_heap_unless_the_operator_says_otherwise() -> None:
    assert settled() == (1, 5_000)
    heaps, threshold = settled(MALLOC_ARENA_MAX="8")
    assert heaps > 1
    assert threshold == 5_000

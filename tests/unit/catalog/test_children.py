from __future__ import annotations

import os
import select
import subprocess
import sys
import threading

import pytest

from stoa_gitops.catalog.children import end_all, watched

SLEEPS = ["sh", "-c", "sleep 600 & echo $!; wait"]


def begun() -> tuple[subprocess.Popen[bytes], int]:
    """A child with a child of its own, and a descriptor of that one."""
    child = subprocess.Popen(SLEEPS, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    return child, os.pidfd_open(int(child.stdout.readline()))


def has_ended(process: int) -> bool:
    """Wait until a process has ended, ten seconds at most; `process` is a descriptor of it."""
    try:
        return bool(select.select([process], [], [], 10)[0])
    finally:
        os.close(process)


def test_whatever_interrupts_the_waiting_ends_the_whole_group() -> None:
    child, grandchild = begun()
    with pytest.raises(KeyboardInterrupt), watched(child):
        raise KeyboardInterrupt
    assert child.returncode is not None
    assert has_ended(grandchild)


def test_at_the_end_of_the_process_every_group_is_ended() -> None:
    child, grandchild = begun()
    is_watched = threading.Event()

    def wait() -> None:
        with watched(child):
            is_watched.set()
            child.communicate()

    waiting = threading.Thread(target=wait)
    waiting.start()
    is_watched.wait()
    end_all()
    waiting.join(10)
    assert not waiting.is_alive()
    assert has_ended(grandchild)


CONTAINER = """
import ctypes, os, subprocess, sys
from stoa_gitops.catalog.children import watched

assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0, "PR_SET_CHILD_SUBREAPER: inherit as process 1 does"
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, start_new_session=True)
try:
    with watched(child):
        child.communicate(timeout=0.2)
except subprocess.TimeoutExpired:
    print("interrupted")
try:
    print("left behind:", os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("nothing left behind")
"""


def test_the_first_process_of_a_container_collects_what_git_leaves_behind() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONTAINER, *SLEEPS], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == ["interrupted", "nothing left behind"], done.stderr

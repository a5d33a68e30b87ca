from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading

import pytest

from stoa_gitops.catalog.sources.git.processes import terminate_all, watched

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
    with pytest.raises(KeyboardInterrupt), watched(lambda: child):
        raise KeyboardInterrupt
    assert child.returncode is not None
    assert has_ended(grandchild)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_interrupts_the_start_of_a_child_waits_until_the_child_is_known(
    number: signal.Signals,
) -> None:
    """Between the start of a program and the answer of the call that started it, nobody else can
    end it.
    """
    children: list[tuple[subprocess.Popen[bytes], int]] = []

    def start() -> subprocess.Popen[bytes]:
        children.append(begun())
        signal.raise_signal(number)
        children.append(children[-1])
        return children[-1][0]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), watched(start):
            pytest.fail("goes on with what was interrupted")
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
    assert len(children) == 2, "interrupted before the child was known"
    child, grandchild = children[0]
    assert child.returncode is not None
    assert has_ended(grandchild)


def test_the_end_of_the_process_waits_for_a_child_that_is_being_started() -> None:
    child, grandchild = begun()
    is_starting, may_start = threading.Event(), threading.Event()

    def start() -> subprocess.Popen[bytes]:
        is_starting.set()
        may_start.wait()
        return child

    def wait() -> None:
        with watched(start) as started:
            started.communicate()

    waiting, ending = threading.Thread(target=wait), threading.Thread(target=terminate_all)
    waiting.start()
    is_starting.wait()
    ending.start()
    may_start.set()
    ending.join(30)
    waiting.join(30)
    assert not waiting.is_alive()
    assert has_ended(grandchild)


def test_at_the_end_of_the_process_every_group_is_ended() -> None:
    child, grandchild = begun()
    is_watched = threading.Event()

    def wait() -> None:
        with watched(lambda: child):
            is_watched.set()
            child.communicate()

    waiting = threading.Thread(target=wait)
    waiting.start()
    is_watched.wait()
    terminate_all()
    waiting.join(30)
    assert not waiting.is_alive()
    assert has_ended(grandchild)


CONTAINER = """
import ctypes, os, subprocess, sys
from stoa_gitops.catalog.sources.git.processes import watched

# 36 is PR_SET_CHILD_SUBREAPER: inherit orphans as process 1 does.
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, start_new_session=True)
try:
    with watched(lambda: child):
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
        [sys.executable, "-c", CONTAINER, *SLEEPS], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.splitlines() == ["interrupted", "nothing left behind"], done.stderr

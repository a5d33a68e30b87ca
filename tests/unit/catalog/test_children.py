from __future__ import annotations

import os
import select
import subprocess
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

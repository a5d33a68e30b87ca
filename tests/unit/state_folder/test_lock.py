from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from pathlib import Path

import pytest

from stoa_gitops.errors import StoreError
from stoa_gitops.state_folder import lock as state_lock
from stoa_gitops.state_folder import runtime_file as runtime
from stoa_gitops.state_folder.runtime_file import Runtime


def test_a_folder_is_held_by_one_and_free_again_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with state_lock.hold_state_lock(folder):
        with (
            pytest.raises(state_lock.StateTaken, match=f"process {os.getpid()} runs with"),
            state_lock.hold_state_lock(folder),
        ):
            pass
        file = folder / state_lock.FILE
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.exists(), "removing it would let two hold the folder at once"
    with state_lock.hold_state_lock(folder):
        pass


def test_the_refusal_says_where_the_holder_listens(tmp_path: Path) -> None:
    with state_lock.hold_state_lock(tmp_path):
        runtime.write_runtime(
            tmp_path, Runtime(os.getpid(), "http://127.0.0.1:1", "http://127.0.0.1:2")
        )
        words = r"\(control http://127.0.0.1:1, gateway http://127.0.0.1:2\)"
        with (
            pytest.raises(state_lock.StateTaken, match=words),
            state_lock.hold_state_lock(tmp_path),
        ):
            pass
        assert runtime.read_runtime(tmp_path) is not None, "a refused one leaves it alone"


def test_what_a_killed_process_left_is_gone_once_the_folder_is_held(tmp_path: Path) -> None:
    runtime.write_runtime(tmp_path, Runtime(os.getpid(), "http://127.0.0.1:1"))
    with state_lock.hold_state_lock(tmp_path):
        assert not (tmp_path / runtime.FILE).exists()


def test_what_a_killed_process_left_is_not_believed_though_its_number_is_alive(
    tmp_path: Path,
) -> None:
    with state_lock.hold_state_lock(tmp_path):
        runtime.write_runtime(tmp_path, Runtime(os.getpid(), "http://127.0.0.1:1"))
        assert runtime.read_runtime(tmp_path) is not None
    assert runtime.read_runtime(tmp_path) is None


def test_who_only_looks_keeps_nobody_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with state_lock.hold_state_lock(tmp_path):
        pass
    looking = os.open(tmp_path / state_lock.FILE, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        os.close(looking)

    monkeypatch.setattr(time, "sleep", wait)
    with state_lock.hold_state_lock(tmp_path):
        assert len(waited) == 1


def test_a_disk_that_is_full_is_no_reason_against_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with state_lock.hold_state_lock(tmp_path):
        assert (tmp_path / state_lock.FILE).exists()


def test_addresses_that_cannot_be_written_are_said_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / runtime.FILE).mkdir()
    with pytest.raises(StoreError, match=r"runtime\.json cannot be written"):
        runtime.write_runtime(tmp_path, Runtime(os.getpid()))
    assert [path.name for path in tmp_path.iterdir()] == [runtime.FILE]


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / state_lock.FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=state_lock.FILE), state_lock.hold_state_lock(tmp_path):
        pass

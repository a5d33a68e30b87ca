from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from stoa_gitops.daemon import runtime, state_lock
from stoa_gitops.daemon.runtime import Runtime
from stoa_gitops.errors import StoreError


def test_a_folder_is_held_by_one_and_free_again_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with state_lock.held(folder):
        with (
            pytest.raises(state_lock.StateTaken, match=f"process {os.getpid()} runs with"),
            state_lock.held(folder),
        ):
            pass
        file = folder / state_lock.FILE
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.exists(), "removing it would let two hold the folder at once"
    with state_lock.held(folder):
        pass


def test_the_refusal_says_where_the_holder_listens(tmp_path: Path) -> None:
    with state_lock.held(tmp_path):
        runtime.write(tmp_path, Runtime(os.getpid(), "http://127.0.0.1:1", "http://127.0.0.1:2"))
        words = r"\(control http://127.0.0.1:1, gateway http://127.0.0.1:2\)"
        with pytest.raises(state_lock.StateTaken, match=words), state_lock.held(tmp_path):
            pass
        assert runtime.read(tmp_path) is not None, "a refused one leaves it alone"


def test_what_a_killed_process_left_is_gone_once_the_folder_is_held(tmp_path: Path) -> None:
    runtime.write(tmp_path, Runtime(os.getpid(), "http://127.0.0.1:1"))
    with state_lock.held(tmp_path):
        assert runtime.read(tmp_path) is None


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / state_lock.FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=state_lock.FILE), state_lock.held(tmp_path):
        pass

"""Private files: rights, atomicity, races, and nothing left beside them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stoa_gitops.foundation.files import (
    Replacement,
    create_private_file,
    read_bounded,
    replace_private_file,
)

Writer = Callable[[Path, bytes], None]
WRITERS = (create_private_file, replace_private_file)
"""Both functions, for what is true of either."""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_is_for_its_owner_only_and_nothing_is_left_beside_it(
    write: Writer, tmp_path: Path
) -> None:
    write(tmp_path / "secret", b"content")
    assert (tmp_path / "secret").read_bytes() == b"content"
    assert mode(tmp_path / "secret") == 0o600
    assert names(tmp_path) == ["secret"]


def test_a_program_can_be_written_for_its_owner(tmp_path: Path) -> None:
    replace_private_file(tmp_path / "program", b"#!/bin/sh\n", mode=0o700)
    assert mode(tmp_path / "program") == 0o700


def test_replacing_takes_the_place_of_the_old_file_and_of_its_mode(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a longer old content")
    (tmp_path / "file").chmod(0o644)
    replace_private_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert mode(tmp_path / "file") == 0o600
    assert names(tmp_path) == ["file"]


def test_replacing_a_link_leaves_its_target_unchanged(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"target")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    replace_private_file(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"target"
    assert not (tmp_path / "link").is_symlink()


def test_creating_refuses_a_file_that_exists(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        create_private_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_one_of_several_creators_wins_with_its_whole_content(tmp_path: Path) -> None:
    def create(number: int) -> int | None:
        try:
            create_private_file(tmp_path / "file", bytes([number]) * 100_000)
        except FileExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        (winner,) = [n for n in pool.map(create, range(32)) if n is not None]
    assert (tmp_path / "file").read_bytes() == bytes([winner]) * 100_000
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("is_there", [False, True])
def test_creating_works_on_a_file_system_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    path = tmp_path / "file"
    if is_there:
        path.write_bytes(b"old")
        with pytest.raises(FileExistsError):
            create_private_file(path, b"new")
    else:
        create_private_file(path, b"new")
        assert mode(path) == 0o600
    assert path.read_bytes() == (b"old" if is_there else b"new")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("write", WRITERS)
def test_a_missing_folder_is_an_error(write: Writer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "nowhere" / "file", b"")


@pytest.mark.parametrize("write", WRITERS)
def test_a_failed_flush_leaves_what_was_there(
    write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("write", WRITERS)
def test_a_folder_that_cannot_be_flushed_is_no_error(
    write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    write(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.parametrize("write", WRITERS)
def test_the_content_is_flushed_before_the_name(
    write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[bool, bool]] = []

    def noted(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        flushed.append((is_folder, (tmp_path / "file").exists()))

    monkeypatch.setattr(os, "fsync", noted)
    write(tmp_path / "file", b"content")
    assert flushed == [(False, False), (True, True)]


def test_a_replacement_has_the_name_only_once_it_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with Replacement(path, b"new") as replacement:
        replacement.flush()
        assert path.read_bytes() == b"old"
        replacement.commit()
        assert path.read_bytes() == b"new"
    assert (path.stat().st_mode & 0o777, names(tmp_path)) == (0o640, ["a"])


def test_a_replacement_that_is_not_committed_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with Replacement(path, b"new"):
        assert len(names(tmp_path)) == 2
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["a"])


@pytest.mark.parametrize("size", [0, 9, 10, 11, 30])
def test_a_file_is_read_up_to_one_more_than_its_limit(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * size)
    assert read_bounded(path, 10) == b"x" * min(size, 11)

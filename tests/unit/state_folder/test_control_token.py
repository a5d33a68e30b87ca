"""The control token: given, made once, load_or_create for its owner."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stoa_gitops.errors import StoreError
from stoa_gitops.model.secret import Secret
from stoa_gitops.state_folder.control_token import FILE, load_or_create


def test_a_given_token_is_taken_and_not_written(tmp_path: Path) -> None:
    assert load_or_create(tmp_path, Secret("given")) == Secret("given")
    assert list(tmp_path.iterdir()) == []


def test_a_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    first = load_or_create(tmp_path, None)
    assert load_or_create(tmp_path, None) == first
    assert len(first.reveal()) >= 40
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_several_starts_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: load_or_create(tmp_path, None), range(32)))
    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("mode", "text", "words"),
    [(0o644, "x", "chmod 600"), (0o600, "", "empty"), (0o600, "é", "read")],
)
def test_a_file_that_cannot_be_trusted_is_refused(
    tmp_path: Path, mode: int, text: str, words: str
) -> None:
    (tmp_path / FILE).write_text(text)
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(StoreError, match=words):
        load_or_create(tmp_path, None)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        load_or_create(tmp_path / "nowhere", None)

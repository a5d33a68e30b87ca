"""Folders are listed again exactly where something in them changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoa_gitops.catalog.sources import directory_cache as listings
from stoa_gitops.catalog.sources.directory_cache import RACY_NS, DirectoryCache


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that were listed."""
    seen: list[str] = []
    really = listings._listed

    def listed(folder: str) -> tuple[listings.Entry, ...]:
        seen.append(folder)
        return really(folder)

    monkeypatch.setattr(listings, "_listed", listed)
    return seen


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file, a folder, a link and a hidden file, that changed long before anybody
    looks.
    """
    (tmp_path / "b.yaml").write_text("b: 1\n")
    (tmp_path / "c").mkdir()
    (tmp_path / "a.yaml").symlink_to("b.yaml")
    (tmp_path / ".hidden").write_text("")
    later(monkeypatch, tmp_path)
    return tmp_path


def later(monkeypatch: pytest.MonkeyPatch, folder: Path, nanoseconds: int = 2 * RACY_NS) -> None:
    """Let the clock of who looks be so long after the folder's last change."""
    changed = folder.stat().st_ctime_ns
    monkeypatch.setattr(
        "stoa_gitops.catalog.sources.directory_cache.time.time_ns", lambda: changed + nanoseconds
    )


def names(found: tuple[listings.Entry, ...]) -> list[str]:
    return [entry.name for entry in found]


def test_entries_come_by_name_with_what_they_are_and_without_hidden_ones(folder: Path) -> None:
    found = DirectoryCache().list_folder(str(folder))
    assert [(e.name, e.is_link, e.is_folder) for e in found] == [
        ("a.yaml", True, False),
        ("b.yaml", False, False),
        ("c", False, True),
    ]


def test_a_folder_that_did_not_change_is_listed_once(folder: Path, scans: list[str]) -> None:
    kept = DirectoryCache()
    assert kept.list_folder(str(folder)) is kept.list_folder(str(folder))
    assert scans == [str(folder)]


def test_what_comes_and_goes_is_seen_at_the_next_look(folder: Path) -> None:
    kept = DirectoryCache()
    kept.list_folder(str(folder))
    (folder / "b.yaml").unlink()
    (folder / "new.yaml").write_text("")
    assert names(kept.list_folder(str(folder))) == ["a.yaml", "c", "new.yaml"]


def test_a_file_that_becomes_a_link_is_seen_at_the_next_look(folder: Path) -> None:
    kept = DirectoryCache()
    kept.list_folder(str(folder))
    (folder / "link").symlink_to("c")
    (folder / "link").rename(folder / "b.yaml")
    assert [e.is_link for e in kept.list_folder(str(folder)) if e.name == "b.yaml"] == [True]


@pytest.mark.parametrize("nanoseconds", [0, RACY_NS, -RACY_NS])
def test_a_folder_that_changed_shortly_before_or_in_the_future_is_listed_again(
    folder: Path, scans: list[str], monkeypatch: pytest.MonkeyPatch, nanoseconds: int
) -> None:
    later(monkeypatch, folder, nanoseconds)
    kept = DirectoryCache()
    kept.list_folder(str(folder))
    kept.list_folder(str(folder))
    assert len(scans) == 2


def test_a_folder_that_nobody_asks_for_is_forgotten(folder: Path, scans: list[str]) -> None:
    kept = DirectoryCache()
    kept.list_folder(str(folder))
    kept.forget_unasked()
    kept.forget_unasked()
    kept.list_folder(str(folder))
    assert len(scans) == 2


def test_a_missing_folder_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DirectoryCache().list_folder(str(folder / "nothing"))

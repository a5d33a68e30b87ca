"""What lies in folders, listed again only where a folder changed."""

from __future__ import annotations

import os
import time
from typing import Final, NamedTuple, TypeAlias

from stoa_gitops.catalog.sources import shown_path

RACY_NS: Final = 2_000_000_000
"""What changed so shortly ago may change again within one tick of its clock: it is looked at anew."""

Signature: TypeAlias = "tuple[int, int, int, int]"


def signature_of(found: os.stat_result) -> Signature:
    """Return what is another one as soon as a file or folder changes: time, size, inode, change time."""
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns


def is_settled(found: os.stat_result, looked: int) -> bool:
    """Whether something last changed so long before a look (in ns) that a later change shows."""
    return looked - max(found.st_mtime_ns, found.st_ctime_ns) > RACY_NS


class Entry(NamedTuple):
    """One entry of a folder: its name for the system and for people, and what it is."""

    name: str
    shown: str
    is_link: bool
    is_folder: bool


class Listings:
    """Keeps the listings of folders. A name that comes, goes or means something else changes its folder."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Signature, int, tuple[Entry, ...]]] = {}
        self._asked: set[str] = set()

    def of(self, folder: str) -> tuple[Entry, ...]:
        """Return the entries of a folder by name, without hidden ones; raises OSError."""
        self._asked.add(folder)
        found = os.stat(folder)  # noqa: PTH116 - this runs once per folder
        known = self._kept.get(folder)
        if known is not None and known[0] == signature_of(found) and is_settled(found, known[1]):
            return known[2]
        looked = time.time_ns()
        entries = _listed(folder)
        self._kept[folder] = (signature_of(found), looked, entries)
        return entries

    def forget_unasked(self) -> None:
        """Forget the folders that nobody asked for since the last time."""
        self._kept = {
            folder: known for folder, known in self._kept.items() if folder in self._asked
        }
        self._asked = set()


def _listed(folder: str) -> tuple[Entry, ...]:
    with os.scandir(os.fsencode(folder)) as entries:
        # What an entry is comes with the listing: only files are asked for more.
        found = sorted(
            (entry.name, entry.is_symlink(), entry.is_dir(follow_symlinks=False))
            for entry in entries
            if not entry.name.startswith(b".")
        )
    return tuple(
        Entry(os.fsdecode(name), shown_path(name), is_link, is_folder)
        for name, is_link, is_folder in found
    )

"""What lies in folders, listed again only where a folder changed."""

from __future__ import annotations

import os
import struct
import sys
import time
from typing import Final, NamedTuple, TypeAlias

from stoa_gitops.catalog.sources.base import shown_path

RACY_NS: Final = 2_000_000_000
"""What changed so shortly ago may change again within one tick of its clock: it is looked at anew."""

Signature: TypeAlias = bytes
"""32 bytes, because a process keeps one for each file and folder as long as it lives."""

_FIELDS: Final = struct.Struct("<qqQq")


def signature_of(found: os.stat_result) -> Signature:
    """Return what is another one as soon as a file or folder changes: time, size, inode, change time."""
    return _FIELDS.pack(found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns)


def is_settled(found: os.stat_result, looked: int) -> bool:
    """Whether something last changed so long before a look (in ns) that a later change shows."""
    return looked - max(found.st_mtime_ns, found.st_ctime_ns) > RACY_NS


class Entry(NamedTuple):
    """One entry of a folder: its name for the system and for people, and what it is."""

    name: str
    shown: str
    is_link: bool
    is_folder: bool


Entries: TypeAlias = "tuple[Entry, ...]"


class DirectoryCache:
    """Keeps the listings of folders. A name that comes, goes or means something else changes its folder."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Signature, Entries]] = {}
        self._asked: set[str] = set()
        self._interned: dict[Entries, Entries] = {}

    def of(self, folder: str) -> Entries:
        """Return the entries of a folder by name, without hidden ones; raises OSError."""
        self._asked.add(folder)
        found = os.stat(folder)  # noqa: PTH116 - this runs once per folder
        signature, known = signature_of(found), self._kept.get(folder)
        if known is not None and known[0] == signature:
            return known[1]
        looked = time.time_ns()
        entries = _listed(folder)
        # Most folders hold what others hold, too: one file of the same name.
        entries = self._interned.setdefault(entries, entries)
        if is_settled(found, looked):
            self._kept[folder] = signature, entries
        else:
            self._kept.pop(folder, None)
        return entries

    def forget_unasked(self) -> None:
        """Forget the folders that nobody asked for since the last time."""
        if self._kept.keys() != self._asked:
            self._kept = {f: known for f, known in self._kept.items() if f in self._asked}
        self._asked = set()
        self._interned = {entries: entries for _, entries in self._kept.values()}


def _listed(folder: str) -> Entries:
    with os.scandir(os.fsencode(folder)) as entries:
        # What an entry is comes with the listing: only files are asked for more.
        found = sorted(
            (entry.name, entry.is_symlink(), entry.is_dir(follow_symlinks=False))
            for entry in entries
            if not entry.name.startswith(b".")
        )
    return tuple(_entry(*item) for item in found)


def _entry(raw: bytes, is_link: bool, is_folder: bool) -> Entry:
    name, shown = sys.intern(os.fsdecode(raw)), shown_path(raw)
    return Entry(name, name if name == shown else shown, is_link, is_folder)

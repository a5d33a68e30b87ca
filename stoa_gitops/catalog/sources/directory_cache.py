"""Caches listings of folders: a folder is listed again only when its own metadata changed."""

from __future__ import annotations

import os
import struct
import sys
import time
from typing import Final, NamedTuple, TypeAlias

from stoa_gitops.catalog.sources.base import shown_path

RACY_NS: Final = 2_000_000_000
"""A change within this time (ns) before a look may be followed by one with the same time stamp.

Git knows this as the racy index; 2 s is the coarsest resolution in use, that of FAT.
"""

Signature: TypeAlias = bytes
"""Packed into 32 bytes: the process keeps one for each file and folder of the catalog."""

_FIELDS: Final = struct.Struct("<qqQq")


def signature_of(found: os.stat_result) -> Signature:
    """Return modification time, size, inode and change time, packed: differs after any change."""
    return _FIELDS.pack(found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns)


def is_settled(found: os.stat_result, looked: int) -> bool:
    """Whether the last change is so long before `looked` (ns) that a later one has another time."""
    return looked - max(found.st_mtime_ns, found.st_ctime_ns) > RACY_NS


class Entry(NamedTuple):
    """One entry of a folder: its name for the system and for people, and its type."""

    name: str
    shown: str
    is_link: bool
    is_folder: bool


Entries: TypeAlias = "tuple[Entry, ...]"


class DirectoryCache:
    """Keeps the listings of folders.

    A name that appears, disappears or changes its type changes the metadata of its folder.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Signature, Entries]] = {}
        self._asked: set[str] = set()
        self._interned: dict[Entries, Entries] = {}

    def list_folder(self, folder: str) -> Entries:
        """Return the entries of a folder by name, without hidden ones; raises OSError."""
        self._asked.add(folder)
        # os.stat takes a third of the time of Path.stat; this runs per folder and scan.
        found = os.stat(folder)  # noqa: PTH116 - see above
        signature, known = signature_of(found), self._kept.get(folder)
        if known is not None and known[0] == signature:
            return known[1]
        looked = time.time_ns()
        entries = _listed(folder)
        # Most folders of a catalog hold the same: one `api.yaml`.
        entries = self._interned.setdefault(entries, entries)
        if is_settled(found, looked):
            self._kept[folder] = signature, entries
        else:
            self._kept.pop(folder, None)
        return entries

    def forget_unasked(self) -> None:
        """Forget the folders that were not listed since the last call."""
        if self._kept.keys() != self._asked:
            self._kept = {f: known for f, known in self._kept.items() if f in self._asked}
        self._asked = set()
        self._interned = {entries: entries for _, entries in self._kept.values()}


def _listed(folder: str) -> Entries:
    with os.scandir(os.fsencode(folder)) as entries:
        # The type of an entry comes with the listing (d_type), without a call for each.
        found = sorted(
            (entry.name, entry.is_symlink(), entry.is_dir(follow_symlinks=False))
            for entry in entries
            if not entry.name.startswith(b".")
        )
    return tuple(_entry(*item) for item in found)


def _entry(raw: bytes, is_link: bool, is_folder: bool) -> Entry:
    name, shown = sys.intern(os.fsdecode(raw)), shown_path(raw)
    return Entry(name, name if name == shown else shown, is_link, is_folder)

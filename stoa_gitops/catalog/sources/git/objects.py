"""Parses the output of `git ls-tree` and `git cat-file --batch`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stoa_gitops.catalog.sources.base import (
    MAX_FILE_BYTES,
    ROOTS,
    Problem,
    check_count,
    is_wanted,
    shown_path,
    too_large,
)
from stoa_gitops.errors import CatalogError

# Modes of `ls-tree`: symbolic link, and gitlink (a commit of another repository).
_SYMLINK: Final = b"120000"
_SUBMODULE: Final = b"160000"


class Entry(NamedTuple):
    """One line of `ls-tree -r -z`; `size` is None for what is no blob, and without `-l`."""

    path: str
    mode: bytes
    blob: str
    size: int | None

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode == _SYMLINK

    @property
    def is_submodule(self) -> bool:
        """Whether it is a commit of another repository."""
        return self.mode == _SUBMODULE


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a catalog in one commit: blob ids, known sizes by blob id, links, problems.

    real  where files behind links lie, by path
    """

    files: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    links: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    real: dict[str, str] = field(default_factory=dict)

    def drop_large(self) -> None:
        """Turn files over the limit into problems."""
        large = {blob for blob, size in self.sizes.items() if size > MAX_FILE_BYTES}
        for path in [path for path, blob in self.files.items() if blob in large] if large else ():
            self.problems.append(too_large(path, self.sizes[self.files.pop(path)]))


def parse_ls_tree(output: bytes, prefix: str) -> Iterator[Entry]:
    """Yield the entries of `ls-tree -r -z`, with or without `-l`, their paths relative to the
    catalog's folder.
    """
    cut = len(prefix) + 1 if prefix else 0
    for line in output.split(b"\0"):
        if not line:
            continue
        head, _, path = line.partition(b"\t")
        mode, _, blob, *size = head.split()
        known = int(size[0]) if size and size[0].isdigit() else None
        yield Entry(shown_path(path)[cut:], mode, blob.decode(), known)


def classify_entries(entries: Iterable[Entry], place: str) -> Listing:
    """Sort entries into files, links and problems; raises CatalogError for too many files."""
    listing = Listing()
    count = 0
    for entry in entries:
        if entry.path.split("/", 1)[0] not in ROOTS or is_hidden(entry.path):
            continue
        # Counted before anything is read, because a wrong folder may hold millions.
        count += 1
        check_count(count, place)
        mode = entry.mode
        if mode == _SUBMODULE:
            listing.problems.append(submodule(entry.path))
        elif mode == _SYMLINK:
            listing.links.append(entry)
        elif is_wanted(entry.path.rsplit("/", 1)[-1]):
            add_file(listing, entry.path, entry)
    return listing


def add_file(listing: Listing, path: str, entry: Entry) -> None:
    """Add one file."""
    listing.files[path] = entry.blob
    if path != entry.path:
        listing.real[path] = entry.path
    if entry.size is not None:
        listing.sizes[entry.blob] = entry.size


def is_hidden(path: str) -> bool:
    """Whether a file or a folder around it is hidden; `.` and `..` of a forged tree are, too."""
    return "/." in f"/{path}"


def parse_batch(output: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (blob id, bytes) of `cat-file --batch`; raises CatalogError for a missing object."""
    position = 0
    while position < len(output):
        end = output.index(b"\n", position)
        # `<id> <type> <size>`; `<id> missing` for an object that the repository lacks.
        head = output[position:end].split()
        if len(head) != 3:
            raise CatalogError(
                f"the repository lacks the object {head[0].decode('ascii', 'replace')}: "
                "fetch it whole (no --filter), or run `git fsck`"
            )
        size = int(head[2])
        yield head[0].decode(), output[end + 1 : end + 1 + size]
        position = end + 2 + size


def submodule(path: str) -> Problem:
    """Return the problem of a commit of another repository."""
    return Problem(
        path,
        "file.submodule",
        "a submodule is not read",
        "put the files themselves into this repository",
    )

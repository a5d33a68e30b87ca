"""Parses the output of `git ls-tree` and `git cat-file --batch`."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of `ls-tree -r -l -z`; `size` is None for what is no blob."""

    path: str
    mode: bytes
    blob: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a catalog in one commit: blob ids, sizes, links still to follow, problems.

    real  where files behind links lie, by path
    """

    files: dict[str, str]
    sizes: dict[str, int]
    links: dict[str, str]
    problems: list[Problem]
    real: dict[str, str] = field(default_factory=dict)


def parse_ls_tree(output: bytes, prefix: str) -> Iterator[Entry]:
    """Yield the entries of `ls-tree -r -l -z`, their paths relative to the catalog's folder."""
    cut = len(prefix) + 1 if prefix else 0
    for line in output.split(b"\0"):
        if not line:
            continue
        head, _, path = line.partition(b"\t")
        mode, _, blob, size = head.split()
        whole = shown_path(path)
        yield Entry(whole[cut:], mode, blob.decode(), None if size == b"-" else int(size))


def classify_entries(entries: Iterator[Entry], place: str) -> Listing:
    """Sort entries into files, links and problems; raises CatalogError for too many files."""
    listing = Listing({}, {}, {}, [])
    count = 0
    for entry in entries:
        if entry.path.split("/", 1)[0] not in ROOTS or "/." in f"/{entry.path}":
            continue
        # Counted before anything is read, because a wrong folder may hold millions.
        count += 1
        check_count(count, place)
        if entry.mode == _SUBMODULE:
            listing.problems.append(_submodule(entry.path))
        elif entry.mode == _SYMLINK:
            listing.links[entry.path] = entry.blob
        elif is_wanted(entry.path.rsplit("/", 1)[-1]):
            if (entry.size or 0) > MAX_FILE_BYTES:
                listing.problems.append(too_large(entry.path, entry.size or 0))
            else:
                listing.files[entry.path] = entry.blob
                listing.sizes[entry.path] = entry.size or 0
    return listing


def follow_links(listing: Listing, targets: Mapping[str, str]) -> None:
    """Add the files that symlinks point to; `targets` are their texts by path.

    A link to a file or folder of the catalog is followed; one that leads out, nowhere, or to
    another link is a problem.
    """
    for path, target in sorted(targets.items()):
        goal = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        # A link of Git is text: it is resolved by names only, never on this disk.
        if target.startswith("/") or goal.startswith("..") or goal.split("/", 1)[0] not in ROOTS:
            listing.problems.append(
                Problem(
                    path,
                    "file.symlink",
                    "the symlink leads out of the catalog and is not followed",
                    "put the file itself here",
                )
            )
            continue
        if goal in listing.files:
            if is_wanted(path.rsplit("/", 1)[-1]):
                listing.files[path] = listing.files[goal]
                listing.sizes[path] = listing.sizes[goal]
                listing.real[path] = listing.real.get(goal, goal)
            continue
        below = [name for name in listing.files if name.startswith(f"{goal}/")]
        if not below or path.startswith(f"{goal}/"):
            message = "the symlink leads nowhere" if not below else "the symlink leads into itself"
            listing.problems.append(Problem(path, "file.symlink", message, "remove it"))
        for name in below if not path.startswith(f"{goal}/") else ():
            copy = path + name[len(goal) :]
            listing.files[copy] = listing.files[name]
            listing.sizes[copy] = listing.sizes[name]
            listing.real[copy] = listing.real.get(name, name)


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


def _submodule(path: str) -> Problem:
    return Problem(
        path,
        "file.submodule",
        "a submodule is not read",
        "put the files themselves into this repository",
    )

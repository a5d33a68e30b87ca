"""A catalog in a folder, as it is on disk: a working tree, a mounted ConfigMap, git-sync."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from stoa_gitops.catalog.sources.base import (
    MAX_FILE_BYTES,
    ROOTS,
    WATCHING,
    Problem,
    check_count,
    check_is_catalog,
    is_wanted,
    misnamed_roots,
    shown_path,
    too_large,
)
from stoa_gitops.catalog.sources.directory_cache import (
    DirectoryCache,
    Signature,
    is_settled,
    signature_of,
)
from stoa_gitops.catalog.sources.file_events import pause, watch
from stoa_gitops.catalog.sources.folder_tree import FolderTree, blob_id, read_file
from stoa_gitops.catalog.sources.links import LOOPS, NOWHERE, LinkRefused, Links, link_problem
from stoa_gitops.errors import CatalogNotFound

log = logging.getLogger(__name__)

_TRIES: Final = 5
"""Times that a file is read which changes meanwhile."""

_RESCAN_AT_MOST: Final = 500
"""Most files that are checked one by one; beyond that a scan of the whole folder is as quick."""


def _read_link(root: str, path: str) -> str | None:
    try:
        return os.readlink(f"{root}/{path}")  # noqa: PTH115 - the text is wanted
    except OSError:
        return None  # no link, or nothing at all: the end of the path is looked at later


@dataclass(slots=True)
class _Scan:
    """State of one scan of the folder.

    fresh  bytes of files that were read; real  real paths behind links; count  files seen
    """

    root: str
    files: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, bytes] = field(default_factory=dict)
    real: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    count: int = 0
    links: Links = field(init=False)

    def __post_init__(self) -> None:
        # Not a method of this scan: a cycle would keep the files of each scan until a collection.
        self.links = Links(partial(_read_link, self.root))

    def tree(self, prefix: str) -> FolderTree:
        """Return the tree of the files found."""
        problems = tuple(self.problems)
        return FolderTree(self.files, self.fresh, problems, prefix, root=self.root, real=self.real)


class FolderSource:
    """Reads a folder; files that did not change since the last snapshot are not read again."""

    def __init__(self, location: Path) -> None:
        self.location = location
        self._known: dict[str, Signature] = {}
        self._listings = DirectoryCache()
        self._last: FolderTree | None = None
        self._touched: set[str] = set()

    def snapshot(self) -> FolderTree:
        """Return the files as they are now; the root is resolved anew, so a swapped symlink is
        followed.

        Where file events named existing files only, just those are checked. Any other event
        (folders, links, new and removed files), and a snapshot without any event, means a scan of
        everything: events can be lost, and a scan finds what they did not report.
        """
        touched, self._touched = self._touched, set()
        root = os.path.realpath(self.location)
        tree = self._rescan_touched(root, touched) or self._scan_all(root)
        if self._last is not None:
            self._last.settle()
            if self._last.is_same(tree):
                return self._last
        self._last = tree
        return tree

    def touch(self, paths: Iterable[str]) -> None:
        """Record absolute paths that events named, for the next snapshot."""
        self._touched.update(paths)

    def _rescan_touched(self, root: str, touched: set[str]) -> FolderTree | None:
        """Return the last tree with the touched files read again; None where a scan is needed."""
        last = self._last
        if last is None or last.root != root or not 0 < len(touched) <= _RESCAN_AT_MOST:
            return None
        # Files with problems may be well now, which only a scan finds out.
        if last.problems:
            return None
        scan = _Scan(root, dict(last.files), real=dict(last.real))
        for path in sorted(touched):
            shown = shown_path(os.fsencode(os.path.relpath(path, root)))
            if shown not in scan.files:
                if os.path.lexists(path):
                    return None
                continue  # a file that came and went, as editors make them
            try:
                found = os.lstat(path)
            except OSError:
                return None
            # A link anywhere on the path may lead elsewhere by now.
            if not stat.S_ISREG(found.st_mode) or os.path.realpath(path) != path:
                return None
            self._file(scan, path, shown, found)
        return None if scan.problems else scan.tree(last.prefix)

    def _scan_all(self, root: str) -> FolderTree:
        try:
            names = os.listdir(root)  # noqa: PTH208 - names are needed, not paths
        except FileNotFoundError:
            raise CatalogNotFound(
                f"there is no folder {self.location}; give the catalog's folder with --catalog"
            ) from None
        except NotADirectoryError:
            raise CatalogNotFound(
                f"{self.location} is a file; give the folder of the catalog with --catalog"
            ) from None
        except OSError as error:
            raise CatalogNotFound(
                f"{self.location} cannot be read: {error.strerror}; check its permissions"
            ) from None
        check_is_catalog(names, str(self.location))
        scan = _Scan(root)
        scan.problems += misnamed_roots(names)
        for name in sorted(set(names) & set(ROOTS)):
            path = f"{root}/{name}"
            self._entry(scan, path, name, (root,), is_link=Path(path).is_symlink())
        if self._known.keys() - scan.files.keys():
            self._known = {path: known for path, known in self._known.items() if path in scan.files}
        self._listings.forget_unasked()
        return scan.tree(_prefix(Path(root)))

    def _entry(
        self,
        scan: _Scan,
        path: str,
        shown: str,
        above: tuple[str, ...],
        *,
        is_link: bool,
        is_folder: bool = False,
    ) -> None:
        """Read one entry; `above` are the real folders around it, to detect loops of links."""
        try:
            real = path
            if is_link:
                place = path[len(scan.root.rstrip(os.sep)) + 1 :]
                real = f"{scan.root}/{scan.links.follow(place, shown)}"
                above = (*above, *map(str, Path(path).parents))
            if is_folder:
                self._folder(scan, real, shown, above)
                return
            found = os.stat(real)  # noqa: PTH116 - once per file; Path.stat takes 3 times as long
            if stat.S_ISDIR(found.st_mode):
                self._folder(scan, real, shown, above)
            elif stat.S_ISREG(found.st_mode):
                scan.count += 1
                check_count(scan.count, str(self.location))
                if is_wanted(shown.rsplit("/", 1)[-1]):
                    self._file(scan, real, shown, found)
        except LinkRefused as refused:
            scan.problems.append(link_problem(shown, str(refused)))
        except (FileNotFoundError, NotADirectoryError):
            if is_link:
                scan.problems.append(link_problem(shown, NOWHERE))
        except OSError as error:
            scan.problems.append(_unreadable(shown, error))

    def _folder(self, scan: _Scan, real: str, shown: str, above: tuple[str, ...]) -> None:
        if real in above:
            raise LinkRefused(LOOPS)
        within = (*above, real)
        for name, shown_name, is_link, is_folder in self._listings.list_folder(real):
            path, inside = f"{real}/{name}", f"{shown}/{shown_name}"
            self._entry(scan, path, inside, within, is_link=is_link, is_folder=is_folder)

    def _file(self, scan: _Scan, real: str, shown: str, found: os.stat_result) -> None:
        if real != f"{scan.root}/{shown}":
            scan.links.count(shown)
            scan.real[shown] = real
        blob = self._known_blob(shown, found)
        if blob is not None:
            scan.files[shown] = blob
            return
        if found.st_size > MAX_FILE_BYTES:
            scan.problems.append(too_large(shown, found.st_size))
            return
        # Read until the metadata before and after agree: an editor may be writing the file.
        for _ in range(_TRIES):
            looked = time.time_ns()
            then, data = read_file(real)
            if then is not None:
                break
        else:
            message = "the file kept changing while it was read"
            scan.problems.append(Problem(shown, "file.changing", message, "try again"))
            return
        # It may have grown since its metadata were read.
        if len(data) > MAX_FILE_BYTES:
            scan.problems.append(too_large(shown, len(data)))
            return
        scan.files[shown], scan.fresh[shown] = blob_id(data), data
        if is_settled(then, looked):
            self._known[shown] = signature_of(then)

    def _known_blob(self, shown: str, found: os.stat_result) -> str | None:
        """Return the blob id of a file at the last snapshot, if it has not changed since."""
        if self._last is None or self._known.get(shown) != signature_of(found):
            self._known.pop(shown, None)
            return None
        return self._last.files.get(shown)

    async def changes(self, stop: asyncio.Event, *, poll: float) -> AsyncIterator[str]:
        """Yield a reason when files change, or when the location leads to another folder."""
        reason = WATCHING
        while not stop.is_set():
            root = self._root()
            if root is None:
                reason = "the catalog's folder is there"
                await pause(stop, poll)
                continue
            async for changed in watch([(root, True)], stop, tick=min(poll, 1.0)):
                if self._root() != root:
                    reason = "the catalog's folder was swapped"
                    break
                paths = [path for path in changed if _matters(path, root)]
                self.touch(paths)
                if reason or paths:
                    yield reason or _reason(paths, root)
                    reason = ""

    def _root(self) -> Path | None:
        """Return the real folder behind the location, None while there is none."""
        root = Path(os.path.realpath(self.location))
        return root if root.is_dir() else None


def _prefix(root: Path) -> str:
    """Return where a folder lies in the repository around it, empty outside of one."""
    for above in (root, *root.parents):
        try:
            is_there = (above / ".git").exists()
        except OSError:
            return ""
        if is_there:
            inside = root.relative_to(above).as_posix()
            return "" if inside == "." else inside
    return ""


def _matters(path: str, root: Path) -> bool:
    """Whether an event concerns the catalog.

    `..data` is the symlink that Kubernetes swaps when a mounted ConfigMap changes.
    """
    # Outside of the catalog's folders, a working tree has many files that are written often.
    relative = os.path.relpath(path, root)
    first = relative.split(os.sep, 1)[0]
    return first in ROOTS or first.startswith("..")


def _reason(paths: list[str], root: Path) -> str:
    first = shown_path(os.fsencode(os.path.relpath(min(paths), root)))
    return f"{first} changed" if len(paths) == 1 else f"{first} and {len(paths) - 1} more changed"


def _unreadable(path: str, error: OSError) -> Problem:
    return Problem(
        path, "file.unreadable", f"cannot be read: {error.strerror}", "check its permissions"
    )

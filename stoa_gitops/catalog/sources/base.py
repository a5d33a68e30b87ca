"""`Source`, a place that catalogs are read from, and `Tree`, one immutable state of its files."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from stoa_gitops.errors import CatalogError, CatalogNotFound, UsageError
from stoa_gitops.model.diagnostics import Severity

if TYPE_CHECKING:
    import asyncio

MAX_FILE_BYTES: Final = 20_000_000
"""Largest file of a catalog; a larger one is a finding and is not read.

The largest public OpenAPI documents have some 15 MB. The bound keeps one file from filling the
memory; one for files that are no OpenAPI documents stands in `documents/parse.py`.
"""

MAX_FILES: Final = 200_000
"""Most files under the catalog folders; more are refused.

Twice the 100,000 APIs that benchmarks/validate_many.py reads, so it means a wrong folder.
"""

ROOTS: Final = (
    "catalog.yaml", "catalog.yml", "gateways", "environments", "platform", "tenants",
)  # fmt: skip
"""Files and folders that belong to a catalog at its top; everything else there is ignored."""

WATCHING: Final = "watching has begun"
"""First reason that `changes` yields: events are collected from now on."""

SUFFIXES: Final = (".yaml", ".yml", ".json", ".wsdl")
_FILES: Final = tuple(root for root in ROOTS if root.endswith(SUFFIXES))
_LIKE_FILES: Final = frozenset((*_FILES, "catalog.json", "catalogue.yaml", "catalogue.yml"))


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that could not be read, or a warning about the tree at path `.`; becomes a finding."""

    path: str
    code: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR


class Tree(ABC):
    """The files of a catalog at one moment; never changes.

    revision  text for people: `main@3f2a91c`, or `working tree`
    commit    the full commit, None for a working tree
    prefix    the catalog's folder inside its repository, empty at the top or outside of one;
              paths in findings are relative to the catalog
    files     blob id by path; the same id always means the same bytes
    problems  files that could not be read
    links     where the files behind symbolic links lie, by path; both within the catalog
    """

    revision: str
    commit: str | None = None
    prefix: str = ""
    files: Mapping[str, str]
    problems: tuple[Problem, ...] = ()
    links: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def read_many(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (path, bytes) of files of this tree; raises CatalogError when they are gone."""

    def content_hash(self) -> str:
        """Return eight hex digits that change when a path or the bytes of a file change."""
        # Paths are hashed with their ids, so that a renamed file counts as a change.
        digest = hashlib.sha256()
        for path, blob in sorted(self.files.items()):
            digest.update(f"{path}\0{blob}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:8]

    def read(self, path: str) -> bytes:
        """Return the bytes of one file; raises KeyError for a path that is not in the tree."""
        if path not in self.files:
            raise KeyError(path)
        return next(data for _, data in self.read_many([path]))


@runtime_checkable
class Source(Protocol):
    """A place that a catalog is read from, again and again."""

    def snapshot(self) -> Tree:
        """Return the present state of the catalog; blocking.

        Raises CatalogNotFound, CatalogUnreachable or CatalogError.
        """

    def changes(self, stop: asyncio.Event, *, poll: float) -> AsyncIterator[str]:
        """Yield a short reason whenever something may have changed, until `stop` is set.

        The first reason comes when events are being collected: a snapshot after it misses nothing.
        `poll` is the time in seconds between two checks where no events arrive.
        """


_URL: Final = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
# `user@host:path` is no URL, but Git takes it (gitrevisions: "scp-like syntax"). A host with a dot,
# or a user, tells it from a Windows path and from a folder with a colon.
_SCP: Final = re.compile(r"^(?:[\w.-]+@)?[\w.-]+\.[\w.-]+:(?!\\|/{2}).+|^[\w.-]+@[\w.-]+:.+")


def is_url(location: str) -> bool:
    """Whether a location names a remote repository rather than a folder."""
    return bool(_URL.match(location) or (_SCP.match(location) and not Path(location).exists()))


def open_source(
    location: str,
    *,
    revision: str | None = None,
    cache_dir: Path,
    token_file: Path | None = None,
    ssh_key_file: Path | None = None,
) -> Source:
    """Return the source for a location; nothing is read yet.

    A folder without `revision` is read as it is on disk, with `revision` from the objects of the
    repository it lies in. A URL (https, ssh, file, or user@host:path) is cloned bare under
    `cache_dir`; `#path` after it names the catalog's folder. `token_file` and `ssh_key_file` are
    the credentials of private repositories.

    Raises UsageError for an invalid location, CatalogNotFound for a folder that does not exist.

        source = open_source("https://git.example/apis.git#catalog", cache_dir=Path("cache"))
        tree = source.snapshot()
    """
    if not location.strip():
        raise UsageError("the catalog's location is empty: give a folder or a Git URL")
    if revision is not None and (not revision.strip() or revision.startswith("-")):
        raise UsageError(f"{revision!r} is not a revision: give a branch, a tag or a commit")
    if is_url(location):
        from stoa_gitops.catalog.sources.git.remote import RemoteSource

        return RemoteSource(
            location,
            revision,
            cache_dir=cache_dir,
            token_file=token_file,
            ssh_key_file=ssh_key_file,
        )
    path = Path(location).expanduser()
    if revision is None and not is_bare(path):
        from stoa_gitops.catalog.sources.folder import FolderSource

        return FolderSource(path)
    from stoa_gitops.catalog.sources.git.repository import RepositorySource

    return RepositorySource(path, revision)


def is_bare(path: Path) -> bool:
    """Whether a folder is a bare repository."""
    try:
        return (
            (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()
        )
    except OSError:
        return False


def check_is_catalog(names: Iterable[str], place: str) -> None:
    """Raise CatalogNotFound for a folder without any part of a catalog.

    An empty catalog would mean to delete everything from every gateway.
    """
    if not set(names) & set(ROOTS):
        raise CatalogNotFound(
            f"{place} holds no catalog: neither catalog.yaml nor gateways/, environments/, "
            "platform/ or tenants/; give the folder that holds them with --catalog"
        )


def misnamed_roots(names: Iterable[str]) -> list[Problem]:
    """Return a problem for each name at the top that is nearly that of a part that is not there.

    catalog.yaml is an error, because rights and the name of everything live stand there; a folder
    of that name may be something else.
    """
    found = set(names)
    problems = []
    for name in sorted(found - set(ROOTS)):
        lower = name.lower()
        right = _FILES[0] if lower in _LIKE_FILES else lower
        is_there = not found.isdisjoint(_FILES) if right in _FILES else right in found
        if right in ROOTS and not is_there:
            severity = Severity.ERROR if right in _FILES else Severity.WARNING
            hint = f"did you mean {right}? Rename it"
            problems.append(Problem(name, "document.suffix", f"{name} is not read", hint, severity))
    return problems


def check_count(count: int, place: str) -> None:
    """Raise CatalogError for more files than a catalog may have."""
    if count > MAX_FILES:
        raise CatalogError(
            f"{place} holds more than {MAX_FILES} files under the catalog's folders; "
            "is this the right folder? Split the catalog otherwise"
        )


def is_wanted(name: str) -> bool:
    """Whether a file of that name is listed; hidden files and other suffixes are not.

    One with capitals in its suffix is, to be told to rename it.
    """
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def shown_path(raw: bytes) -> str:
    """Return a path as text that is safe to print: invalid UTF-8 and controls become escapes."""
    text = raw.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def too_large(path: str, size: int) -> Problem:
    """Return the problem of a file over the limit."""
    return Problem(
        path,
        "file.size",
        f"the file has {size} bytes; a catalog's files have {MAX_FILE_BYTES} at most",
        "split it, or move it out of the catalog",
    )

"""The files of a catalog in a folder at one moment."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping

from stoa_gitops.catalog.sources.base import MAX_FILE_BYTES, Problem, Tree
from stoa_gitops.catalog.sources.directory_cache import signature_of
from stoa_gitops.errors import CatalogError


class FolderTree(Tree):
    """The files of a folder at one moment.

    The bytes that were read for it are held until `settle`; after that, and for files that had not
    changed, they are read from the folder again, and must be the same.

    fresh  bytes by path
    real   real path of files behind symbolic links, by path
    """

    def __init__(
        self,
        files: Mapping[str, str],
        fresh: Mapping[str, bytes],
        problems: tuple[Problem, ...],
        prefix: str = "",
        *,
        root: str = "",
        real: Mapping[str, str] | None = None,
    ) -> None:
        self.revision = "working tree"
        self.prefix = prefix
        self.files = files
        self.problems = problems
        self.root = root
        self.real = real or {}
        self.links = {path: there.removeprefix(f"{root}/") for path, there in self.real.items()}
        self._fresh = fresh

    def settle(self) -> None:
        """Release the bytes."""
        self._fresh = {}

    def read_many(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (path, bytes); raises CatalogError when a file changed meanwhile."""
        for path in paths:
            data = self._fresh.get(path)
            yield path, self._read_again(path) if data is None else data

    def _read_again(self, path: str) -> bytes:
        expected = self.files[path]
        try:
            _, data = read_file(self.real.get(path, f"{self.root}/{path}"))
        except OSError:
            data = b""
        # Parsed files are cached by blob id: other bytes under an old id would stay forever.
        if blob_id(data) != expected:
            raise CatalogError(f"{path} changed while the catalog was read; it is read again")
        return data

    def is_same(self, other: FolderTree) -> bool:
        """Whether another tree has the same files and problems."""
        return (
            (self.root, self.prefix, self.problems) == (other.root, other.prefix, other.problems)
            and self.files == other.files
            and self.real == other.real
        )


def blob_id(data: bytes) -> str:
    """Return the id that Git gives to these bytes, so that both sources share parsed files."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def read_file(path: str) -> tuple[os.stat_result | None, bytes]:
    """Return the bytes of a file, and its metadata where it did not change meanwhile.

    Raises OSError.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - runs once per file; Path.open costs more
        before = os.fstat(file.fileno())
        # One byte more than its size, so that growth shows; never a buffer of the largest size.
        data = file.read(min(before.st_size, MAX_FILE_BYTES) + 1)
        after = os.fstat(file.fileno())
    return (before if signature_of(before) == signature_of(after) else None), data

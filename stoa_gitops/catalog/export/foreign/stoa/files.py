"""The files of one of STOA's trees, read within bounds; a broken one is listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from stoa_gitops.catalog.export.foreign.translation import Translation
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.yaml.foreign_text import Text

_MAX_BYTES: Final = 16 << 20
_MOST_FILES: Final = 20_000


class TreeFiles:
    """A folder with STOA's trees in it. Symbolic links that lead out of it are not followed."""

    def __init__(self, folder: Path, translation: Translation) -> None:
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder")
        self._root = folder.resolve()
        self._translation = translation
        names = ("tenants", "webmethods", "stoa-catalog")
        if not any((folder / name).is_dir() for name in names):
            raise UsageError(f"{folder} has none of {', '.join(names)}: name the root of the tree")

    def find(self, pattern: str) -> list[str]:
        """Return the paths of files that match, sorted, relative to the folder."""
        found = []
        for path in sorted(self._root.glob(pattern)):
            if not path.is_file():
                continue
            shown = path.relative_to(self._root).as_posix()
            if not path.resolve().is_relative_to(self._root):
                self._translation.leave_out("file", shown, "", "a link that leads elsewhere")
                continue
            found.append(shown)
            if len(found) > _MOST_FILES:
                raise UsageError(f"{self._root} has more than {_MOST_FILES:,} files of {pattern}")
        return found

    def read(self, path: str) -> Mapping[str, Any]:
        """Return the mapping of a file; an empty one, which is listed, where it has none."""
        try:
            root = Text(self.bytes_of(path), path).root
        except UsageError as error:
            self._translation.leave_out("file", path, "", f"not read: {error}")
            return {}
        if not isinstance(root, dict):
            self._translation.leave_out("file", path, "", "not read: it holds no mapping")
            return {}
        return root

    def documents(self, pattern: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield (path, mapping) of each file that matches and has a mapping."""
        for path in self.find(pattern):
            root = self.read(path)
            if root:
                yield path, root

    def bytes_of(self, path: str) -> bytes:
        """Return the bytes of a file; raises UsageError."""
        file = self._root / path
        try:
            with file.open("rb") as stream:
                data = stream.read(_MAX_BYTES + 1)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from None
        if len(data) > _MAX_BYTES:
            raise UsageError(f"{path} has more than {_MAX_BYTES >> 20} MiB")
        return data

    def has(self, path: str) -> bool:
        """Whether there is such a file in the folder."""
        file = self._root / path
        return file.is_file() and file.resolve().is_relative_to(self._root)

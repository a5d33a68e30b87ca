"""A catalog's tree with proposed files laid over it, and documents as YAML."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Any

from stoa_gitops.catalog.formatting.formatter import format_file
from stoa_gitops.catalog.sources.base import Tree


class TreeWithFiles(Tree):
    """A catalog's tree with files laid over it, so that the reader validates them among others."""

    def __init__(self, base: Tree, files: Mapping[str, bytes]) -> None:
        self._base = base
        self._data = files
        self.revision, self.commit, self.prefix = base.revision, base.commit, base.prefix
        self.problems = base.problems
        # The ids of Git (gitformat-pack), so that a reader knows bytes again that it has read.
        ids = {path: _blob_id(data) for path, data in files.items()}
        self.files = {**base.files, **ids}

    def read_many(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (path, bytes) of files, those laid over the tree after the others."""
        wanted = list(paths)
        yield from self._base.read_many([path for path in wanted if path not in self._data])
        yield from ((path, self._data[path]) for path in wanted if path in self._data)


class TreeWithoutFiles(Tree):
    """A catalog's tree without some of its files."""

    def __init__(self, base: Tree, paths: Iterable[str]) -> None:
        self._base = base
        self.revision, self.commit, self.prefix = base.revision, base.commit, base.prefix
        self.problems = base.problems
        left_out = set(paths)
        self.files = {path: blob for path, blob in base.files.items() if path not in left_out}

    def read_many(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (path, bytes) of files that are left."""
        return self._base.read_many(paths)


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324


def yaml_text(document: Mapping[str, Any]) -> str:
    """Return a document as YAML, as people write it."""
    from ruamel.yaml import YAML

    stream = StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    # Long texts stay on one line: a folded scalar is hard to review in a diff.
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(_quoted(document), stream)
    return stream.getvalue()


# What readers of YAML 1.1 (kubectl, PyYAML) take for a boolean or a number in base 60
# (yaml.org/type/bool.html, int.html), and characters that some take for a line break.
_OTHERWISE = re.compile(
    r"(?i:y|n|yes|no|on|off)|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|(?s:.*[\x80-\x9f].*)"
)


def _quoted(value: Any) -> Any:
    """Return a value in which texts that others would read otherwise are written in quotes."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, Mapping):
        return {name: _quoted(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    if type(value) is str and _OTHERWISE.fullmatch(value):
        return DoubleQuotedScalarString(value)
    return value


def formatted_bytes(document: Mapping[str, Any]) -> bytes:
    """Return a document as YAML in the form of `fmt`."""
    return format_file(yaml_text(document).encode()).data


def escaped(value: Any) -> Any:
    """Return a value in which no text would be read as a variable."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {name: escaped(item) for name, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, list) else value

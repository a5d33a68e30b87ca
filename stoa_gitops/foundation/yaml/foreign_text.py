"""Parses a file of another program, bounded, with the line of each value. It may be anybody's.

JSON is read by the standard library, YAML by the bounded composer of foundation.yaml.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias

from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.json_numbers import finite_or_text
from stoa_gitops.foundation.yaml.composer import Refused, YamlLimits
from stoa_gitops.foundation.yaml.value_composer import ValueComposer

MAX_BYTES: Final = 16 << 20
"""Kong itself takes 10 MiB; ruamel.yaml reads some 200 kB a second."""

MAX_VALUES: Final = 2_000_000
MAX_DEPTH: Final = 64

Path: TypeAlias = "tuple[str | int, ...]"
Lines: TypeAlias = "Mapping[tuple[int, str | int], int]"
"""(identity of a mapping or list, key or index) -> the line, from 1, of the value that stands
there.
"""


class Text:
    """A parsed file: root and line of each value. Raises UsageError for what it cannot be."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        if len(data) > MAX_BYTES:
            raise UsageError(
                f"{name} has {len(data):,} bytes, and {MAX_BYTES:,} are read: split it"
            )
        try:
            self._text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise UsageError(f"{name}:{line}: this is not UTF-8") from None
        self._lines: Lines | None = None
        # JSON is YAML, too, but the standard library reads it in C, YAML is read in Python.
        if self._text.lstrip().startswith("{"):
            self.root = self._from_json()
        else:
            self.root, self._lines = self._from_yaml()

    def fail(self, path: Path, message: str) -> NoReturn:
        """Raise UsageError with `file:line: path: message`."""
        raise UsageError(f"{self.name}:{self._line(path)}: {dotted(path)}: {message}")

    def _line(self, path: Path) -> int:
        root = self.root
        if self._lines is None:
            # JSON tells no lines; where it is no YAML either, the file as a whole has to do.
            try:
                root, self._lines = self._from_yaml()
            except UsageError:
                return 1
            self.root = root
        line = 1
        for part in path:
            line = self._lines.get((id(root), part), line)
            try:
                root = root[part]
            except (KeyError, IndexError, TypeError):
                break
        return line

    def _from_json(self) -> Any:
        def constant(name: str) -> NoReturn:
            raise UsageError(f"{self.name}: {name} is no number of JSON")

        try:
            root = json.loads(self._text, parse_constant=constant, parse_float=finite_or_text)
        except json.JSONDecodeError as error:
            raise UsageError(f"{self.name}:{error.lineno}: {error.msg}") from None
        except (RecursionError, ValueError):
            raise UsageError(f"{self.name}: nested too deep, or a number too long") from None
        _check_size(root, self.name)
        return root

    def _from_yaml(self) -> tuple[Any, Lines]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        yaml = YAML(typ="safe", pure=True)
        composer = ValueComposer(yaml.resolver, YamlLimits(MAX_DEPTH, MAX_VALUES))
        try:
            for event in yaml.parse(self._text):
                composer.take(event)
        except Refused as error:
            # The hints are for people who write documents of a catalog.
            is_size = error.code == "yaml.size"
            message = (
                f"more than {MAX_VALUES:,} values: split the file" if is_size else error.message
            )
            raise UsageError(f"{self.name}:{error.line + 1}: {message}") from None
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = " ".join(str(error.problem or error.context).split())
            raise UsageError(f"{self.name}:{mark.line + 1 if mark else 1}: {message}") from None
        except (YAMLError, ValueError, IndexError, AssertionError, AttributeError) as error:
            # ruamel.yaml lets a few of its own slip through on broken input; the input is at fault.
            raise UsageError(f"{self.name}: this is not YAML ({type(error).__name__})") from None
        return composer.root, composer.lines


def dotted(path: Path) -> str:
    """Write a path as `services[2].paths`."""
    message = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return message.lstrip(".") or "the file"


def weight(value: Any) -> int:
    """Return how much a value counts against MAX_VALUES: each one 1, a long text more."""
    total, todo = 0, [value]
    while todo:
        one = todo.pop()
        total += 1 + (len(one) // 32 if isinstance(one, str) else 0)
        todo.extend(_children(one))
    return total


def _check_size(root: Any, name: str) -> None:
    """Bound what JSON gave: depth and number of values."""
    count, level = 0, [root]
    for _ in range(MAX_DEPTH + 1):
        count += len(level)
        if count > MAX_VALUES:
            raise UsageError(f"{name} has more than {MAX_VALUES:,} values: split it")
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise UsageError(f"{name}: nested deeper than {MAX_DEPTH} levels")


def _children(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()

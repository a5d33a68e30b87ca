"""The text of a declarative file as values, bounded, with the line of each for messages. It may come from anybody.

JSON is read by the standard library, YAML 1.2 from the events of ruamel.yaml, so that nothing recurses into it, aliases
are counted each time they are used, and tags are refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias

from stoa_gitops.errors import UsageError

MAX_BYTES: Final = 16 << 20
"""Kong itself takes 10 MiB; YAML is read at some 200 kB a second."""

MAX_VALUES: Final = 2_000_000
MAX_DEPTH: Final = 64

Path: TypeAlias = "tuple[str | int, ...]"
Lines: TypeAlias = "Mapping[tuple[int, str | int], int]"
"""(identity of a mapping or list, key or index) -> the line, from 1, of the value that stands there."""


class Text:
    """A file that was read: its root, and where a place in it stands. Raises UsageError for what it cannot be."""

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
        if self._text.lstrip().startswith("{"):
            self.root = self._from_json()
        else:
            self.root, self._lines = self._from_yaml()

    def fail(self, path: Path, message: str) -> NoReturn:
        """Raise UsageError with `file:line: place: words`."""
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
            root = json.loads(self._text, parse_constant=constant)
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
        composer = _Composer(self.name, yaml.resolver)
        try:
            for event in yaml.parse(self._text):
                composer.take(event)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = " ".join(str(error.problem or error.context).split())
            raise UsageError(f"{self.name}:{mark.line + 1 if mark else 1}: {message}") from None
        except (YAMLError, ValueError, IndexError, AssertionError, AttributeError) as error:
            # ruamel.yaml lets a few of its own slip through on broken input; the input is at fault.
            raise UsageError(f"{self.name}: this is not YAML ({type(error).__name__})") from None
        return composer.root, composer.lines


def dotted(path: Path) -> str:
    """Write a place as `services[2].paths`."""
    message = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return message.lstrip(".") or "the file"


def weight(value: Any) -> int:
    """Return how much a value counts: each one 1, and a long text more."""
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


class _Composer:
    """Makes values out of events, and notes where they stand."""

    def __init__(self, name: str, resolver: Any) -> None:
        self.root: Any = None
        self.lines: dict[tuple[int, str | int], int] = {}
        self._name = name
        self._resolver = resolver
        self._stack: list[tuple[Any, str, int]] = []
        self._keys: list[Any] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._merged: set[tuple[int, str]] = set()
        self._starts: list[int] = []
        self._count = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        """Take the next event; raises UsageError."""
        kind = type(event).__name__
        if kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                self._fail(event, "a second document starts here: one file holds one")
        elif kind == "ScalarEvent":
            self._refuse_tag(event)
            value = self._scalar(event)
            size = weight(value)
            self._anchor(event.anchor, value, size)
            self._place(event, value, size)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._refuse_tag(event)
            value = {} if kind == "MappingStartEvent" else []
            if len(self._stack) >= MAX_DEPTH:
                self._fail(event, f"nested deeper than {MAX_DEPTH} levels")
            self._starts.append(event.start_mark.line + 1)
            self._stack.append((value, event.anchor or "", self._count))
            self._keys.append(_NO_KEY)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            value, anchor, before = self._stack.pop()
            self._keys.pop()
            self._anchor(anchor, value, self._count - before + 1)
            self._place(event, value, 1, self._starts.pop())
        elif kind == "AliasEvent":
            if event.anchor not in self._anchors:
                self._fail(event, f"*{event.anchor} stands for nothing")
            value, size = self._anchors[event.anchor]
            self._place(event, value, size)

    def _anchor(self, anchor: str | None, value: Any, size: int) -> None:
        if anchor:
            self._anchors[anchor] = value, size

    def _place(self, event: Any, value: Any, size: int, line: int = 0) -> None:
        self._count += size
        if self._count > MAX_VALUES:
            self._fail(event, f"more than {MAX_VALUES:,} values: split the file")
        if not self._stack:
            self.root = value
            return
        holder = self._stack[-1][0]
        if isinstance(holder, list):
            self.lines[id(holder), len(holder)] = line or event.start_mark.line + 1
            holder.append(value)
        elif self._keys[-1] is _NO_KEY:
            if isinstance(value, (dict, list)):
                self._fail(event, "a key is a text")
            self._keys[-1] = value if isinstance(value, str) else event.value
        else:
            self.lines[id(holder), self._keys[-1]] = line or event.start_mark.line + 1
            self._pair(event, holder, self._keys[-1], value)
            self._keys[-1] = _NO_KEY

    def _pair(self, event: Any, holder: dict[str, Any], key: str, value: Any) -> None:
        if key == "<<":
            for one in value if isinstance(value, list) else [value]:
                if not isinstance(one, dict):
                    self._fail(event, "`<<` takes mappings")
                fresh = {name: item for name, item in one.items() if name not in holder}
                holder.update(fresh)
                self._merged.update((id(holder), name) for name in fresh)
            return
        if key in holder and (id(holder), key) not in self._merged:
            self._fail(event, f"the key {key[:80]} stands here twice")
        self._merged.discard((id(holder), key))
        holder[key] = value

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if not event.implicit[0]:
            return text
        from ruamel.yaml.nodes import ScalarNode

        tag = str(self._resolver.resolve(ScalarNode, text, (True, False)))
        if tag.endswith(":null"):
            return None
        if tag.endswith(":bool"):
            return text.lower() == "true"
        try:
            if tag.endswith(":int"):
                return int(text.replace("_", ""), 0 if text.lstrip("+-")[1:2].isalpha() else 10)
            if tag.endswith(":float"):
                number = float(text.replace("_", ""))
                return number if math.isfinite(number) else text
        except ValueError:
            return text
        return text

    def _refuse_tag(self, event: Any) -> None:
        tag = event.tag
        if tag is not None and not (tag == "!" or str(tag).startswith("tag:yaml.org,2002:str")):
            self._fail(event, "tags are not read here")

    def _fail(self, event: Any, message: str) -> NoReturn:
        raise UsageError(f"{self._name}:{event.start_mark.line + 1}: {message}")


_NO_KEY: Final = object()

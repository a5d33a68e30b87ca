"""Composes YAML events of ruamel.yaml into bounded trees.

Of nodes with positions, or of plain values.

One composer serves documents of the catalog (`NodeComposer`: every value knows its position) and
large files of vendors (`ValueComposer`: dicts and lists, with the line of each value). Both bound
the depth while it is read and the number of values with aliases counted each time they are used,
so that a small file cannot mean a large one; both refuse tags, merge `<<` and report a key that is
written twice.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from stoa_gitops.foundation.yaml.nodes import Node
from stoa_gitops.model.canonical import Json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class YamlLimits:
    """Bounds of one document.

    max_depth   deepest nesting
    max_values  most values, aliases counted each time they are used
    """

    max_depth: int = 128
    max_values: int = 100_000


CATALOG_LIMITS: Final = YamlLimits()
"""A document of the catalog is written by people; OpenAPI documents of 20,000 lines fit."""


class Refused(Exception):
    """A document that is no YAML we read; line and column from 0."""

    def __init__(self, code: str, message: str, line: int, column: int, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line
        self.column = column
        self.hint = hint


@dataclass(slots=True)
class _Frame(Generic[T]):
    """One container that is still open.

    key     the key that waits for its value
    merged  names that came from `<<`: a key written in the mapping itself replaces them
    size    values below and including the container
    """

    container: T
    kind: str
    anchor: str
    line: int
    column: int
    key: Any = None
    merged: set[str] = field(default_factory=set)
    size: int = 1


class Composer(ABC, Generic[T]):
    """Builds one document from events; what a value is, the subclass decides.

    Works on events instead of ruamel.yaml's own composer, which recurses into a document and
    expands aliases without a bound.
    """

    def __init__(self, resolver: Any, limits: YamlLimits) -> None:
        self.root: T | None = None
        self._resolver = resolver
        self._limits = limits
        self._stack: list[_Frame[T]] = []
        self._anchors: dict[str, tuple[T, int]] = {}
        self._open: set[str] = set()

    def take(self, event: Any) -> None:
        """Take the next event; raises Refused."""
        # By name: a chain of isinstance over ruamel's event classes would need them imported, and
        # ruamel.yaml is imported only where the fast parser gave up.
        kind = type(event).__name__
        if kind == "ScalarEvent":
            self._refuse_tag(event)
            value = self._scalar(event)
            size = self._scalar_size(value)
            if event.anchor:
                self._anchors[event.anchor] = value, size
            self._add(value, size, event.start_mark)
        elif kind == "MappingStartEvent":
            self._start(event, "map")
        elif kind == "SequenceStartEvent":
            self._start(event, "seq")
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._end()
        elif kind == "AliasEvent":
            self._alias(event)
        elif kind == "DocumentStartEvent":
            self._start_document(event)

    def _start_document(self, event: Any) -> None:
        mark = event.start_mark
        if self.root is not None:
            raise Refused(
                "yaml.syntax",
                "another document starts here without `---`",
                mark.line,
                mark.column,
                "start each document with a line `---`",
            )

    def _start(self, event: Any, kind: str) -> None:
        self._refuse_tag(event)
        mark, anchor = event.start_mark, event.anchor or ""
        if len(self._stack) >= self._limits.max_depth:
            raise Refused(
                "yaml.depth",
                f"nested deeper than {self._limits.max_depth} levels",
                mark.line,
                mark.column,
                "no document of the catalog needs that",
            )
        container = self._new_container(kind, mark)
        if anchor:
            self._open.add(anchor)
        self._stack.append(_Frame(container, kind, anchor, mark.line, mark.column))

    def _end(self) -> None:
        frame = self._stack.pop()
        if frame.key is not None:
            raise Refused("yaml.syntax", "a key has no value", frame.line, frame.column)
        if frame.anchor:
            # Only now: an alias of a container inside itself would be a tree without an end.
            self._open.discard(frame.anchor)
            self._anchors[frame.anchor] = frame.container, frame.size
        self._close_container(frame)
        self._add(frame.container, frame.size, frame)

    def _alias(self, event: Any) -> None:
        mark = event.start_mark
        if event.anchor in self._open:
            raise Refused(
                "yaml.alias", f"*{event.anchor} stands inside itself", mark.line, mark.column
            )
        if event.anchor not in self._anchors:
            raise Refused(
                "yaml.alias",
                f"*{event.anchor} stands for nothing",
                mark.line,
                mark.column,
                f"no &{event.anchor} comes before it",
            )
        value, size = self._anchors[event.anchor]
        self._add(value, size, mark)

    def _add(self, value: T, size: int, mark: Any) -> None:
        """Put a value into the container that is open; `mark` has the line and column it is at."""
        if not self._stack:
            self.root = value
            return
        frame = self._stack[-1]
        if frame.kind == "seq":
            self._append(frame, value, mark)
        elif frame.key is None:
            frame.key = self._as_key(value, mark)
            return
        else:
            key, frame.key = frame.key, None
            self._pair(frame, key, value, mark)
        frame.size += size
        if frame.size > self._limits.max_values:
            raise Refused(
                "yaml.size",
                f"more than {self._limits.max_values} values, aliases counted",
                mark.line,
                mark.column,
                "write the document without so many aliases",
            )

    def _refuse_tag(self, event: Any) -> None:
        tag = event.tag
        # ruamel.yaml has a Tag object whose text is "None" where nothing is written.
        if tag is not None and str(tag) != "None":
            mark = event.start_mark
            raise Refused(
                "yaml.tag",
                f"the tag {_shown_tag(str(tag))} is not read",
                mark.line,
                mark.column,
                "remove the tag; put text that looks like a number in quotes",
            )

    def _refuse_twice(self, name: str, first: int, line: int, column: int) -> None:
        """Refuse a key that is written twice; lines count from 0."""
        raise Refused(
            "yaml.duplicate-key",
            f"{name} is written twice in one mapping; first in line {first + 1}",
            line,
            column,
            "keep one of the two",
        )

    def _tag_of(self, text: str) -> str:
        """Return the tag that YAML 1.2 gives to a plain scalar."""
        from ruamel.yaml.nodes import ScalarNode

        return str(self._resolver.resolve(ScalarNode, text, (True, False)))

    @abstractmethod
    def _scalar(self, event: Any) -> T: ...

    @abstractmethod
    def _scalar_size(self, value: T) -> int: ...

    @abstractmethod
    def _new_container(self, kind: str, mark: Any) -> T: ...

    @abstractmethod
    def _close_container(self, frame: _Frame[T]) -> None: ...

    @abstractmethod
    def _append(self, frame: _Frame[T], value: T, mark: Any) -> None: ...

    @abstractmethod
    def _as_key(self, value: T, mark: Any) -> Any: ...

    @abstractmethod
    def _pair(self, frame: _Frame[T], key: Any, value: T, mark: Any) -> None: ...


class NodeComposer(Composer[Node]):
    """Composes a tree of nodes; strict, for documents that people write.

    With `any_key`, keys that are no text are taken as they are spelled.
    """

    def __init__(self, resolver: Any, *, any_key: bool) -> None:
        super().__init__(resolver, CATALOG_LIMITS)
        self._any_key = any_key

    def _start_document(self, event: Any) -> None:
        super()._start_document(event)
        mark = event.start_mark
        version = getattr(event, "version", None)
        if version is not None and tuple(version) != (1, 2):
            raise Refused(
                "yaml.directive",
                "documents are YAML 1.2",
                mark.line,
                mark.column,
                "remove the %YAML line",
            )
        if getattr(event, "tags", None):
            raise Refused("yaml.tag", "tags are not used here", mark.line, mark.column)

    def _scalar(self, event: Any) -> Node:
        mark, end = event.start_mark, event.end_mark
        width = end.column - mark.column if end.line == mark.line else 1
        node = Node("scalar", mark.line, mark.column, width, text=event.value)
        # `implicit[0]`: neither quoted nor a block scalar, so its type is resolved from its text.
        node.is_plain = bool(event.implicit[0])
        node.value = self._value(node) if node.is_plain else _whole_text(node)
        return node

    def _value(self, node: Node) -> Json:
        tag, plain = self._tag_of(node.text), node.text
        if tag.endswith(":null"):
            return None
        if tag.endswith(":bool"):
            return plain.lower() == "true"
        if tag.endswith((":int", ":float")):
            return _number(node, tag)
        # Times, `=` and `<<` are text in YAML 1.2; only a key `<<` merges, see _pair.
        return _whole_text(node)

    def _scalar_size(self, value: Node) -> int:
        return 1

    def _new_container(self, kind: str, mark: Any) -> Node:
        return Node(kind, mark.line, mark.column)

    def _close_container(self, frame: _Frame[Node]) -> None:
        frame.container.size = frame.size

    def _append(self, frame: _Frame[Node], value: Node, mark: Any) -> None:
        frame.container.items.append(value)

    def _as_key(self, value: Node, mark: Any) -> Node:
        if self._any_key and value.kind == "scalar":
            return replace(value, value=value.text)
        if value.kind != "scalar" or not isinstance(value.value, str):
            shown = value.text if value.kind == "scalar" else "a mapping or a list"
            raise Refused(
                "yaml.key",
                f"the key {shown or 'that is empty'} is not text",
                mark.line,
                mark.column,
                f'write "{value.text}" in quotes' if value.kind == "scalar" and value.text else "",
            )
        return value

    def _pair(self, frame: _Frame[Node], key: Node, value: Node, mark: Any) -> None:
        name, pairs = str(key.value), frame.container.pairs
        if name == "<<" and key.is_plain:
            self._merge(frame, key, value)
            return
        known = pairs.get(name)
        if known is not None and name not in frame.merged:
            self._refuse_twice(name, known[0].line, key.line, key.column)
        pairs[name] = (key, value)
        # Written here now: a second time would be a duplicate again.
        frame.merged.discard(name)

    def _merge(self, frame: _Frame[Node], key: Node, value: Node) -> None:
        for source in value.items if value.kind == "seq" else [value]:
            if source.kind != "map":
                raise Refused(
                    "yaml.merge",
                    "<< takes a mapping or a list of mappings",
                    key.line,
                    key.column,
                )
            for name, pair in source.pairs.items():
                if name not in frame.container.pairs:
                    frame.container.pairs[name] = pair
                    frame.merged.add(name)


class ValueComposer(Composer[Any]):
    """Composes dicts, lists and scalars; lenient, for files that a vendor's tools write.

    `!` and `!!str` are read, directives are ignored, and a number that JSON has not is a text, as
    is a key of any type. A long text counts more than one value. `lines` has the line, from 1, of
    each value by the identity of its container and its key or index.
    """

    def __init__(self, resolver: Any, limits: YamlLimits) -> None:
        super().__init__(resolver, limits)
        self.lines: dict[tuple[int, str | int], int] = {}
        # A key that is no text is written as it is spelled: `200:` is the key "200".
        self._last_scalar: tuple[Any, str] = (None, "")

    def _start_document(self, event: Any) -> None:
        if self.root is not None:
            mark = event.start_mark
            message = "a second document starts here: one file holds one"
            raise Refused("yaml.syntax", message, mark.line, mark.column)

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        value = self._value(text) if event.implicit[0] else text
        self._last_scalar = value, text
        return value

    def _value(self, text: str) -> Any:
        tag = self._tag_of(text)
        if tag.endswith(":null"):
            return None
        if tag.endswith(":bool"):
            return text.lower() == "true"
        try:
            if tag.endswith(":int"):
                return _int(text.replace("_", ""))
            if tag.endswith(":float"):
                number = _float(text.replace("_", ""))
                return number if math.isfinite(number) else text
        except (ValueError, OverflowError):
            return text
        return text

    def _scalar_size(self, value: Any) -> int:
        return 1 + (len(value) // 32 if isinstance(value, str) else 0)

    def _refuse_tag(self, event: Any) -> None:
        tag = event.tag
        if tag is not None and (tag == "!" or str(tag).startswith("tag:yaml.org,2002:str")):
            return
        super()._refuse_tag(event)

    def _new_container(self, kind: str, mark: Any) -> Any:
        return {} if kind == "map" else []

    def _close_container(self, frame: _Frame[Any]) -> None:
        pass

    def _append(self, frame: _Frame[Any], value: Any, mark: Any) -> None:
        self.lines[id(frame.container), len(frame.container)] = mark.line + 1
        frame.container.append(value)

    def _as_key(self, value: Any, mark: Any) -> str:
        if isinstance(value, (dict, list)):
            raise Refused(
                "yaml.key", "the key a mapping or a list is not text", mark.line, mark.column
            )
        if isinstance(value, str):
            return value
        last, text = self._last_scalar
        return text if last is value else str(value)

    def _pair(self, frame: _Frame[Any], key: str, value: Any, mark: Any) -> None:
        if key == "<<":
            self._merge(frame, value, mark)
            return
        mapping, at = frame.container, (id(frame.container), key)
        if key in mapping and key not in frame.merged:
            self._refuse_twice(key[:80], self.lines[at] - 1, mark.line, mark.column)
        self.lines[at] = mark.line + 1
        mapping[key] = value
        frame.merged.discard(key)

    def _merge(self, frame: _Frame[Any], value: Any, mark: Any) -> None:
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                message = "<< takes a mapping or a list of mappings"
                raise Refused("yaml.merge", message, mark.line, mark.column)
            for name, item in source.items():
                if name not in frame.container:
                    frame.container[name] = item
                    frame.merged.add(name)


def _whole_text(node: Node) -> str:
    """Join surrogate pairs that escapes wrote; half a pair is no character."""
    text = node.text
    if not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise Refused(
            "yaml.encoding", "half a surrogate pair is no character", node.line, node.column
        ) from None


def _number(node: Node, tag: str) -> Json:
    plain = node.text.replace("_", "")
    try:
        value: int | float = _int(plain) if tag.endswith(":int") else _float(plain)
    except (ValueError, OverflowError):
        raise Refused(
            "yaml.number",
            f"{node.text[:40]} is no number we can hold",
            node.line,
            node.column,
            "put text in quotes",
        ) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused(
            "yaml.number",
            f"{node.text[:40]} is not a number that JSON has",
            node.line,
            node.column,
            "put text in quotes",
        )
    return value


def _int(plain: str) -> int:
    # YAML 1.2 core schema (§10.3.2): 0o and 0x; a leading zero is decimal.
    body = plain.lstrip("+-").lower()
    base = {"0o": 8, "0x": 16, "0b": 2}.get(body[:2], 10)
    value = int(body[2:] if base != 10 else body, base)
    return -value if plain.startswith("-") else value


def _float(plain: str) -> float:
    return float(plain.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _shown_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")[:60]

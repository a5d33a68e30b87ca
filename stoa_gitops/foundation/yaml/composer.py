"""The bounded composer of YAML events, from which the composers of nodes and of values derive.

`NodeComposer` serves documents of the catalog (every value knows its position), `ValueComposer`
large files of vendors (dicts and lists, with the line of each value). Both bound the depth while it
is read and the number of values with aliases counted each time they are used, so that a small file
cannot mean a large one; both refuse tags, merge `<<` and report a key that is written twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

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
class Frame(Generic[T]):
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
        self._stack: list[Frame[T]] = []
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
        self._stack.append(Frame(container, kind, anchor, mark.line, mark.column))

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
    def _close_container(self, frame: Frame[T]) -> None: ...

    @abstractmethod
    def _append(self, frame: Frame[T], value: T, mark: Any) -> None: ...

    @abstractmethod
    def _as_key(self, value: T, mark: Any) -> Any: ...

    @abstractmethod
    def _pair(self, frame: Frame[T], key: Any, value: T, mark: Any) -> None: ...


MAX_DIGITS: Final = 1_000
"""Most digits of an integer: three times as many as the largest float has.

Python refuses to write integers of more than 4,300 digits, and to read them takes time by the
square of their length.
"""

MAX_BITS: Final = 3_321
"""Most bits of an integer: those of 1,000 decimal digits."""


def parse_int(plain: str) -> int:
    """Return an integer of YAML 1.2, in base 8, 10 or 16; raises ValueError.

    One of more than MAX_DIGITS digits is refused, too.
    """
    if len(plain) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(plain)} characters")
    # YAML 1.2 core schema (§10.3.2): 0o and 0x; a leading zero is decimal.
    body = plain.lstrip("+-").lower()
    base = {"0o": 8, "0x": 16, "0b": 2}.get(body[:2], 10)
    value = int(body[2:] if base != 10 else body, base)
    return -value if plain.startswith("-") else value


def parse_float(plain: str) -> float:
    """Return a float of YAML 1.2, `.inf` and `.nan` included; raises ValueError."""
    return float(plain.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _shown_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")[:60]

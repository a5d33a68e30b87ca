"""Places of values in documents that are too large for the full parser, by their text alone.

The fast parser tells no places. It accepts block mappings and sequences, scalars, and flow
collections on one line or as JSON, in which lines, indents and brackets say where each value is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from stoa_gitops.foundation.yaml.nodes import Position

_BUDGET: Final = 20_000_000
"""Characters that are searched in one file: 20 values of a document of 1 MB, in a second."""

_CONTENT: Final = re.compile(r"[ ]*+(?=[^\s#])")
_AFTER_KEY: Final = re.compile(r"[ ]*:(?:[ ]+|$)")
_AFTER_DASH: Final = re.compile(r"-(?:[ ]+|$)")
_DOUBLE: Final = r'"(?:[^"\\]|\\.)*+"'
_SINGLE: Final = r"'(?:[^']|'')*+'"
_SCALAR: Final = re.compile(rf"{_DOUBLE}|{_SINGLE}|(?:(?![ ]+#)[^\n])++")
_KEY: Final = re.compile(rf"{_DOUBLE}|{_SINGLE}|(?:(?![ ]*:(?:[ ]|$))[^\n])++")
_PLAIN: Final = r"[^\s\[\]{},:\"'](?:[^\n\[\]{},:]|:(?=[^\s\[\]{},]))*+"
_TOKEN: Final = re.compile(rf"{_DOUBLE}|{_SINGLE}|[\[\]{{}},:]|{_PLAIN}")
"""A scalar or a sign of a flow collection; a colon within a word belongs to the word."""


@dataclass(frozen=True, slots=True)
class _Value:
    """A value that begins at a line and column (from 0), before the line `end`."""

    line: int
    column: int
    end: int


@dataclass(frozen=True, slots=True)
class _Found:
    """The place of a key or of an item, and its value where one is written."""

    line: int
    column: int
    value: _Value | None


class SearchBudget:
    """How much text of a file may still be searched."""

    def __init__(self) -> None:
        self._left = _BUDGET

    def take(self, text: str) -> bool:
        """Take one search of a text off; False where too little is left."""
        self._left -= len(text)
        return self._left >= 0


class TextPlaces:
    """One document, whose first line is `start` (from 0) of its file."""

    def __init__(self, start: int, text: str, budget: SearchBudget) -> None:
        self._start = start
        self._text = text
        self._budget = budget
        self._lines = [line.removesuffix("\r") for line in text.split("\n")]
        # Of blank lines, comments and markers -1: they belong to nothing.
        self._indents = [_indent(line) for line in self._lines]

    def find(self, pointer: Sequence[str | int], *, at_key: bool = False) -> Position:
        """Return the place of a value, or of its key, as `find_position` does."""
        value = self._root()
        if value is None or not self._budget.take(self._text):
            return Position(self._start + 1, 1)
        position = self._position(value.line, value.column)
        for number, part in enumerate(pointer, start=1):
            if self._lines[value.line][value.column : value.column + 1] in ("{", "["):
                return self._find_in_flow(value, position, pointer[number - 1 :], at_key=at_key)
            found = self._child(value, part)
            if found is None:
                return position
            is_wanted = number < len(pointer) or at_key or found.value is None
            if isinstance(part, str) and is_wanted:
                position = self._position(found.line, found.column, key=True)
            elif found.value is not None:
                position = self._position(found.value.line, found.value.column)
            if found.value is None:
                return position
            value = found.value
        return position

    def _root(self) -> _Value | None:
        for number, indent in enumerate(self._indents):
            if indent >= 0:
                return _Value(number, indent, len(self._lines))
        return None

    def _position(self, line: int, column: int, *, key: bool = False) -> Position:
        text = self._lines[line]
        scalar = _KEY.match(text, column) if key else _SCALAR.match(text, column)
        width = len(scalar[0].rstrip()) if scalar is not None else 1
        return Position(self._start + line + 1, column + 1, max(width, 1))

    def _child(self, value: _Value, part: str | int) -> _Found | None:
        if isinstance(part, int):
            return self._item(value, part)
        spellings = _spellings(part)
        for line in self._at_column(value):
            text = self._lines[line]
            for spelling in spellings:
                if text.startswith(spelling, value.column):
                    after = _AFTER_KEY.match(text, value.column + len(spelling))
                    if after is not None:
                        inner = self._value_behind(line, after.end(), value.column, value.end)
                        return _Found(line, value.column, inner)
        return None

    def _item(self, value: _Value, index: int) -> _Found | None:
        for line in self._at_column(value):
            dash = _AFTER_DASH.match(self._lines[line], value.column)
            if dash is None:
                return None
            if index == 0:
                inner = self._value_behind(line, dash.end(), value.column, value.end, dash=True)
                return _Found(line, value.column, inner)
            index -= 1
        return None

    def _at_column(self, value: _Value) -> Iterator[int]:
        """Yield the lines at which the keys or items of a value begin."""
        yield value.line
        for line in range(value.line + 1, value.end):
            if self._indents[line] == value.column:
                yield line

    def _value_behind(
        self, line: int, column: int, outer: int, end: int, *, dash: bool = False
    ) -> _Value | None:
        """Return the value behind a key or a dash at the column `outer`."""
        following = (number for number in range(line + 1, end) if self._indents[number] >= 0)
        first = next(following, end)
        # The items of a mapping's value may stand at the column of its key.
        is_level = (
            not dash
            and first < end
            and self._indents[first] == outer
            and _AFTER_DASH.match(self._lines[first], outer) is not None
        )
        stop = self._end_of(line + 1, outer, end, is_level=is_level)
        if column < len(self._lines[line]) and self._lines[line][column] != "#":
            return _Value(line, column, stop)
        if first < stop:
            return _Value(first, self._indents[first], stop)
        return None

    def _end_of(self, line: int, outer: int, end: int, *, is_level: bool) -> int:
        """Return the first line from `line` on that is not part of a value below `outer`."""
        for number in range(line, end):
            indent = self._indents[number]
            if 0 <= indent < outer or (
                indent == outer and not (is_level and _AFTER_DASH.match(self._lines[number], outer))
            ):
                return number
        return end

    def _find_in_flow(
        self, value: _Value, position: Position, pointer: Sequence[str | int], *, at_key: bool
    ) -> Position:
        start = 0
        for _ in range(value.line):
            start = self._text.index("\n", start) + 1
        start += value.column
        for number, part in enumerate(pointer, start=1):
            found = _flow_child(self._text, start, part)
            if found is None:
                return position
            key, start = found
            is_wanted = number < len(pointer) or at_key
            position = self._position_at(key if is_wanted and isinstance(part, str) else start)
        return position

    def _position_at(self, offset: int) -> Position:
        token = _TOKEN.match(self._text, offset)
        before = self._text.rfind("\n", 0, offset) + 1
        line = self._text.count("\n", 0, offset)
        width = len(token[0].rstrip()) if token is not None else 1
        return Position(self._start + line + 1, offset - before + 1, width)


def _indent(line: str) -> int:
    found = _CONTENT.match(line)
    if found is None or line.startswith(("---", "...", "%")):
        return -1
    return found.end()


def _spellings(key: str) -> tuple[str, ...]:
    """Return how a key may be written: as it is, and in quotes."""
    single = "'" + key.replace("'", "''") + "'"
    quoted = {single, json.dumps(key), json.dumps(key, ensure_ascii=False)}
    # What begins with a quote is written in others: `'0'` as it is would be the key `0`.
    return tuple(quoted if key.startswith(("'", '"')) else {key, *quoted})


def _flow_child(text: str, start: int, part: str | int) -> tuple[int, int] | None:
    """Return where key and value of a part of the flow collection at `start` begin.

    Of an item both are the same.
    """
    depth, index = 0, 0
    key = key_end = -1
    spellings = _spellings(part) if isinstance(part, str) else ()
    is_found = False
    for token in _TOKEN.finditer(text, start):
        sign, at = token[0], token.start()
        if is_found:
            return key, at
        if depth == 1 and key < 0 and sign not in ("]", "}", ","):
            key = at
            if not spellings and index == part:
                return at, at
        if sign in ("{", "["):
            depth += 1
        elif sign in ("}", "]"):
            depth -= 1
            if depth == 0:
                return None
        elif depth == 1 and sign == ",":
            key, index = -1, index + 1
        elif depth == 1 and sign == ":" and spellings:
            is_found = text[key:key_end].rstrip() in spellings
        key_end = token.end()
    return None

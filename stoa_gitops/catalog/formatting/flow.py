"""Reads a flow collection on one line, `{a: [1, 2]}`, into nodes."""

from __future__ import annotations

import re
from typing import Final

from stoa_gitops.catalog.formatting.nodes import Entry, Mapping, Scalar, Sequence, Value

_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\'')
# Plain text within brackets (YAML 1.2.2 §7.3.3): no comma or bracket, a colon only before text.
_PLAIN: Final = re.compile(
    r"(?:[^\s,\[\]{}:#&*!|>'\"%@`?-]|[-?:](?=[^\s,\[\]{}]))(?:[^,\[\]{}:#]|:(?=[^\s,\[\]{}])|(?<=\S)#)*"
)
# A bracket; a quote that begins a text; a comment: both stand at the beginning of a line, or behind
# a blank, and a quote behind a bracket, a comma or a colon, too.
_MARK: Final = re.compile(r"[\[\]{}]|(?:^|(?<=[ \t,\[{:]))[\"']|(?:^|(?<=[ \t]))#")
_IN_DOUBLE: Final = re.compile(r'(?:[^"\\]|\\.|\\$)*+')
_IN_SINGLE: Final = re.compile(r"(?:[^']|'')*+")
_BLANK: Final = re.compile(r"[ \t]*")
_DEEPEST: Final = 100
"""Brackets within brackets: a document has 128 levels at most, and a call takes one."""


class _Unknown(Exception):
    """Something that this reader does not know."""


def read_flow(text: str) -> Value | None:
    """Return the nodes of a text that is a flow collection from its first to its last character."""
    try:
        value, end = _value(text, 0, 0)
    except (_Unknown, IndexError):
        return None
    return value if end == len(text) else None


class FlowScanner:
    """Finds where a flow collection ends, line by line: quotes and comments close nothing.

    `find_end` takes the lines in turn, the first from the bracket on, and returns the place behind
    the last bracket; -1 in the lines before.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._quote = ""

    def find_end(self, line: str) -> int:
        """Return where the collection ends in this line, -1 where it goes on."""
        position = 0
        while position < len(line):
            if self._quote:
                position = closing_quote(line, position, self._quote)
                if position < 0:
                    return -1
                self._quote = ""
                continue
            found = _MARK.search(line, position)
            if found is None:
                return -1
            mark, position = found[0], found.end()
            if mark == "#":
                return -1  # a comment, to the end of the line
            if mark in "\"'":
                self._quote = mark
                continue
            self._depth += 1 if mark in "[{" else -1
            if self._depth == 0:
                return position
        return -1


def closing_quote(line: str, position: int, quote: str) -> int:
    """Return the place behind the quote that closes a text; -1 where the line does not close it."""
    found = (_IN_DOUBLE if quote == '"' else _IN_SINGLE).match(line, position)
    end = found.end() if found else position
    return end + 1 if line[end : end + 1] == quote else -1


def _skip(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    return found.end() if found else position


def _value(text: str, position: int, depth: int) -> tuple[Value, int]:
    if depth > _DEEPEST:
        raise _Unknown
    match text[position]:
        case "{":
            return _mapping(text, position + 1, depth)
        case "[":
            return _sequence(text, position + 1, depth)
        case _:
            return _scalar(text, position)


def _scalar(text: str, position: int) -> tuple[Scalar, int]:
    found = _QUOTED.match(text, position) or _PLAIN.match(text, position)
    if found is None:
        raise _Unknown
    word = found[0]
    stripped = word if word[0] in "\"'" else word.rstrip()
    return Scalar(stripped), position + len(stripped)


def _mapping(text: str, position: int, depth: int) -> tuple[Mapping, int]:
    entries: list[Entry] = []
    position = _skip(text, position)
    while text[position] != "}":
        key, position = _scalar(text, position)
        position = _skip(text, position)
        if text[position] != ":":
            raise _Unknown  # `{a, b}`: keys without values
        position = _skip(text, position + 1)
        if text[position] in ",}":
            raise _Unknown  # `{a: }`: an empty value
        value, position = _value(text, position, depth + 1)
        entries.append(Entry(key.text, value))
        position = _after(text, position, "}")
    return Mapping(entries, is_flow=True), position + 1


def _sequence(text: str, position: int, depth: int) -> tuple[Sequence, int]:
    entries: list[Entry] = []
    position = _skip(text, position)
    while text[position] != "]":
        value, position = _value(text, position, depth + 1)
        entries.append(Entry("", value))
        # `[a: b]` is a mapping without brackets, which ends at no comma here.
        position = _after(text, position, "]")
    return Sequence(entries, is_flow=True), position + 1


def _after(text: str, position: int, closing: str) -> int:
    """Return the position of the next entry, or of the closing bracket."""
    position = _skip(text, position)
    if text[position] == ",":
        return _skip(text, position + 1)
    if text[position] != closing:
        raise _Unknown
    return position

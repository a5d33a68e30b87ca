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


def flow_end(text: str) -> int:
    """Return where the flow collection at the start of a text ends; -1 where it is not closed.

    Quotes and comments are skipped: a bracket in them closes nothing.
    """
    depth = position = 0
    while position < len(text):
        character = text[position]
        if character in "\"'" and (position == 0 or text[position - 1] in " \t,[{:\n"):
            quoted = _QUOTED.match(text, position)
            if quoted is None:
                return -1
            position = quoted.end()
            continue
        if character == "#" and text[position - 1] in " \t\n":
            line_end = text.find("\n", position)
            position = len(text) if line_end < 0 else line_end
            continue
        depth += (character in "[{") - (character in "]}")
        position += 1
        if depth == 0:
            return position
    return -1


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

"""What a document is made of for whoever formats it: text as written, with its comments."""

from __future__ import annotations

from dataclasses import dataclass, field


class Unsupported(Exception):
    """The text has something that is not formatted; `str()` says what, for a person."""


@dataclass(slots=True)
class Scalar:
    """A value that is written as it stands.

    text   its first line; a quoted, plain, or flow text, or the header of a block scalar
    rest   the lines below; of a block scalar without its indentation, and of a flow collection
           with the indentation that it has beyond its key
    is_raw the lines below keep their own indentation: a flow collection over several lines
    """

    text: str
    rest: list[str] = field(default_factory=list)
    is_raw: bool = False


@dataclass(slots=True)
class Entry:
    """One entry of a mapping or, without a key, of a list.

    before   lines above it: comments, and "" for an empty line
    comment  at the end of its first line
    anchor   `&name` before its value
    """

    key: str
    value: Value
    before: list[str] = field(default_factory=list)
    comment: str = ""
    anchor: str = ""


@dataclass(slots=True)
class Mapping:
    """Entries with keys; `tail` are the comments below the last one."""

    entries: list[Entry]
    tail: list[str] = field(default_factory=list)
    is_flow: bool = False


@dataclass(slots=True)
class Sequence:
    """Entries without keys; `tail` are the comments below the last one."""

    entries: list[Entry]
    tail: list[str] = field(default_factory=list)
    is_flow: bool = False


Value = Scalar | Mapping | Sequence


@dataclass(slots=True)
class Document:
    """One document of a file.

    marker  the line `---` above it, with its comment; empty where there is none
    header  comments above the first key, which stay on top
    root    None for a document that holds comments alone
    """

    marker: str
    header: list[str]
    root: Value | None
    has_anchors: bool


def simple_key(key: str) -> str:
    """Return the name that a key spells, without quotes; escapes stay as they are."""
    return key[1:-1] if key[:1] in {'"', "'"} else key

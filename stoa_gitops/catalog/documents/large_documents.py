"""Explains documents that are too large for the full parser, in time that grows with their size."""

from __future__ import annotations

import re
from typing import Final

from stoa_gitops.catalog.documents.yaml_bounds import (
    MAX_DOCUMENT_BYTES,
    MAX_EXPANDED,
    expanded_size,
)
from stoa_gitops.catalog.documents.yaml_fast import has_fast_parser, refusal_text
from stoa_gitops.catalog.documents.yaml_full import hint_for, tab
from stoa_gitops.catalog.documents.yaml_prescan import has_many_digits, is_deep, is_nested
from stoa_gitops.foundation.yaml.composer import CATALOG_LIMITS, Refused

_PLACE: Final = re.compile(r"line (\d+), column (\d+)")
_TWICE: Final = re.compile(r"duplicate mapping key: (['\"])(.*)\1$", re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")
_LONGEST: Final = 80
_FLAT: Final = "no document of the catalog needs that"

_SPECIAL: Final = (
    ("a tab", re.compile(rb"\t")),
    ("an anchor, an alias or a tag", re.compile(rb"(?<![^\s\[\]{},:?-])[&*!][^\s\[\]{},]")),
    ("a merge by `<<`", re.compile(rb"<<[ ]*:")),
    ("brackets over several lines", re.compile(rb"[\[{][^\]}\n]*+\n")),
    ("a line `---` or `...` with more on it", re.compile(rb"^(?:---|\.\.\.)", re.MULTILINE)),
)
"""What only the full parser reads, with the words for it."""


def explain_large(data: bytes) -> Refused:
    """Return why a document cannot be read that is too large for the full parser; lines from 0."""
    if len(data) > MAX_DOCUMENT_BYTES:
        return too_large(len(data))
    return _depth(data) or _syntax(data) or _number(data) or _special(data)


def explain_large_openapi(data: bytes) -> Refused:
    """The same for an OpenAPI document, whose values are only validated."""
    found = _depth(data)
    if found is None and expanded_size(data) > MAX_EXPANDED:
        text = f"its aliases stand for more than {MAX_EXPANDED} bytes"
        found = Refused("yaml.size", text, 0, 0, "write the document without so many aliases")
    return found or _syntax(data) or _special(data)


def too_large(size: int) -> Refused:
    """Return the refusal of a document over the limit."""
    text = f"the document has {size} bytes; one has {MAX_DOCUMENT_BYTES} at most"
    return Refused("yaml.size", text, 0, 0, "split it, or move it out of the catalog")


def _depth(data: bytes) -> Refused | None:
    if not (is_deep(data) and is_nested(data)):
        return None
    return Refused("yaml.depth", "nested deeper than 128 levels", 0, 0, _FLAT)


def _syntax(data: bytes) -> Refused | None:
    """Return what the fast parser refuses."""
    text = refusal_text(data)
    if not text:
        return None
    place = _PLACE.search(text)
    line, column = (int(place[1]) - 1, int(place[2]) - 1) if place else (0, 0)
    problem = text.splitlines()[-1].strip()
    twice = _TWICE.match(text)
    if twice:
        name = twice[2][:_LONGEST]
        line, column = _second(data, twice[2])
        text = f"{name} is written twice in one mapping"
        return Refused("yaml.duplicate-key", text, line, column, "keep one of the two")
    if "recursion limit" in problem or "stack depth" in problem:
        line, column = _deep_bracket(data) or (line, column)
        return Refused("yaml.depth", "nested deeper than 128 levels", line, column, _FLAT)
    if "replay limit" in problem:
        hint = "write the document without so many aliases"
        return Refused("yaml.size", "its aliases stand for too many values", line, column, hint)
    if "unknown anchor" in problem:
        return Refused("yaml.alias", "an alias stands for nothing", line, column)
    at = _offset(data, line, column)
    if b"\t" in data[at - 1 : at + 1]:
        return tab(line, column - (data[at - 1 : at] == b"\t"))
    return Refused("yaml.syntax", problem[:200], line, column, hint_for(problem))


def _deep_bracket(data: bytes) -> tuple[int, int] | None:
    """Return the place of the first bracket at the depth that the full parser refuses, too."""
    depth = 1  # the mapping that a document is
    for found in _BRACKET.finditer(data):
        depth += 1 if found[0] in b"[{" else -1
        if depth > CATALOG_LIMITS.max_depth:
            return _place(data, found.start())
    return None


def _second(data: bytes, name: str) -> tuple[int, int]:
    """Return the place of a key that is written twice, as far as lines and indents tell."""
    key = re.compile(
        rb"^((?:[ ]|- )*)[\"']?" + re.escape(name.encode()) + rb"[\"']?[ ]*:", re.MULTILINE
    )
    before: re.Match[bytes] | None = None
    for found in key.finditer(data):
        indent = len(found[1])
        if before is not None and len(before[1]) == indent and b"-" not in found[1]:
            outer = re.compile(rb"^ {0,%d}[^ \n#]" % (indent - 1), re.MULTILINE) if indent else None
            if outer is None or outer.search(data, before.end(), found.start()) is None:
                return data.count(b"\n", 0, found.start()), indent
        before = found
    return 0, 0


def _number(data: bytes) -> Refused | None:
    if not has_many_digits(data):
        return None
    found = re.search(rb"[0-9]{99}", data)
    place = _place(data, found.start()) if found else (0, 0)
    return Refused("yaml.number", "a number that we cannot hold", *place, "put text in quotes")


def _special(data: bytes) -> Refused:
    """Return the refusal of what only the full parser would read."""
    matches = ((words, pattern.search(data)) for words, pattern in _SPECIAL)
    words, found = next((item for item in matches if item[1]), ("what else is in it", None))
    line, column = _place(data, found.start()) if found else (0, 0)
    hint = f"write it without {words}, or split it"
    if not has_fast_parser():
        hint = "install yaml-rs, which reads large documents"
    text = f"{words} in a document of {len(data)} bytes, which is too large for that"
    return Refused("yaml.size", text, line, column, hint)


def _offset(data: bytes, line: int, column: int) -> int:
    start = 0
    for _ in range(line):
        start = data.find(b"\n", start) + 1
    end = data.find(b"\n", start)
    text = data[start : end if end >= 0 else len(data)].decode("utf-8", "replace")
    return start + len(text[:column].encode())


def _place(data: bytes, at: int) -> tuple[int, int]:
    start = data.rfind(b"\n", 0, at) + 1
    return data.count(b"\n", 0, at), len(data[start:at].decode("utf-8", "replace"))

"""Parses the lines of one document into nodes that keep comments and the spelling of values.

The text is known to be YAML: a parser has read it. So the rules here only find where things end.
"""

from __future__ import annotations

import re
from typing import Final

from stoa_gitops.catalog.formatting.flow import FlowScanner, closing_quote, read_flow
from stoa_gitops.catalog.formatting.nodes import (
    Document,
    Entry,
    Mapping,
    Scalar,
    Sequence,
    Unsupported,
    Value,
)

_KEY: Final = re.compile(
    r"""(?P<key>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'"""
    r"""|(?:[^\s#&*!|>'"%@`{}\[\],?:-]|[-?:](?=\S))"""
    r"""(?:[^\s:#]|:(?=\S)|(?<=\S)#|[ \t]++(?!#|:(?:[ \t]|$)|$))*+)"""
    r"""[ \t]*+:(?=[ \t]|$)"""
)
"""A key and its colon; a plain one as in YAML 1.2.2 §7.3.3.

Possessive: a line of blanks, or of a megabyte, takes time by its length and not by its square.
"""

_BLOCK: Final = re.compile(r"([|>](?:[+-]?[1-9]?|[1-9][+-]))[ \t]*(#.*)?$")
_COMMENT: Final = re.compile(r"[ \t]#")
_ANCHOR: Final = re.compile(r"(&[^\s,\[\]{}]+)(?:[ \t]+|$)")
_INDENT: Final = re.compile(r"[ ]*")
_NO_ENTRY: Final = ("", " ", "\t", "#")
_DEEPEST: Final = 100
"""Levels of blocks: a document has 128 at most, and a call takes one."""


def parse_document(marker: str, lines: list[str]) -> Document:
    """Return the nodes of one document, without the line of its marker; raises Unsupported."""
    return _Parser(lines).document(marker)


class _Parser:
    """Reads lines from the first to the last, once."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0
        self._has_anchors = False

    def document(self, marker: str) -> Document:
        header = [text for _, text in self._trivia()]
        root = self._block(0, 0) if self._at < len(self._lines) else None
        below = [text for _, text in self._trivia()]
        if self._at < len(self._lines):
            raise Unsupported("text below the document")
        if isinstance(root, Mapping | Sequence):
            root.tail += below
        elif any(below):
            raise Unsupported("comments below a single value")
        return Document(marker, header, root, self._has_anchors)

    def _indent(self) -> int:
        """Return the indentation of the line that comes; -1 at the end."""
        if self._at >= len(self._lines):
            return -1
        found = _INDENT.match(self._lines[self._at])
        return found.end() if found else 0

    def _trivia(self) -> list[tuple[int, str]]:
        """Take comments and empty lines; each with its indentation."""
        found = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            text = line.strip(" \t")
            if text and text[0] != "#":
                break
            found.append((len(line) - len(line.lstrip(" \t")), text))
            self._at += 1
        return found

    def _block(self, least: int, depth: int) -> Value:
        """Read the block that begins at the line that comes, indented by `least` at least."""
        indent = self._indent()
        if indent < least or depth > _DEEPEST:
            raise Unsupported("nesting")
        text = self._lines[self._at][indent:]
        if _is_item(text):
            return self._sequence(indent, depth)
        if _KEY.match(text):
            return self._mapping(indent, depth)
        entry = Entry("", Scalar(""))
        self._at += 1
        self._value(entry, text.rstrip(" \t"), indent - 1, depth)
        if entry.comment or entry.anchor:
            raise Unsupported("a comment or an anchor at a value on a line of its own")
        return entry.value

    def _mapping(self, indent: int, depth: int) -> Mapping:
        node = Mapping([])
        before: list[str] = []
        while True:
            text = self._lines[self._at][indent:]
            found = _KEY.match(text)
            if found is None:
                raise Unsupported("a key of several lines, or an odd one")
            entry = Entry(found["key"], Scalar(""), before)
            node.entries.append(entry)
            self._at += 1
            self._value(entry, text[found.end() :].strip(" \t"), indent, depth)
            more = self._next(indent, node.tail)
            if more is None:
                return node
            before = more

    def _sequence(self, indent: int, depth: int) -> Sequence:
        node = Sequence([])
        before: list[str] = []
        while True:
            text = self._lines[self._at][indent:]
            if not _is_item(text):
                if node.entries and _KEY.match(text):
                    # The list of a key at the same indentation: the next key ends it.
                    self._at -= len(before)
                    return node
                raise Unsupported("something between the entries of a list")
            entry = Entry("", Scalar(""), before)
            node.entries.append(entry)
            self._item(entry, text, indent, depth)
            more = self._next(indent, node.tail)
            if more is None:
                return node
            before = more

    def _item(self, entry: Entry, text: str, indent: int, depth: int) -> None:
        content = text[1:].lstrip(" \t")
        if "\t" in text[: len(text) - len(content)]:
            raise Unsupported("a tab behind a dash")
        column = indent + len(text) - len(content)
        if content and (_is_item(content) or _KEY.match(content)):
            # A block that begins behind the dash: its first line is read as if it stood alone.
            self._lines[self._at] = " " * column + content
            entry.value = self._block(column, depth + 1)
            return
        self._at += 1
        self._value(entry, content.rstrip(" \t"), indent, depth, is_item=True)

    def _next(self, indent: int, tail: list[str]) -> list[str] | None:
        """Take what stands above the next entry of a block; None at its end.

        Comments that are indented as the block, or deeper, and after which it ends, are its `tail`.
        """
        start = self._at
        if start < len(self._lines):
            line = self._lines[start]
            if line[:indent].strip(" ") == "" and line[indent : indent + 1] not in _NO_ENTRY:
                return []  # nearly all lines
        trivia = self._trivia()
        following = self._indent()
        if following == indent:
            return [text for _, text in trivia]
        if following > indent:
            raise Unsupported("indentation")
        last = 0
        for number, (column, text) in enumerate(trivia, 1):
            if text and column < indent:
                break
            if text:
                last = number
        tail += [text for _, text in trivia[:last]]
        self._at = start + last
        return None

    def _value(
        self, entry: Entry, text: str, indent: int, depth: int, *, is_item: bool = False
    ) -> None:
        """Read what stands behind a key or a dash, and the lines that belong to it."""
        anchor = _ANCHOR.match(text)
        if anchor:
            self._has_anchors = True
            entry.anchor, text = anchor[1], text[anchor.end() :]
        first = text[:1]
        if first in {"", "#"}:
            entry.comment = text
            self._nested(entry, indent, depth, is_item=is_item)
        elif first in "|>":
            self._block_scalar(entry, text, indent)
        elif first in "\"'":
            self._quoted(entry, text)
        elif first in "[{":
            self._flow(entry, text, indent)
        elif first in "!%@`&" or text[:2] == "? ":
            raise Unsupported("a tag, a second anchor, or a key over several lines")
        else:
            self._plain(entry, text, indent)

    def _nested(self, entry: Entry, indent: int, depth: int, *, is_item: bool) -> None:
        start = self._at
        trivia = [text for _, text in self._trivia()]
        following = self._indent()
        is_beside = not is_item and following == indent >= 0
        is_list = is_beside and _is_item(self._lines[self._at][indent:])
        if following <= indent and not is_list:
            self._at = start  # an empty value
            return
        value = self._block(following, depth + 1)
        if isinstance(value, Scalar):
            if any(trivia) or entry.comment:
                raise Unsupported("a comment above a value on a line of its own")
        elif trivia:
            value.entries[0].before[:0] = trivia
        entry.value = value

    def _block_scalar(self, entry: Entry, text: str, indent: int) -> None:
        header = _BLOCK.match(text)
        if header is None:
            raise Unsupported("an odd header of a block scalar")
        entry.comment = header[2] or ""
        begin = self._at
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.strip(" ") and _width(line) <= indent:
                break
            self._at += 1
        body = self._lines[begin : self._at]
        digit = re.search("[1-9]", header[1])
        widths = [_width(line) for line in body if line.strip(" ")]
        inner = max(indent, 0) + int(digit[0]) if digit else next(iter(widths), 0)
        # Lines of blanks above the first text that are wider make YAML refuse it.
        if any(width < inner for width in widths):
            raise Unsupported("a comment below a block scalar that is indented")
        if "+" not in header[1]:
            # Empty lines at the end are no part of the value.
            while body and not body[-1].strip(" "):
                body.pop()
                self._at -= 1
        entry.value = Scalar(header[1], [line[inner:] for line in body])

    def _quoted(self, entry: Entry, text: str) -> None:
        """Read a quoted text; blanks at the beginning of its further lines are folded away."""
        quote, line = text[0], text
        end = closing_quote(text, 1, quote)
        parts: list[str] = []
        while end < 0:
            if self._at >= len(self._lines):
                raise Unsupported("a quote that is not closed")
            if not parts and line.endswith("\\"):
                raise Unsupported("an escaped line end")
            parts.append(line)
            line = self._lines[self._at].lstrip(" \t")
            self._at += 1
            end = closing_quote(line, 0, quote)
        parts.append(line[:end])
        entry.comment = self._only_comment(line[end:])
        entry.value = Scalar(parts[0], parts[1:])

    def _flow(self, entry: Entry, text: str, indent: int) -> None:
        scanner = FlowScanner()
        end = scanner.find_end(text)
        if end >= 0:
            entry.comment = self._only_comment(text[end:])
            entry.value = read_flow(text[:end]) or Scalar(text[:end])
            return
        base = max(indent, 0)
        rest: list[str] = []
        while end < 0:
            if self._at >= len(self._lines):
                raise Unsupported("a bracket that is not closed")
            line = self._lines[self._at].rstrip(" \t")
            self._at += 1
            end = scanner.find_end(line)
            ended, below = (line[:end], line[end:]) if end >= 0 else (line, "")
            rest.append(ended[min(_width(ended), base) :])
        entry.comment = self._only_comment(below)
        entry.value = Scalar(text, rest, is_raw=True)

    def _plain(self, entry: Entry, text: str, indent: int) -> None:
        comment = _COMMENT.search(text)
        if comment:
            cut = comment.start()
            entry.comment = text[cut:].strip(" \t")
            entry.value = Scalar(text[:cut].rstrip(" \t"))
            return
        rest: list[str] = []
        start_at = self._at
        while self._at < len(self._lines):
            line = self._lines[self._at]
            stripped = line.strip(" \t")
            if stripped and (_width(line) <= indent or stripped[0] == "#"):
                break
            rest.append(stripped)
            self._at += 1
        while rest and not rest[-1]:
            rest.pop()
            self._at -= 1
        if any(_COMMENT.search(line) for line in rest):
            raise Unsupported("a comment within a text of several lines")
        if not rest:
            self._at = start_at
        entry.value = Scalar(text, rest)

    def _only_comment(self, rest: str) -> str:
        rest = rest.strip(" \t")
        if rest and (rest[0] != "#" or "\n" in rest):
            raise Unsupported("text behind a value")
        return rest


def _is_item(text: str) -> bool:
    return text[:1] == "-" and (len(text) == 1 or text[1] in " \t")


def _width(line: str) -> int:
    return len(line) - len(line.lstrip(" "))

"""Writes nodes as text: two blanks for each level, keys in order, double quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence as Entries
from typing import Final

from stoa_gitops.catalog.formatting.nodes import (
    Document,
    Entry,
    Mapping,
    Scalar,
    Sequence,
    Value,
    simple_key,
)
from stoa_gitops.catalog.formatting.shapes import UNKNOWN, Shape, shape_of_config, shape_of_kind

_STEP: Final = "  "
_NO_SHAPE: Final = Shape()
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""Keys that keep their quotes: some reader takes them for something else than text."""


def write_document(document: Document, *, is_first: bool, with_order: bool) -> list[str]:
    """Return the lines of a document; without `with_order` keys stay where they are.

    Raises Unsupported for what cannot be written at another indentation.
    """
    lines = [document.marker] if document.marker else []
    header = _collapsed(document.header)
    while header and not header[0] and (is_first or document.marker):
        header.pop(0)
    root = document.root
    if root is None:
        while header and not header[-1]:
            header.pop()
        return [*lines, *header]
    lines += header
    writer = _Writer(lines, with_order=with_order and not document.has_anchors)
    if isinstance(root, Mapping) and not root.is_flow:
        writer.mapping(root, "", _shape_of(root))
    elif isinstance(root, Sequence) and not root.is_flow:
        writer.sequence(root, "", _NO_SHAPE)
    else:
        shape = _shape_of(root) if isinstance(root, Mapping) else _NO_SHAPE
        text, rest = writer.inline(root, shape, "")
        lines += [text, *rest]
        if isinstance(root, Mapping | Sequence):
            writer.comments(root.tail, "")
    return lines


def _shape_of(root: Mapping) -> Shape:
    kind = next((e.value for e in root.entries if simple_key(e.key) == "kind"), None)
    return shape_of_kind(simple_key(kind.text)) if isinstance(kind, Scalar) else UNKNOWN


class _Writer:
    def __init__(self, lines: list[str], *, with_order: bool) -> None:
        self._lines = lines
        self._with_order = with_order

    def mapping(self, node: Mapping, indent: str, shape: Shape, lead: str = "") -> None:
        """Write a mapping; `lead` stands before its first key: the dash of a list's entry."""
        for number, entry in enumerate(self._ordered(node, shape)):
            inner = _child(shape, node, entry)
            self._entry(
                entry,
                f"{_key(entry.key)}:",
                indent,
                inner,
                lead if not number else "",
                is_first=not number,
            )
        self.comments(node.tail, indent)

    def sequence(self, node: Sequence, indent: str, shape: Shape, lead: str = "") -> None:
        """Write a list; `shape` is that of its entries."""
        for number, entry in enumerate(node.entries):
            first = lead if not number else ""
            value = entry.value
            is_block = isinstance(value, Mapping | Sequence) and not value.is_flow
            if is_block and not entry.comment and not entry.anchor:
                # A comment above the first key goes above the dash, which shares its line.
                # Behind another dash all of them were written above that one.
                if not first:
                    above = [*entry.before, *self._lines_of_first(value, shape)]
                    self._above(above, indent, is_first=not number)
                dash = f"{first or indent}- "
                if isinstance(value, Mapping):
                    self.mapping(value, indent + _STEP, shape, dash)
                elif isinstance(value, Sequence):
                    self.sequence(value, indent + _STEP, _NO_SHAPE, dash)
                continue
            self._entry(entry, "-", indent, shape, first, is_first=not number)
        self.comments(node.tail, indent)

    def _lines_of_first(self, value: Value, shape: Shape) -> Entries[str]:
        """Return the comments above what stands on the first line of a block, at all its levels."""
        if isinstance(value, Scalar) or value.is_flow:
            return ()
        if isinstance(value, Mapping):
            return list(filter(None, self._ordered(value, shape)[0].before))
        first = value.entries[0]
        own = list(filter(None, first.before))
        if first.comment or first.anchor:
            return own
        return [*own, *self._lines_of_first(first.value, _NO_SHAPE)]

    def _above(self, before: Entries[str], indent: str, *, is_first: bool) -> None:
        texts = _collapsed(before)
        while is_first and texts and not texts[0]:
            texts.pop(0)
        self._lines += [f"{indent}{text}" if text else "" for text in texts]

    def _entry(
        self, entry: Entry, head: str, indent: str, shape: Shape, lead: str, *, is_first: bool
    ) -> None:
        # Behind a dash they were written above it.
        if not lead:
            self._above(entry.before, indent, is_first=is_first)
        start = f"{lead or indent}{head}"
        if entry.anchor:
            start += f" {entry.anchor}"
        comment = f"  {entry.comment}" if entry.comment else ""
        value = entry.value
        if isinstance(value, Mapping | Sequence) and not value.is_flow:
            self._lines.append(start + comment)
            if isinstance(value, Mapping):
                self.mapping(value, indent + _STEP, shape)
            else:
                self.sequence(value, indent + _STEP, shape)
            return
        text, rest = self.inline(value, shape, indent)
        # The comment stands where the value ends: of a block scalar at its header.
        is_block = text[:1] in {"|", ">"} and not isinstance(value, Mapping | Sequence)
        first = f"{start} {text}" if text else start
        if rest and not is_block:
            self._lines += [first, *rest[:-1], rest[-1] + comment]
        else:
            self._lines += [first + comment, *rest]

    def comments(self, tail: Entries[str], indent: str) -> None:
        """Write the comments below a block."""
        self._lines += [f"{indent}{text}" if text else "" for text in _collapsed(tail)]
        while self._lines and not self._lines[-1] and not indent:
            self._lines.pop()

    def inline(self, value: Value, shape: Shape, indent: str) -> tuple[str, list[str]]:
        """Return the text of a value behind its key, and the lines below."""
        if isinstance(value, Scalar):
            if value.is_raw:
                return value.text, [f"{indent}{line}" if line else "" for line in value.rest]
            if value.text[:1] in {"|", ">"}:
                return self._block(value, indent)
            inner = indent + _STEP
            text = value.text if value.rest else _quoted(value.text)
            return text, [f"{inner}{line}" if line else "" for line in value.rest]
        return self._flow(value, shape), []

    def _block(self, value: Scalar, indent: str) -> tuple[str, list[str]]:
        # An indicator counts from the key, whose indentation changes: two is what is written.
        header = re.sub("[1-9]", "2", value.text)
        inner = indent + _STEP
        return header, [f"{inner}{line}" if line else "" for line in value.rest]

    def _flow(self, value: Value, shape: Shape) -> str:
        if isinstance(value, Scalar):
            return _quoted(value.text)
        if isinstance(value, Sequence):
            return f"[{', '.join(self._flow(entry.value, shape) for entry in value.entries)}]"
        parts = (
            f"{_key(entry.key)}: {self._flow(entry.value, _child(shape, value, entry))}"
            for entry in self._ordered(value, shape)
        )
        return f"{{{', '.join(parts)}}}"

    def _ordered(self, node: Mapping, shape: Shape) -> Entries[Entry]:
        if not self._with_order or not shape.rank:
            return node.entries
        # Stable: unknown fields come last, in the order in which they are written.
        last = len(shape.rank)
        return sorted(node.entries, key=lambda entry: shape.rank.get(simple_key(entry.key), last))


def _child(shape: Shape, node: Mapping, entry: Entry) -> Shape:
    name = simple_key(entry.key)
    if name == "config" and shape.config_by:
        kind = next((e.value for e in node.entries if simple_key(e.key) == shape.config_by), None)
        found = shape_of_config(simple_key(kind.text)) if isinstance(kind, Scalar) else None
        return found or _NO_SHAPE
    return shape.children.get(name) or shape.children.get("*") or _NO_SHAPE


def _key(key: str) -> str:
    """Return a key without quotes where it needs none."""
    name = simple_key(key)
    if name != key and _PLAIN_KEY.fullmatch(name) and name.lower() not in _WORDS:
        return name
    return _quoted(key)


def _quoted(text: str) -> str:
    """Return a text in double quotes for one in single ones, where it reads the same in both."""
    if text[:1] == "'" and len(text) > 1 and not re.search(r"[\"\\]", text):
        return '"' + text[1:-1].replace("''", "'") + '"'
    return text


def _collapsed(lines: Entries[str]) -> list[str]:
    """Return lines with one empty line in the place of several."""
    return [
        t
        for number, t in enumerate(lines)
        if t or (number > 0 and lines[number - 1]) or number == 0
    ]

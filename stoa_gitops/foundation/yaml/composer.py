"""From the events of ruamel.yaml to a tree with places, and what is refused on the way."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

from stoa_gitops.foundation.yaml.nodes import Node
from stoa_gitops.model.canonical import Json

MAX_DEPTH: Final = 128
"""Deepest nesting of a document."""

MAX_VALUES: Final = 100_000
"""Most values of a document, aliases counted each time they are used."""


class Refused(Exception):
    """A document that is no YAML we read; line and column from 0."""

    def __init__(self, code: str, message: str, line: int, column: int, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line
        self.column = column
        self.hint = hint


class TreeBuilder:
    """Builds the tree of one document from events."""

    def __init__(self, resolver: Any, *, any_key: bool) -> None:
        self.root: Node | None = None
        self._any_key = any_key
        self._resolver = resolver
        self._stack: list[Node] = []
        self._keys: list[Node | None] = []
        self._names: list[str] = []
        self._anchors: dict[str, Node] = {}
        self._open: set[str] = set()

    def take(self, event: Any) -> None:
        """Take the next event; raises Refused."""
        kind = type(event).__name__
        if kind == "ScalarEvent":
            self._scalar(event)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._start(event, "map" if kind == "MappingStartEvent" else "seq")
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._end()
        elif kind == "AliasEvent":
            self._alias(event)
        elif kind == "DocumentStartEvent":
            self._document(event)

    def _document(self, event: Any) -> None:
        mark = event.start_mark
        if self.root is not None:
            raise Refused(
                "yaml.syntax",
                "another document starts here without `---`",
                mark.line,
                mark.column,
                "start each document with a line `---`",
            )
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

    def _scalar(self, event: Any) -> None:
        self._refuse_tag(event)
        mark, end = event.start_mark, event.end_mark
        width = end.column - mark.column if end.line == mark.line else 1
        node = Node("scalar", mark.line, mark.column, width, text=event.value)
        node.is_plain = bool(event.implicit[0])
        node.value = self._value(node) if node.is_plain else _whole_text(node)
        self._anchor(event, node, done=True)
        self._place(node)

    def _value(self, node: Node) -> Json:
        from ruamel.yaml.nodes import ScalarNode

        tag = str(self._resolver.resolve(ScalarNode, node.text, (True, False)))
        plain = node.text
        if tag.endswith(":null"):
            return None
        if tag.endswith(":bool"):
            return plain.lower() == "true"
        if tag.endswith((":int", ":float")):
            return _number(node, tag)
        # Times, `=` and `<<` are text in YAML 1.2; only a key `<<` merges, see _pair.
        return _whole_text(node)

    def _start(self, event: Any, kind: str) -> None:
        self._refuse_tag(event)
        mark = event.start_mark
        if len(self._stack) >= MAX_DEPTH:
            raise Refused(
                "yaml.depth",
                f"nested deeper than {MAX_DEPTH} levels",
                mark.line,
                mark.column,
                "no document of the catalog needs that",
            )
        node = Node(kind, mark.line, mark.column)
        self._anchor(event, node, done=False)
        self._stack.append(node)
        self._keys.append(None)
        self._names.append(event.anchor or "")

    def _end(self) -> None:
        node = self._stack.pop()
        if self._keys.pop() is not None:
            raise Refused("yaml.syntax", "a key has no value", node.line, node.column)
        self._open.discard(self._names.pop())
        self._place(node)

    def _alias(self, event: Any) -> None:
        mark = event.start_mark
        if event.anchor in self._open:
            raise Refused(
                "yaml.alias", f"*{event.anchor} stands inside itself", mark.line, mark.column
            )
        node = self._anchors.get(event.anchor)
        if node is None:
            raise Refused(
                "yaml.alias",
                f"*{event.anchor} stands for nothing",
                mark.line,
                mark.column,
                f"no &{event.anchor} comes before it",
            )
        self._place(node, mark)

    def _anchor(self, event: Any, node: Node, *, done: bool) -> None:
        if event.anchor:
            self._anchors[event.anchor] = node
            if not done:
                self._open.add(event.anchor)

    def _refuse_tag(self, event: Any) -> None:
        tag = event.tag
        if tag is not None and str(tag) != "None":
            mark = event.start_mark
            raise Refused(
                "yaml.tag",
                f"the tag {_shown_tag(str(tag))} is not read",
                mark.line,
                mark.column,
                "remove the tag; put text that looks like a number in quotes",
            )

    def _place(self, node: Node, mark: Any = None) -> None:
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        if parent.kind == "seq":
            parent.items.append(node)
        elif self._keys[-1] is None:
            self._keys[-1] = _key(node, mark, any_key=self._any_key)
            return
        else:
            key = self._keys[-1]
            self._keys[-1] = None
            _pair(parent, key, node)
        parent.size += node.size
        if parent.size > MAX_VALUES:
            line, column = (mark.line, mark.column) if mark else (node.line, node.column)
            raise Refused(
                "yaml.size",
                f"more than {MAX_VALUES} values, aliases counted",
                line,
                column,
                "write the document without so many aliases",
            )


def _key(node: Node, mark: Any, *, any_key: bool) -> Node:
    line, column = (mark.line, mark.column) if mark else (node.line, node.column)
    if any_key and node.kind == "scalar":
        return replace(node, value=node.text)
    if node.kind != "scalar" or not isinstance(node.value, str):
        shown = node.text if node.kind == "scalar" else "a mapping or a list"
        raise Refused(
            "yaml.key",
            f"the key {shown or 'that is empty'} is not text",
            line,
            column,
            f'write "{node.text}" in quotes' if node.kind == "scalar" and node.text else "",
        )
    return node


def _pair(parent: Node, key: Node, node: Node) -> None:
    name = str(key.value)
    if name == "<<" and key.is_plain:
        _merge(parent, key, node)
        return
    known = parent.pairs.get(name)
    if known is not None and known[0].line >= 0 and not _is_merged(parent, name):
        raise Refused(
            "yaml.duplicate-key",
            f"{name} is written twice in one mapping; first in line {known[0].line + 1}",
            key.line,
            key.column,
            "keep one of the two",
        )
    parent.pairs[name] = (key, node)
    parent.items[:] = [item for item in parent.items if item.text != name]


def _is_merged(parent: Node, name: str) -> bool:
    """A map keeps the names that came from a merge key in `items`, where nothing else of it stands."""
    return any(item.text == name for item in parent.items)


def _merge(parent: Node, key: Node, node: Node) -> None:
    sources = node.items if node.kind == "seq" else [node]
    for source in sources:
        if source.kind != "map":
            raise Refused(
                "yaml.merge",
                "<< takes a mapping or a list of mappings",
                key.line,
                key.column,
            )
        for name, pair in source.pairs.items():
            if name not in parent.pairs:
                parent.pairs[name] = pair
                parent.items.append(Node("scalar", key.line, key.column, text=name))


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
    body = plain.lstrip("+-").lower()
    base = {"0o": 8, "0x": 16, "0b": 2}.get(body[:2], 10)
    value = int(body[2:] if base != 10 else body, base)
    return -value if plain.startswith("-") else value


def _float(plain: str) -> float:
    return float(plain.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _shown_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")[:60]

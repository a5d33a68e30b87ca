"""Composes YAML events into nodes that know their position, for documents of the catalog."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from stoa_gitops.foundation.yaml.composer import (
    CATALOG_LIMITS,
    Composer,
    Frame,
    Refused,
    parse_float,
    parse_int,
)
from stoa_gitops.foundation.yaml.nodes import Node
from stoa_gitops.model.canonical import Json


class NodeComposer(Composer[Node]):
    """Composes a tree of nodes; strict, for documents that people write.

    With `any_key`, keys that are no text are taken as they are spelled. `as_written` names a
    mapping whose numbers and booleans are texts as they are spelled.
    """

    def __init__(self, resolver: Any, *, any_key: bool, as_written: tuple[str, ...] = ()) -> None:
        super().__init__(resolver, CATALOG_LIMITS)
        self._any_key = any_key
        self._as_written = as_written

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

    def _is_as_written(self) -> bool:
        """Whether the next value stands directly in the mapping whose values are texts."""
        # The root and each mapping on the way have a frame; the innermost waits for this value.
        frames = self._stack
        return (
            len(frames) == len(self._as_written) + 1
            and frames[-1].kind == "map"
            and frames[-1].key is not None
            and all(
                frame.key is not None and frame.key.value == name
                for frame, name in zip(frames, self._as_written, strict=False)
            )
        )

    def _value(self, node: Node) -> Json:
        tag, plain = self._tag_of(node.text), node.text
        if tag.endswith(":null"):
            return None
        if self._as_written and self._is_as_written():
            return _whole_text(node)
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

    def _close_container(self, frame: Frame[Node]) -> None:
        frame.container.size = frame.size

    def _append(self, frame: Frame[Node], value: Node, mark: Any) -> None:
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

    def _pair(self, frame: Frame[Node], key: Node, value: Node, mark: Any) -> None:
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

    def _merge(self, frame: Frame[Node], key: Node, value: Node) -> None:
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
        value: int | float = parse_int(plain) if tag.endswith(":int") else parse_float(plain)
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

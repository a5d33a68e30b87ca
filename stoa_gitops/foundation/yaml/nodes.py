"""Nodes of a YAML document with their positions, and lookup by pointer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from stoa_gitops.model.canonical import Json

Pointer: TypeAlias = tuple[str | int, ...]


@dataclass(slots=True)
class Node:
    """One value with its place; lines and columns count from 0 here.

    kind   `map`, `seq` or `scalar`
    value  the scalar's value
    text   the scalar as it is spelled, quotes left out
    pairs  of a map: key node and value node by key
    width  characters of a scalar on its first line; 1 for the others
    size   values below and including this one, aliases counted each time
    """

    kind: str
    line: int
    column: int
    width: int = 1
    value: Json = None
    text: str = ""
    is_plain: bool = False
    pairs: dict[str, tuple[Node, Node]] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    size: int = 1

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written where a value could stand."""
        return self.kind == "scalar" and self.is_plain and not self.text

    def tree(self) -> Json:
        """Return the value as plain dicts, lists and scalars; fresh each time."""
        if self.kind == "map":
            return {name: node.tree() for name, (_, node) in self.pairs.items()}
        if self.kind == "seq":
            return [node.tree() for node in self.items]
        return self.value


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column from 1, and the width of a caret."""

    line: int
    column: int
    width: int = 1


def position_of(node: Node) -> Position:
    """Return where a node starts."""
    return Position(node.line + 1, node.column + 1, max(node.width, 1))


def find_position(root: Node, pointer: Sequence[str | int], *, at_key: bool = False) -> Position:
    """Return the place of a value, or of its key with `at_key`.

    An empty value is at its key. A pointer that leads nowhere (a default, a missing key) ends at
    the key of the deepest part that exists, and at the document's first line when there is none.
    """
    node, key = root, None
    for index, part in enumerate(pointer):
        found = _child(node, part)
        if found is None:
            return position_of(key or node) if index else Position(root.line + 1, root.column + 1)
        key, node = found
    if key is not None and (at_key or node.is_empty):
        return position_of(key)
    return position_of(node)


def _child(node: Node, part: str | int) -> tuple[Node | None, Node] | None:
    if node.kind == "map":
        return node.pairs.get(str(part))
    if node.kind == "seq" and isinstance(part, int) and part < len(node.items):
        return None, node.items[part]
    return None


def text_at(root: Node, pointer: Sequence[str | int]) -> str | None:
    """Return a scalar as it is spelled, None where there is none."""
    node = root
    for part in pointer:
        found = _child(node, part)
        if found is None:
            return None
        node = found[1]
    return node.text if node.kind == "scalar" else None

"""Walks a JSON Schema: follows its references and yields its properties."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

Schema: TypeAlias = "dict[str, Any]"
"""A JSON Schema as parsed: the one tree of the catalog that has no type of its own."""

LOCAL = "#/$defs/"
"""How a reference into the schema itself begins."""


def follow(node: Schema, root: Schema) -> Schema:
    """Return a node with its `$ref` into `$defs` followed; keys beside the reference win."""
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return node
    target: Schema = root["$defs"][reference.removeprefix(LOCAL)]
    return {**follow(target, root), **{k: v for k, v in node.items() if k != "$ref"}}


def properties(node: Schema, root: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the properties of an object schema with references followed."""
    for name, item in node.get("properties", {}).items():
        yield name, follow(item, root)

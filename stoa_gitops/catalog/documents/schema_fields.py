"""Finds one field of a kind, a policy type or a gateway type's options by its dotted path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stoa_gitops.catalog.documents.schema_examples import example_value
from stoa_gitops.catalog.documents.schema_tree import Schema, follow
from stoa_gitops.catalog.documents.schema_words import bounds, default_words, type_words


@dataclass(frozen=True, slots=True)
class SchemaField:
    """One field: what its schema says, in words.

    path          names from the root, as `("spec", "backend", "url")`
    default       as JSON; empty where there is none
    capabilities  what a gateway needs for it; empty where every one has it
    """

    path: tuple[str, ...]
    type: str
    is_required: bool
    default: str
    description: str
    bounds: tuple[str, ...]
    capabilities: tuple[str, ...]
    node: Schema
    root: Schema

    @property
    def example(self) -> Any:
        """A value that the field takes."""
        return example_value(self.node, self.root)

    def children(self) -> Iterator[SchemaField]:
        """Yield the fields below: of a mapping, of the entries of a list, of named entries."""
        holder = _holder(self.node, self.root)
        required = holder.get("required", ())
        for name, item in holder.get("properties", {}).items():
            yield _field((*self.path, name), item, self.root, is_required=name in required)


class NoSuchField(LookupError):
    """A schema has no field of that name; `known` are those beside it."""

    def __init__(self, above: Sequence[str], name: str, known: Sequence[str]) -> None:
        super().__init__(name)
        self.above, self.name, self.known = tuple(above), name, tuple(known)


def find_field(root: Schema, names: Sequence[str]) -> SchemaField:
    """Return the field at a path; the root itself for an empty one. Raises NoSuchField.

    Entries of lists need no mark; one may be written: `routes[].path`. A name of a mapping whose
    names are the reader's own stands for any.
    """
    found = _field((), root, root, is_required=True)
    for written in names:
        name = written.removesuffix("[]")
        fields = {child.path[-1]: child for child in found.children()}
        child = fields.get(name) or _any_name(found, name)
        if child is None:
            # Names differ in case alone for those who write them from memory.
            child = next((f for n, f in fields.items() if n.lower() == name.lower()), None)
        if child is None:
            raise NoSuchField(found.path, name, tuple(fields))
        found = child
    return found


def all_fields(field: SchemaField) -> Iterator[SchemaField]:
    """Yield a field and all below it."""
    yield field
    for child in field.children():
        yield from all_fields(child)


def _field(path: tuple[str, ...], item: Schema, root: Schema, *, is_required: bool) -> SchemaField:
    node = follow(item, root)
    return SchemaField(
        path,
        type_words(node, root) if path else "document",
        is_required,
        default_words(node),
        str(node.get("description") or node.get("title", "")),
        tuple(bounds(node)),
        tuple(node.get("x-capability", ())),
        node,
        root,
    )


def _holder(node: Schema, root: Schema) -> Schema:
    """Return the schema that has the properties: of a list that of its entries."""
    # The fields of a reference are the same everywhere, and its type says what it is.
    if node.get("x-canonical") == "secret":
        return node
    if "items" in node:
        return follow(node["items"], root)
    rest = node.get("additionalProperties")
    if "properties" not in node and isinstance(rest, dict):
        return follow(rest, root)
    return node


def _any_name(field: SchemaField, name: str) -> SchemaField | None:
    rest = field.node.get("additionalProperties")
    if isinstance(rest, dict) and "properties" not in follow(rest, field.root):
        return _field((*field.path, name), rest, field.root, is_required=False)
    return field if isinstance(rest, dict) and name.startswith("<") else None

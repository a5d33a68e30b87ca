"""The order of keys: as the schemas of kinds and policy types list their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from stoa_gitops.catalog.documents.kind_files import kind_schemas, policy_schema
from stoa_gitops.catalog.documents.schema_files import policy_types
from stoa_gitops.catalog.documents.schema_tree import Schema, follow
from stoa_gitops.foundation.package_data import schema_folder


@dataclass(slots=True)
class Shape:
    """The fields of one mapping.

    rank      the place of each field; empty where names are free, which keep their order
    children  the shapes of fields that are mappings, or lists of them
    config_by the field beside whose value decides the shape of `config`: a policy's type
    """

    rank: Mapping[str, int] = field(default_factory=dict)
    children: Mapping[str, Shape] = field(default_factory=dict)
    config_by: str = ""


_HEAD: Final = ("apiVersion", "kind", "metadata", "spec")
UNKNOWN: Final = Shape({name: number for number, name in enumerate(_HEAD)})
"""The shape of a document of no known kind."""


@cache
def shape_of_kind(kind: str) -> Shape:
    """Return the shape of a document."""
    root = kind_schemas().get(kind)
    return UNKNOWN if root is None else _shape(root, root)


@cache
def shape_of_config(policy_type: str) -> Shape | None:
    """Return the shape of a policy's config; None for an unknown type."""
    if policy_type not in policy_types(schema_folder()):
        return None
    root = policy_schema(policy_type)
    return _shape(root, root)


def _shape(node: Schema, root: Schema) -> Shape:
    properties = {name: follow(item, root) for name, item in node.get("properties", {}).items()}
    children = {}
    for name, item in properties.items():
        inner = follow(item["items"], root) if "items" in item else item
        rest = inner.get("additionalProperties")
        if "properties" in inner:
            children[name] = _shape(inner, root)
        elif isinstance(rest, dict) and "properties" in follow(rest, root):
            # Names are the reader's own; what each holds has an order.
            children[name] = Shape(children={"*": _shape(follow(rest, root), root)})
    config_by = "type" if {"type", "config"} <= properties.keys() else ""
    return Shape({name: number for number, name in enumerate(properties)}, children, config_by)

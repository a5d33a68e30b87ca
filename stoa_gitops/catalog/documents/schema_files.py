"""Reads the schema files and makes self-contained schemas of them.

The folder `schemas/v1alpha1` holds one file per kind of document, one per policy type below
`policies/`, and `common.json` with the definitions that several of them share. A file refers to
those as `common.json#/$defs/<name>`; a bundle has them in its own `$defs`, so that an editor or a
validator needs nothing else.

The list of policy types in `common.json` follows from the files below `policies/`: it is completed
when the file is loaded, and `python -m stoa_gitops.operations.reference_docs` writes it into the
file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from stoa_gitops.catalog.documents.schema_tree import LOCAL, Schema

COMMON: Final = "common.json"
_SHARED: Final = f"{COMMON}#/$defs/"


def read_schema(path: Path) -> Schema:
    """Return one schema file as parsed."""
    loaded: Schema = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@cache
def common_definitions(folder: Path) -> dict[str, Schema]:
    """Return the definitions that schemas share, the policy types completed from the folder."""
    definitions: dict[str, Schema] = read_schema(folder / COMMON)["$defs"]
    definitions["policyType"]["enum"] = list(policy_types(folder))
    return definitions


@cache
def policy_types(folder: Path) -> tuple[str, ...]:
    """Return the policy types that have a file: first those of `common.json`, in its order."""
    listed = read_schema(folder / COMMON)["$defs"]["policyType"]["enum"]
    return merge_names(listed, (path.stem for path in (folder / "policies").glob("*.json")))


def merge_names(listed: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Return all of `names`: first those that are listed, in that order, then the others sorted.

    Messages and pages keep their order that way when a name is added.
    """
    left = set(names)
    # A name that is listed and no longer exists is dropped.
    known = [name for name in listed if name in left]
    return (*known, *sorted(left - set(known)))


def bundle(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return a schema that stands alone: shared definitions that it uses are in its `$defs`."""
    own: dict[str, Schema] = schema.get("$defs", {})
    used: dict[str, Schema] = {}
    waiting = list(_shared_names(schema))
    while waiting:
        name = waiting.pop()
        if name not in used:
            used[name] = definitions[name]
            waiting.extend(_local_names(definitions[name]))
    # In the order of common.json, whatever order the references have.
    defs = {name: used[name] for name in definitions if name in used} | own
    made: Schema = _with_local_references({k: v for k, v in schema.items() if k != "$defs"})
    return {**made, "$defs": _with_local_references(defs)} if defs else made


def _shared_names(node: Any) -> Iterator[str]:
    """Yield the definitions of `common.json` that a schema refers to."""
    return (ref.removeprefix(_SHARED) for ref in _references(node) if ref.startswith(_SHARED))


def _local_names(node: Any) -> Iterator[str]:
    return (ref.removeprefix(LOCAL) for ref in _references(node) if ref.startswith(LOCAL))


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference
        for item in node.values():
            yield from _references(item)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def _with_local_references(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: f"{LOCAL}{item.removeprefix(_SHARED)}"
            if key == "$ref" and isinstance(item, str) and item.startswith(_SHARED)
            else _with_local_references(item)
            for key, item in node.items()
        }
    return [_with_local_references(item) for item in node] if isinstance(node, list) else node


def write_policy_types(folder: Path) -> None:
    """Write the policy types that have a file into the enum of `common.json`."""
    path = folder / COMMON
    common = read_schema(path)
    common["$defs"]["policyType"]["enum"] = list(policy_types(folder))
    path.write_text(json.dumps(common, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

"""Checks the value of one document against the schemas of its kind and of its policies."""

from __future__ import annotations

from stoa_gitops.catalog.documents.schema_errors import explain, policies_of
from stoa_gitops.catalog.documents.schemas import API_VERSION, Schemas
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import Json, JsonObject

MAX_FINDINGS = 100
"""Most findings about one file: nobody reads more, and one slip easily makes thousands."""


MAX_ENTRIES = 5_000
"""Most entries of one list: what is compared with one another takes time by their square."""

_SMALL = 2 * MAX_ENTRIES


def find_wide(value: JsonObject, raw: bytes) -> Finding | None:
    """Return the finding about a list with too many entries, None where there is none."""
    # An entry has a character and a comma, so most documents are told by their size.
    if len(raw) <= _SMALL:
        return None
    todo: list[tuple[Json, Pointer]] = [(value, ())]
    while todo:
        item, at = todo.pop()
        if isinstance(item, list):
            if len(item) > MAX_ENTRIES:
                text = f"{at[-1] if at else 'the list'} has {len(item)} entries"
                hint = f"a list has {MAX_ENTRIES} at most: split the document"
                return Finding("schema.length", text, at, hint)
            todo.extend((entry, (*at, index)) for index, entry in enumerate(item))
        elif isinstance(item, dict):
            todo.extend((entry, (*at, key)) for key, entry in item.items())
    return None


def is_valid(value: JsonObject, schemas: Schemas, *, variables: bool) -> bool:
    """Whether apiVersion and kind are known and the schema finds nothing wrong.

    A document with variables is validated in its environment, so here only its head counts.
    """
    kind = value.get("kind")
    if value.get("apiVersion") != API_VERSION or not isinstance(kind, str):
        return False
    known = schemas.kinds.get(kind)
    if known is None:
        return False
    if variables and known.takes_variables:
        return name_of(value) != ""
    if not schemas.validator(kind)(value):
        return False
    return all(
        schemas.validator(name)(config) for _, name, config in policies_of(value, kind, schemas)
    )


def explain_document(value: JsonObject, schemas: Schemas) -> list[Finding]:
    """Return what is wrong with a document of a known kind: the first MAX_FINDINGS."""
    kind = str(value["kind"])
    found = explain(value, kind, schemas, most=MAX_FINDINGS)
    for pointer, policy_type, config in policies_of(value, kind, schemas):
        if len(found) >= MAX_FINDINGS:
            break
        if not schemas.validator(policy_type)(config):
            found.extend(explain(config, policy_type, schemas, pointer, most=MAX_FINDINGS))
    return found[:MAX_FINDINGS]


def name_of(value: JsonObject) -> str:
    """Return the name of a document, empty where it has none."""
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""

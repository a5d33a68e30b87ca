"""Checks the value of one document against the schemas of its kind and of its policies."""

from __future__ import annotations

from stoa_gitops.catalog.documents.schema_errors import explain, policies_of
from stoa_gitops.catalog.documents.schemas import API_VERSION, Schemas
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.model.canonical import JsonObject

MAX_FINDINGS = 100
"""Most findings about one file: nobody reads more, and one slip easily makes thousands."""


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

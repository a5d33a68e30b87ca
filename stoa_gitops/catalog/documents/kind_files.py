"""The schemas of kinds and policy types as files: read without the code of kinds.

That code takes a tenth of a second to import, and help or an editor needs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from stoa_gitops.catalog.documents.schema_files import bundle, common_definitions, read_schema
from stoa_gitops.catalog.documents.schema_tree import Schema
from stoa_gitops.foundation.package_data import schema_folder


@cache
def kind_schemas() -> Mapping[str, Schema]:
    """Return the schema of each kind by its name; none needs another file."""
    folder = schema_folder()
    found = {}
    for path in sorted(folder.glob("*.json")):
        schema = read_schema(path)
        if "x-place" in schema:
            found[str(schema["title"])] = bundle(schema, common_definitions(folder))
    return found


@cache
def policy_schema(policy_type: str) -> Schema:
    """Return the schema of a policy type's config; raises OSError for one without a file."""
    folder = schema_folder()
    schema = read_schema(folder / "policies" / f"{policy_type}.json")
    return bundle(schema, common_definitions(folder))

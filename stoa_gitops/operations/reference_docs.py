"""Writes what follows from schemas and adapters: `python -m stoa_gitops.operations.reference_docs`.

Writes docs/spec/<kind>.md, the policy types into schemas/v1alpha1/common.json and the gateway types
into schemas/v1alpha1/gatewayinstance.json, and what adapters declare into
schemas/gateway-capabilities.json, and the schema for editors into integrations/schemastore; tests
assert that all of them are current. It is here because the catalog knows no adapter and adapters
know no catalog.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from stoa_gitops.adapters.registry import all_infos, gateway_types
from stoa_gitops.catalog import docs
from stoa_gitops.catalog.documents.schema_files import (
    read_schema,
    write_policy_types,
)
from stoa_gitops.catalog.kinds import kind_set
from stoa_gitops.catalog.kinds.gateway_instance import with_gateway_types
from stoa_gitops.foundation.package_data import schema_folder
from stoa_gitops.operations.explain.fields import CAPABILITIES, answer_of
from stoa_gitops.operations.starter.templates import ALL_KINDS, schema_files


def write_gateway_types(folder: Path) -> None:
    """Write the gateway types of the registry into the schema of GatewayInstance."""
    path = folder / "gatewayinstance.json"
    names = [info.name for info in gateway_types()]
    schema = with_gateway_types(read_schema(path), names)
    path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def capabilities_index() -> str:
    """Return what each public adapter declares, for `explain`, which must not import them all."""
    gateways = [
        {
            "name": info.name,
            "title": info.title,
            "types": list(info.types),
            "capabilities": {
                name: answer_of(capability)
                for name, capability in sorted(info.capabilities.items())
            },
        }
        for info in all_infos()
        if info.public
    ]
    return json.dumps({"gateways": gateways}, indent=1, ensure_ascii=False) + "\n"


def write_editor_schema(folder: Path) -> None:
    """Write the schema of all kinds that is offered to SchemaStore."""
    (folder / ALL_KINDS).write_text(schema_files()[ALL_KINDS], encoding="utf-8")


def write_reference(pages: Path) -> None:
    """Write the lists into the schemas, then the pages about all kinds into a folder."""
    write_policy_types(schema_folder())
    write_gateway_types(schema_folder())
    index = schema_folder().parent / CAPABILITIES
    index.write_text(capabilities_index(), encoding="utf-8")
    docs.write(pages, kind_set(gateway_types()).schemas)


if __name__ == "__main__":
    write_reference(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/spec"))
    write_editor_schema(Path("integrations/schemastore"))

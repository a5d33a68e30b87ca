"""Explains a kind, a policy type or the options of a gateway type, and their fields."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import stoa_gitops.adapters as adapters_package
from stoa_gitops.catalog.documents.kind_files import kind_schemas, policy_schema
from stoa_gitops.catalog.documents.schema_fields import SchemaField, find_field
from stoa_gitops.catalog.documents.schema_files import (
    bundle,
    common_definitions,
    policy_types,
    read_schema,
)
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.package_data import schema_folder

if TYPE_CHECKING:
    from stoa_gitops.adapter_sdk.capabilities import Capability


CAPABILITIES: Final = "gateway-capabilities.json"
"""The index beside the schemas, written by `python -m stoa_gitops.operations.reference_docs`."""


@dataclass(frozen=True, slots=True)
class GatewaySupport:
    """Whether one gateway type has what a field needs.

    answer  yes, depends (the running gateway decides) or no
    reason  what it does instead, or on what it depends; may be empty
    """

    capability: str
    title: str
    types: tuple[str, ...]
    answer: str
    reason: str


@dataclass(frozen=True, slots=True)
class FieldExplanation:
    """What is known of one field, or of a whole kind.

    topic    what it is a field of: a kind, a policy type or a gateway type
    place    the file in a catalog; empty for what stands in other documents
    support  empty where every gateway type has it
    """

    topic: str
    field: SchemaField
    place: str
    support: tuple[GatewaySupport, ...]

    @property
    def name(self) -> str:
        """The whole dotted name."""
        return ".".join((self.topic, *self.field.path))

    def shown_fields(self) -> Iterator[SchemaField]:
        """Yield the fields below it; of a whole document those of its spec, too."""
        for child in self.field.children():
            yield child
            if not self.field.path and child.path == ("spec",) and self.place:
                yield from child.children()

    def document(self) -> dict[str, Any]:
        """Return it as JSON (`schemas/output/explanation.json`)."""
        field = self.field
        return {
            "format_version": "1.0",
            "name": self.name,
            "type": field.type,
            "required": field.is_required,
            "default": json.loads(field.default) if field.default else None,
            "description": field.description,
            "constraints": list(field.bounds),
            "example": field.example,
            "place": self.place or None,
            "fields": [
                {
                    "name": ".".join(child.path[len(field.path) :]),
                    "type": child.type,
                    "required": child.is_required,
                    "default": json.loads(child.default) if child.default else None,
                    "description": child.description,
                }
                for child in self.shown_fields()
            ],
            "gateways": [
                {
                    "capability": one.capability,
                    "gateway": one.title,
                    "types": list(one.types),
                    "support": one.answer,
                    "reason": one.reason,
                }
                for one in self.support
            ],
        }


def policy_type_names() -> tuple[str, ...]:
    """Return the policy types that have a schema."""
    return policy_types(schema_folder())


def explain_kind(kind: str, names: Sequence[str]) -> FieldExplanation:
    """Explain a field of a kind, or the kind; raises NoSuchField."""
    root = kind_schemas()[kind]
    field = find_field(root, names)
    return FieldExplanation(kind, field, root["x-place"], _support(field.capabilities))


def explain_policy_type(name: str, names: Sequence[str]) -> FieldExplanation:
    """Explain a field of a policy type's config, or the type; raises NoSuchField."""
    root = policy_schema(name)
    support = _support((f"policy:{name}",)) if not names else ()
    return FieldExplanation(name, find_field(root, names), "", support)


def gateway_type_names() -> tuple[str, ...]:
    """Return the gateway types that documents may name."""
    spec = kind_schemas()["GatewayInstance"]["properties"]["spec"]
    return tuple(spec["properties"]["gatewayType"]["enum"])


def explain_gateway_type(name: str, names: Sequence[str]) -> FieldExplanation:
    """Explain an option of a gateway type, or the type with its capabilities.

    Raises NoSuchField, and UsageError for a type that no adapter serves yet.
    """
    declared = next((one for one in declared_capabilities() if name in one["types"]), None)
    if declared is None:
        raise UsageError(f"gateways of type {name} are not served by this version yet")
    path = Path(adapters_package.__path__[0], declared["name"], "options_schema.json")
    root = read_schema(path) if path.is_file() else {"type": "object"}
    root.setdefault("description", f"{declared['title']}; it has no options.")
    support = tuple(
        GatewaySupport(capability, declared["title"], (name,), *answer)
        for capability, answer in declared["capabilities"].items()
    )
    field = find_field(bundle(root, common_definitions(schema_folder())), names)
    return FieldExplanation(name, field, "", () if names else support)


def _support(capabilities: Sequence[str]) -> tuple[GatewaySupport, ...]:
    return tuple(
        GatewaySupport(
            name, one["title"], tuple(one["types"]), *one["capabilities"].get(name, ("no", ""))
        )
        for name in capabilities
        for one in declared_capabilities()
    )


@cache
def declared_capabilities() -> list[dict[str, Any]]:
    """Return what the adapters declare, as their generated index has it.

    Importing all of them would take 0.1 s.
    """
    text = (schema_folder().parent / CAPABILITIES).read_text("utf-8")
    found: list[dict[str, Any]] = json.loads(text)["gateways"]
    return found


def answer_of(capability: Capability) -> tuple[str, str]:
    """Return yes, depends or no, and the reason."""
    word = "depends" if capability.depends else "yes"
    return (word if capability.supported else "no"), capability.reason

"""The JSON Schemas of the catalog: found, loaded once, compiled when needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from stoa_gitops.errors import UsageError

API_VERSION: Final = "gostoa.dev/v1alpha1"

KINDS: Final = (
    "Catalog", "GatewayInstance", "Environment", "Tenant", "API", "Policy", "Application",
)  # fmt: skip

POLICY_TYPES: Final = (
    "rate_limit", "quota", "cors", "api_key", "jwt", "ip_filter", "request_size", "headers",
    "caching", "logging", "mock", "retry", "circuit_breaker",
)  # fmt: skip

OPTION_TYPES: Final = ("kong",)
"""Gateway types whose `spec.options` have a schema, called `options/<type>`; the others take none yet."""

Schema: TypeAlias = "dict[str, Any]"
"""A JSON Schema as parsed: the one place where a tree without a type is what it is."""

Validator: TypeAlias = Callable[[object], bool]


def kind_names() -> tuple[str, ...]:
    """Return the kinds of documents that have a schema."""
    return KINDS


def policy_types() -> tuple[str, ...]:
    """Return the policy types, each with a schema for its config."""
    return POLICY_TYPES


def option_types() -> tuple[str, ...]:
    """Return the gateway types whose options have a schema."""
    return OPTION_TYPES


@cache
def folder() -> Path:
    """Return the folder of the schemas: installed beside the package, or in the checkout."""
    package = Path(__file__).resolve().parent.parent.parent
    places = (package / "_schemas" / "v1alpha1", package.parent / "schemas" / "v1alpha1")
    for place in places:
        if place.is_dir():
            return place
    raise UsageError(f"the schemas are missing from this installation: looked in {places[0]}")


def _path(kind: str) -> Path:
    for known in KINDS:
        if kind.lower() == known.lower():
            return folder() / f"{known.lower()}.json"
    if kind in POLICY_TYPES:
        return folder() / "policies" / f"{kind}.json"
    if kind.removeprefix("options/") in OPTION_TYPES:
        return folder() / f"{kind}.json"
    raise UsageError(
        f"no schema for {kind!r}: there are {', '.join(KINDS)} and the policy types "
        f"{', '.join(POLICY_TYPES)}"
    )


def schema_text(kind: str) -> str:
    """Return the schema of a kind or policy type as JSON text; raises UsageError for others."""
    return _path(kind).read_text(encoding="utf-8")


@cache
def schema(kind: str) -> Schema:
    """Return the schema of a kind or policy type; raises UsageError for others."""
    loaded: Schema = json.loads(schema_text(kind))
    return loaded


@cache
def validator(kind: str) -> Validator:
    """Return the quickest way to tell whether a value fits the schema of a kind or policy type.

    jsonschema-rs where its wheel is there, jsonschema otherwise: the verdicts are the same.
    """
    try:
        import jsonschema_rs
    except ImportError:
        slow: Validator = explainer(kind).is_valid
        return slow
    valid: Validator = jsonschema_rs.Draft202012Validator(schema(kind)).is_valid
    return valid


@cache
def explainer(kind: str) -> Any:
    """Return jsonschema's validator, which says what is wrong and where."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema(kind))


def resolve(node: Schema, root: Schema) -> Schema:
    """Follow a `$ref` into `$defs`; keys beside the reference win."""
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return node
    target: Schema = root["$defs"][reference.removeprefix("#/$defs/")]
    return {**resolve(target, root), **{k: v for k, v in node.items() if k != "$ref"}}


def properties(node: Schema, root: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the properties of an object schema with references followed."""
    for name, item in node.get("properties", {}).items():
        yield name, resolve(item, root)

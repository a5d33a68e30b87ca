"""The OpenAPI document of an API as webMethods imports it: 3.0, with what its parser needs. Pure.

By JSON the root's `externalDocs` is a list, security schemes are in capitals, and a truth value as
`additionalProperties` breaks an update that an import takes (contract webmethods.md A.3, A.12).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapter_sdk.openapi.bounds import check_bounds
from stoa_gitops.adapter_sdk.openapi.conversion import convert
from stoa_gitops.adapter_sdk.openapi.errors import ConversionRefused
from stoa_gitops.adapter_sdk.openapi.losses import summary_lines
from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.adapters.webmethods.mapping import soap
from stoa_gitops.adapters.webmethods.mapping.losses import Inexpressible
from stoa_gitops.adapters.webmethods.mapping.routes import METHODS
from stoa_gitops.foundation.yaml.composer import Refused, YamlLimits
from stoa_gitops.foundation.yaml.value_composer import ValueComposer

_MAX_DEPTH: Final = 256
_MAX_VALUES: Final = 2_500_000
"""Bounds of the conversion: deeper and larger documents are refused by it, too."""

_MAX_SLOW_BYTES: Final = 2 << 20
"""YAML that is read without yaml-rs: some 200 kB a second."""

DATA: Final = frozenset({"example", "examples", "default", "enum"})
"""Keywords whose values are data of their own."""

NAMED: Final = frozenset(
    {
        "properties", "patternProperties", "definitions", "schemas", "responses", "parameters",
        "headers", "requestBodies", "callbacks", "links", "paths", "content", "encoding",
    }
)  # fmt: skip
"""Keywords whose values are maps by name: a name in there is no keyword, not even `default`."""


@dataclass(frozen=True, slots=True)
class ApiDocument:
    """A document that can be imported.

    kind      `openapi`, `swagger` or `wsdl`, as the import calls it
    losses    what it does not say any more, for people
    content   a WSDL, which is imported as it is and has no tree
    """

    kind: str
    tree: JsonTree
    losses: tuple[str, ...] = ()
    content: bytes = b""

    def definition(
        self, title: str, version: str, backend: str, methods: Sequence[str]
    ) -> JsonTree:
        """Return the document with what the catalog says of the API in it."""
        info = self.tree.get("info")
        found: JsonTree = {
            **self.tree,
            "info": {
                **(info if isinstance(info, dict) else {}),
                "title": title,
                "version": version,
            },
            "paths": {
                path: _with_methods(item, methods)
                for path, item in (self.tree.get("paths") or {}).items()
            },
        }
        if self.kind == "swagger":
            # Swagger 2.0 has the parts of an address in fields of their own.
            parts = urlsplit(backend)
            found |= {
                "schemes": [parts.scheme],
                "host": parts.netloc,
                "basePath": parts.path or "/",
            }
        else:
            found["servers"] = [{"url": backend}]
        return found

    @property
    def has_response_references(self) -> bool:
        """Whether a body of a response is, or holds, a reference."""
        paths = (self.tree.get("paths") or {}).values()
        operations = (one for item in paths if isinstance(item, dict) for one in item.values())
        return any(
            "'$ref'" in str(one.get("responses")) for one in operations if isinstance(one, dict)
        )

    def without_response_schemas(self) -> ApiDocument:
        """Return the document without the bodies of responses, which can break the parser."""
        paths: JsonTree = {}
        for path, item in (self.tree.get("paths") or {}).items():
            paths[path] = {
                name: _without_bodies(value) if name.upper() in METHODS else value
                for name, value in item.items()
            }
        loss = (
            "the bodies of responses are left out: the gateway's parser fails on references there"
        )
        return ApiDocument(self.kind, {**self.tree, "paths": paths}, (*self.losses, loss))


def load_document(spec: ObjectSpec) -> ApiDocument | None:
    """Return the document that a spec names, None where it names none. Blocking, CPU-bound.

    Raises DocumentUnreadable where it is not there, Inexpressible where it cannot be imported.
    """
    if soap.KIND in spec.value:
        return ApiDocument(soap.KIND, {}, content=spec.read_document(soap.KIND))
    if "openapi" not in spec.value:
        return None
    named: Any = spec.value["openapi"]
    return import_form(_parse(spec.read_document("openapi"), str(named["path"])), named["path"])


def import_form(tree: Mapping[str, Any], name: str) -> ApiDocument:
    """Return a parsed document as it can be imported. Raises Inexpressible."""
    try:
        if str(tree.get("swagger", "")).startswith("2."):
            check_bounds(tree)
            return ApiDocument("swagger", _adapted(tree))
        converted = convert(tree)
    except ConversionRefused as error:
        raise Inexpressible(f"{name}: webMethods reads OpenAPI 3.0: {error}") from None
    losses = tuple(f"{name}: {line}" for line in summary_lines(converted.losses))
    return ApiDocument("openapi", _adapted(converted.document), losses)


def _parse(data: bytes, name: str) -> JsonTree:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = _parse_yaml(data, name)
    if not isinstance(found, dict):
        raise Inexpressible(f"{name}: this is no OpenAPI document")
    return found


def _parse_yaml(data: bytes, name: str) -> Any:
    """Return the value of YAML; the catalog has validated it, so that only bounds are new here."""
    try:
        import yaml_rs
    except ImportError:
        return _parse_slowly(data, name)
    try:
        return yaml_rs.loads(data.decode(), parse_datetime=False)
    except ValueError:
        return _parse_slowly(data, name)


def _parse_slowly(data: bytes, name: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if len(data) > _MAX_SLOW_BYTES:
        raise Inexpressible(f"{name}: too large for YAML that only a slow parser reads: write JSON")
    yaml = YAML(typ="safe", pure=True)
    composer = ValueComposer(yaml.resolver, YamlLimits(_MAX_DEPTH, _MAX_VALUES))
    try:
        for event in yaml.parse(data.decode()):
            composer.take(event)
    except (Refused, YAMLError, ValueError) as error:
        raise Inexpressible(f"{name}: it cannot be read ({type(error).__name__})") from None
    return composer.root


def _adapted(tree: Mapping[str, Any]) -> JsonTree:
    """Return a document with what the JSON route of an import needs."""
    found: JsonTree = _without_truth_schemas(tree)
    docs = found.get("externalDocs")
    if isinstance(docs, dict):
        found["externalDocs"] = [docs]
    components = found.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, dict) else None
    if isinstance(components, dict) and isinstance(schemes, dict):
        capitals = {name: _in_capitals(scheme) for name, scheme in schemes.items()}
        found["components"] = {**components, "securitySchemes": capitals}
    return found


def _in_capitals(scheme: Any) -> Any:
    if not isinstance(scheme, dict):
        return scheme
    fields = ("type", "in", "scheme")
    return {n: v.upper() if n in fields and isinstance(v, str) else v for n, v in scheme.items()}


def _without_truth_schemas(node: Any) -> Any:
    """Return a tree in which no `additionalProperties` is a truth value."""
    if isinstance(node, Mapping):
        found: JsonTree = {}
        for name, value in node.items():
            if name == "additionalProperties" and isinstance(value, bool):
                if not value:
                    found[name] = {"not": {}}
            elif name in NAMED and isinstance(value, Mapping):
                found[name] = {one: _without_truth_schemas(item) for one, item in value.items()}
            elif name in DATA or str(name).startswith("x-"):
                found[name] = value
            else:
                found[name] = _without_truth_schemas(value)
        return found
    return [_without_truth_schemas(item) for item in node] if isinstance(node, list) else node


def _with_methods(item: Any, methods: Sequence[str]) -> Any:
    """Return a path with the operations that routes allow; none named: all."""
    if not methods or not isinstance(item, dict):
        return item
    left_out = {method.lower() for method in METHODS} - {method.lower() for method in methods}
    return {name: value for name, value in item.items() if name not in left_out}


def _without_bodies(operation: Any) -> Any:
    if not isinstance(operation, dict):
        return operation
    responses = {
        status: {"description": str(one.get("description", ""))} if isinstance(one, dict) else one
        for status, one in (operation.get("responses") or {}).items()
    }
    return {**operation, "responses": responses}

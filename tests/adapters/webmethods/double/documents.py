"""API documents: what the importer takes, and what it makes of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import yaml

from tests.adapters.webmethods.double.answers import Refused, Tree

VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_SCHEMA_KEYS = ("schema", "items", "not", "additionalProperties")
_SCHEMA_LISTS = ("allOf", "anyOf", "oneOf")
_SCHEMA_MAPS = ("properties", "schemas", "definitions")
_DATA_KEYS = ("example", "examples", "default", "enum")
_JACKSON = (
    "Cannot construct instance of `io.swagger.v3.oas.models.media.Schema` (although at least one "
    "Creator exists): no boolean-argument constructor/factory method to deserialize from boolean "
    "value ({})"
)


@dataclass(frozen=True)
class Document:
    """What was imported: `source` as text, `definition` as the gateway reads it back."""

    kind: str
    source: str
    definition: Tree
    version: str
    description: str
    endpoints: tuple[str, ...]


def read(kind: str, content: str | Tree, name: str, *, is_update: bool) -> Document:
    """Read an upload (text) or an `apiDefinition` (a tree). Raises Refused."""
    if kind == "wsdl":
        return _wsdl(content, name)
    if kind not in ("swagger", "openapi", "raml"):
        raise Refused(400, f"Invalid API type {kind}")
    tree = _parsed(content, kind) if isinstance(content, str) else content
    if not isinstance(content, str):
        _check_tree_route(tree)
    if tree.get("type") == "rest":
        return _put_back(tree)
    _check(tree, kind, is_update=is_update)
    source = content if isinstance(content, str) else json.dumps(content)
    info = tree["info"]
    urls = [server.get("url", "") for server in _servers(tree)]
    definition = normalise(tree, name)
    return Document("REST", source, definition, info["version"], info.get("description", ""),
                    tuple(urls))  # fmt: skip


def _put_back(tree: Tree) -> Document:
    info = tree.get("info") or {}
    urls = tuple(server["url"] for server in tree.get("servers") or ())
    return Document("REST", json.dumps(tree), tree, info.get("version", ""),
                    info.get("description", ""), urls)  # fmt: skip


def _parsed(text: str, kind: str) -> Tree:
    try:
        tree = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        tree = None
    if not isinstance(tree, dict):
        raise Refused(400, f"{kind} file is not valid")
    return tree


def _check_tree_route(tree: Tree) -> None:
    """Reject what only an upload may look like (contract A.12, extra steps)."""
    if isinstance(tree.get("externalDocs"), dict):
        raise Refused(400, "Error in processing the payload. externalDocs is no list.")
    schemes = (tree.get("components") or {}).get("securitySchemes") or {}
    for scheme in schemes.values():
        for field in ("type", "in", "scheme"):
            if scheme.get(field, "") != scheme.get(field, "").upper():
                raise Refused(400, f"Error in processing the payload. {field}: {scheme[field]}")


def _check(tree: Tree, kind: str, *, is_update: bool) -> None:
    invalid = Refused(400, f"{kind} file is not valid")
    wanted = ("swagger", "2.0") if kind == "swagger" else ("openapi", "3.0")
    if kind != "raml" and not str(tree.get(wanted[0], "")).startswith(wanted[1]):
        raise invalid
    info = tree.get("info")
    if not isinstance(info, dict) or not all(isinstance(info.get(one), str) for one in
                                             ("title", "version")):  # fmt: skip
        raise invalid
    if not isinstance(tree.get("paths"), dict):
        raise invalid
    for schema in schemas(tree, is_schema=False):
        if isinstance(schema, bool):
            if is_update:
                raise Refused(500, _JACKSON.format(str(schema).lower()))
        elif isinstance(schema.get("type"), list) or any(
            isinstance(schema.get(bound), int | float) and not isinstance(schema[bound], bool)
            for bound in ("exclusiveMinimum", "exclusiveMaximum")
        ):
            raise invalid


def schemas(node: Any, *, is_schema: bool) -> Iterator[Any]:
    """Yield every schema of a document, `True` and `False` of additionalProperties too."""
    if isinstance(node, bool) and is_schema:
        yield node
    if isinstance(node, list):
        for item in node:
            yield from schemas(item, is_schema=is_schema)
    if not isinstance(node, dict):
        return
    if is_schema:
        yield node
    for name, value in node.items():
        if name in _DATA_KEYS or name.startswith("x-"):
            continue
        if name in _SCHEMA_MAPS and isinstance(value, dict):
            for item in value.values():
                yield from schemas(item, is_schema=True)
        else:
            yield from schemas(value, is_schema=name in _SCHEMA_KEYS or name in _SCHEMA_LISTS)


def has_response_refs(source: str) -> bool:
    """Whether the schema of any response is, or holds, a reference."""
    try:
        paths = (json.loads(source) if source.startswith("{") else yaml.safe_load(source))["paths"]
    except (ValueError, yaml.YAMLError, KeyError, TypeError):
        return False
    operations = [op for path in paths.values() for verb, op in path.items() if verb in VERBS]
    return any('"$ref"' in json.dumps(op.get("responses") or {}) for op in operations)


# What is read back


def _servers(tree: Tree) -> list[Tree]:
    if "swagger" in tree:
        base = tree.get("host", "") + tree.get("basePath", "")
        return [{"url": f"{scheme}://{base}"} for scheme in tree.get("schemes") or ["http"]]
    return list(tree.get("servers") or ())


def normalise(tree: Tree, name: str) -> Tree:
    """Return the definition as a GET shows it (contract A.3)."""
    docs = tree.get("externalDocs")
    components = tree.get("components") or {"schemas": tree.get("definitions") or {}}
    return {
        "info": dict(tree["info"]),
        "serviceRegistryDisplayName": f"{name}_{tree['info']['version']}",
        "tags": list(tree.get("tags") or ()),
        "schemes": list(tree.get("schemes") or ()),
        "security": list(tree.get("security") or ()),
        "paths": {path: _path(path, item) for path, item in tree["paths"].items()},
        "securityDefinitions": dict(tree.get("securityDefinitions") or {}),
        "definitions": {},
        "parameters": {},
        "baseUriParameters": [],
        "externalDocs": docs if isinstance(docs, list) else [docs] if docs else [],
        "servers": [{"variables": {}, **server} for server in _servers(tree)],
        "components": _with_types(components),
        "type": "rest",
    }


def _path(path: str, item: Tree) -> Tree:
    shared = [_parameter(one) for one in item.get("parameters") or ()]
    found: Tree = {verb: _operation(item[verb]) for verb in VERBS if verb in item}
    if shared:
        found["parameters"] = shared
    return {**found, "scopes": [], "displayName": path, "enabled": True}


def _operation(operation: Tree) -> Tree:
    body = operation.get("requestBody") or {}
    consumes = list(body.get("content") or operation.get("consumes") or ())
    responses = operation.get("responses") or {}
    produces = {
        kind: None for response in responses.values() for kind in response.get("content") or ()
    }
    kept = {name: operation[name] for name in ("tags", "operationId", "deprecated", "security")
            if name in operation}  # fmt: skip
    return {
        **kept,
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "consumes": consumes,
        "produces": list(produces) or list(operation.get("produces") or ()),
        "parameters": [_parameter(one) for one in operation.get("parameters") or ()],
        "responses": {status: _response(one) for status, one in responses.items()},
        "mockedResponses": {},
        "mockedConditionsBasedCustomResponsesList": [],
        "enabled": True,
        "scopes": [],
        "requestBody": {
            "content": _with_types(body.get("content") or {}),
            "name": operation.get("operationId", ""),
        },
    }


def _parameter(parameter: Tree) -> Tree:
    if "$ref" in parameter:
        return _with_types(parameter)
    schema = _with_types(parameter.get("schema") or {})
    kept = {name: value for name, value in parameter.items() if name != "schema"}
    return {**kept, "type": schema.get("type", "string"), "style": "FORM",
            "parameterSchema": schema}  # fmt: skip


def _response(response: Tree) -> Tree:
    content = {
        kind: {"schema": _with_types(media.get("schema") or {}), "examples": {}}
        for kind, media in (response.get("content") or {}).items()
    }
    return {"description": response.get("description", ""), "content": content, "links": {},
            "schema": {}, "examples": {}, "headers": {},
            "headersV3": dict(response.get("headers") or {})}  # fmt: skip


def _with_types(node: Any) -> Any:
    """References gain a type."""
    if isinstance(node, list):
        return [_with_types(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {name: _with_types(value) for name, value in node.items()}
    return {**found, "type": "object"} if isinstance(node.get("$ref"), str) else found


# SOAP

_WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
_SOAP_ADDRESS = re.compile(r"/soap(12)?/}address$")


def _wsdl(content: str | Tree, name: str) -> Document:
    try:
        root = ET.fromstring(content if isinstance(content, str) else "")
    except ET.ParseError:
        root = None
    if root is None or root.tag != f"{_WSDL}definitions":
        raise Refused(400, "wsdl file is not valid")
    operations = {one.get("name") for one in root.iterfind(f"{_WSDL}portType/{_WSDL}operation")}
    places = [one.get("location", "") for one in root.iter() if _SOAP_ADDRESS.search(one.tag)]
    definition = {
        "info": {"title": root.get("name", name), "version": "1.0"},
        "targetNamespace": root.get("targetNamespace", ""),
        "operations": [{"name": one, "enabled": True} for one in sorted(filter(None, operations))],
        "baseUriParameters": [],
        "externalDocs": [],
        "type": "soap",
    }
    return Document("SOAP", str(content), definition, "1.0", "", tuple(places))


def has_resources(definition: Tree) -> bool:
    """Whether anything of an API is enabled."""
    if definition.get("type") == "soap":
        return any(one["enabled"] for one in definition["operations"])
    return any(
        operation.get("enabled", True)
        for item in (definition.get("paths") or {}).values()
        if item.get("enabled", True)
        for verb, operation in item.items()
        if verb in VERBS
    )

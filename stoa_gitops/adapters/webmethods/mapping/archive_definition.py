"""The definition of an API in the form that the gateway keeps it in, for archives. Pure.

An import of a document makes this form; an archive holds it as it is kept (contract A.3, A.10).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoa_gitops.adapters.webmethods.entities.parts import JsonTree
from stoa_gitops.adapters.webmethods.mapping.routes import METHODS


def kept_definition(document: Mapping[str, Any], name: str) -> JsonTree:
    """Return what the gateway keeps of an OpenAPI 3.0 or Swagger 2.0 document."""
    docs = document.get("externalDocs")
    info = document["info"]
    return {
        "info": dict(info),
        "serviceRegistryDisplayName": f"{name}_{info['version']}",
        "tags": list(document.get("tags") or ()),
        "schemes": [],
        "security": list(document.get("security") or ()),
        "paths": {path: _path(path, item) for path, item in document["paths"].items()},
        "securityDefinitions": {},
        "definitions": {},
        "parameters": {},
        "baseUriParameters": [],
        "externalDocs": docs if isinstance(docs, list) else [docs] if docs else [],
        "servers": [{"url": url, "variables": {}} for url in server_urls(document)],
        "components": _components(document),
        "type": "rest",
    }


def server_urls(document: Mapping[str, Any]) -> list[str]:
    """Return the addresses of a document's backend."""
    if "swagger" in document:
        place = f"{document.get('host', '')}{document.get('basePath', '')}"
        return [f"{scheme}://{place}" for scheme in document.get("schemes") or ("http",)]
    return [str(server["url"]) for server in document.get("servers") or ()]


def _components(document: Mapping[str, Any]) -> JsonTree:
    if "swagger" in document:
        return {"schemas": dict(document.get("definitions") or {})}
    return dict(document.get("components") or {})


def _path(path: str, item: Mapping[str, Any]) -> JsonTree:
    found: JsonTree = {
        verb: _operation(operation) for verb, operation in item.items() if verb.upper() in METHODS
    }
    if item.get("parameters"):
        found["parameters"] = [_parameter(one) for one in item["parameters"]]
    return {**found, "scopes": [], "displayName": path, "enabled": True}


def _operation(operation: Mapping[str, Any]) -> JsonTree:
    body = operation.get("requestBody") or {}
    responses = operation.get("responses") or {}
    produces = {
        kind: None for response in responses.values() for kind in response.get("content") or ()
    }
    kept = ("tags", "operationId", "deprecated", "security")
    return {
        **{name: operation[name] for name in kept if name in operation},
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "consumes": list(body.get("content") or ()),
        "produces": list(produces),
        "parameters": [_parameter(one) for one in operation.get("parameters") or ()],
        "responses": {status: _response(one) for status, one in responses.items()},
        "mockedResponses": {},
        "mockedConditionsBasedCustomResponsesList": [],
        "enabled": True,
        "scopes": [],
        "requestBody": {
            "content": dict(body.get("content") or {}),
            "name": operation.get("operationId", ""),
        },
    }


def _parameter(parameter: Mapping[str, Any]) -> JsonTree:
    if "$ref" in parameter:
        return dict(parameter)
    # Swagger 2.0 says the type of a parameter in the parameter itself.
    own = {name: parameter[name] for name in ("type", "format", "items") if name in parameter}
    schema = parameter.get("schema") or own
    kept = {name: value for name, value in parameter.items() if name != "schema"}
    return {
        **kept,
        "type": schema.get("type", "string"),
        "style": "FORM",
        "parameterSchema": schema,
    }


def _response(response: Mapping[str, Any]) -> JsonTree:
    content = {
        kind: {"schema": media.get("schema") or {}, "examples": {}}
        for kind, media in (response.get("content") or {}).items()
    }
    return {
        "description": response.get("description", ""),
        "content": content,
        "links": {},
        "schema": {},
        "examples": {},
        "headers": {},
        "headersV3": dict(response.get("headers") or {}),
    }

"""openapi.json (OpenAPI 3.1): paths from the routes, components from their models."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterator
from typing import Any, Final

from pydantic import BaseModel

from stoa_gitops import __version__
from stoa_gitops.control.api import ROUTES
from stoa_gitops.control.auth import Access
from stoa_gitops.control.bodies import ProblemView
from stoa_gitops.control.route import Raw, Route
from stoa_gitops.operations.view_schemas import component_name, component_schemas, model_schema

_REF: Final = "#/components/schemas/{model}"

_DESCRIPTIONS: Final = {
    400: "Something unknown or malformed was asked for",
    304: "As If-None-Match names it",
    401: "No right token, key or signature",
    403: "The key is for another environment, or the token of another tenant",
    404: "No such gateway; the detail names what exists",
    405: "The path takes other methods, named in Allow",
    409: "The state of the gateway contradicts it",
    413: "The body is too large",
    422: "Fields of the body are wrong; the detail names them",
    421: "The name in Host is none of this listener",
    429: "One address has all connections that it may have",
    500: "Internal error",
    503: "Not now; Retry-After says when",
}
_SECURITY: Final[dict[Access, list[dict[str, list[str]]]]] = {
    Access.OPEN: [],
    Access.BEARER: [{"bearer": []}],
    Access.TENANT: [{"bearer": []}],
    Access.GATEWAY_KEY: [{"gatewayKey": []}],
    Access.OPTIONAL_KEY: [{"gatewayKey": []}, {}],
    Access.SIGNATURE: [{"github": []}, {"gitea": []}, {"gitlab": []}, {"gitlabSigned": []}],
}


def document(routes: Collection[Route] = ROUTES) -> dict[str, Any]:
    """Return the tree of openapi.json (OpenAPI 3.1)."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "stoa-gitops control",
            "version": __version__,
            "description": "Status of a running process, and what may be asked of it.",
        },
        "paths": paths,
        "components": {
            "schemas": _components(routes),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "gatewayKey": _header("X-Gateway-Key"),
                "github": _header("X-Hub-Signature-256"),
                "gitea": _header("X-Gitea-Signature"),
                "gitlab": _header("X-Gitlab-Token"),
                "gitlabSigned": _header("webhook-signature"),
            },
        },
    }


@functools.cache
def text(routes: tuple[Route, ...] = ROUTES) -> str:
    """Return openapi.json; made once for the same routes, which takes 40 ms."""
    return json.dumps(document(routes), sort_keys=True)


def _header(name: str) -> dict[str, str]:
    return {"type": "apiKey", "in": "header", "name": name}


def content(route: Route) -> tuple[str, Any]:
    """Return the media type and the JSON Schema of success; None for what is no JSON.

    Both are empty for a response without content.
    """
    if route.response is None:
        return "", None
    if isinstance(route.response, Raw):
        return route.response.media, route.response.schema
    return "application/json", {"$ref": _REF.format(model=component_name(route.response))}


def _components(routes: Collection[Route]) -> dict[str, Any]:
    models: set[type[BaseModel]] = {ProblemView}
    models.update(
        route.response
        for route in routes
        if route.response is not None and not isinstance(route.response, Raw)
    )
    return component_schemas(sorted(models, key=component_name), _REF)


def _operation(route: Route) -> dict[str, Any]:
    media, schema = content(route)
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "security": _SECURITY[route.access],
        "responses": {
            str(route.success): {
                "description": "Success",
                **({"content": {media: {"schema": schema} if schema else {}}} if media else {}),
            },
            **{str(status): _failure(status) for status in _failures(route)},
        },
    }
    if parameters := [*_path_parameters(route), *_query_parameters(route)]:
        operation["parameters"] = parameters
    if route.body is not None:
        # A body is optional: every field has a default.
        schema = model_schema(route.body)
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation


def _failures(route: Route) -> list[int]:
    is_open = route.access in (Access.OPEN, Access.OPTIONAL_KEY)
    always = {400, 405, 413, 500} | (set() if is_open else {401})
    if not route.is_probe:
        always |= {421, 429, 503} if route.access in (Access.OPEN, Access.BEARER) else {429, 503}
    if route.is_lenient and route.body is not None:
        always.add(422)
    return sorted(always | set(route.failures))


def _failure(status: int) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=component_name(ProblemView))}
    return {
        "description": _DESCRIPTIONS[status],
        "content": {"application/problem+json": {"schema": schema}},
    }


def _path_parameters(route: Route) -> Iterator[dict[str, Any]]:
    for part in route.path.split("/"):
        if part.startswith("{"):
            yield {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name, schema in model_schema(route.query).get("properties", {}).items():
        description = schema.pop("description")
        if not schema.get("default"):  # "not given" is no value that a client could send
            schema.pop("default", None)
        yield {
            "name": name,
            "in": "query",
            "required": False,
            "schema": schema,
            "description": description,
        }

"""openapi.json, made from the table of routes."""

from __future__ import annotations

import json
from typing import Any, Final

from stoa_gitops import __version__
from stoa_gitops.control.routes import BEARER, OPEN, ROUTES, SIGNATURE, Route

_TEXT: Final = {"type": "string"}
_OPTIONAL_TEXT: Final = {"type": ["string", "null"]}
_CONDITION: Final = {
    "type": "object",
    "required": ["type", "status", "reason", "message", "lastTransition"],
    "properties": {
        "type": _TEXT,
        "status": {"enum": ["True", "False", "Unknown"]},
        "reason": _TEXT,
        "message": _TEXT,
        "lastTransition": {"type": "string", "format": "date-time"},
    },
}
_GATEWAY: Final = {
    "type": "object",
    "required": [
        "name", "type", "environment", "status", "bound", "suspended", "revision", "cycles",
        "recap", "conditions",
    ],
    "properties": {
        "name": _TEXT,
        "type": {**_OPTIONAL_TEXT, "description": "null for an orphaned one"},
        "environment": _OPTIONAL_TEXT,
        "status": {"enum": ["ONLINE", "DEGRADED", "OFFLINE"]},
        "bound": {"type": "boolean", "description": "whether the catalog has a document of it"},
        "suspended": {"type": "boolean"},
        "revision": {**_OPTIONAL_TEXT, "description": "of the last cycle"},
        "cycles": {"type": "integer", "minimum": 0, "description": "since the process started"},
        "recap": {"type": ["object", "null"], "additionalProperties": {"type": "integer"}},
        "conditions": {"type": "array", "items": {"$ref": "#/components/schemas/Condition"}},
    },
}  # fmt: skip
SCHEMAS: Final[dict[str, Any]] = {
    "State": {"type": "object", "required": ["status"], "properties": {"status": _TEXT}},
    "Accepted": {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"enum": ["accepted", "duplicate"]}, "gateway": _TEXT},
    },
    "Status": {"type": "object", "description": "schemas/output/status.json"},
    "Condition": _CONDITION,
    "Gateway": _GATEWAY,
    "GatewayDetail": {
        "allOf": [
            {"$ref": "#/components/schemas/Gateway"},
            {
                "type": "object",
                "required": ["objects", "quarantined", "lastCycle"],
                "properties": {
                    "objects": {
                        "type": "integer",
                        "minimum": 0,
                        "description": "that we own there",
                    },
                    "quarantined": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/Quarantined"},
                    },
                    "lastCycle": {"type": ["object", "null"]},
                },
            },
        ]
    },
    "Quarantined": {
        "type": "object",
        "description": "what the gateway refused, in its own words, and where that stands in the catalog",
        "required": ["key", "words", "since", "source"],
        "properties": {
            "key": _TEXT,
            "words": _TEXT,
            "since": {"type": "string", "format": "date-time"},
            "source": {
                "type": ["object", "null"],
                "required": ["path", "line", "column"],
                "properties": {
                    "path": _TEXT,
                    "line": {"type": "integer"},
                    "column": {"type": "integer"},
                },
            },
        },
    },
    "AuditEntry": {
        "type": "object",
        "required": ["id", "at", "actor", "gateway", "key", "action", "status", "message"],
        "properties": {
            "id": {"type": "integer"},
            "at": {"type": "string", "format": "date-time"},
            **dict.fromkeys(("actor", "gateway", "key", "action", "status", "message"), _TEXT),
        },
    },
    "Problem": {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
        },
    },
}
_WORDS: Final = {
    400: "Something unknown or malformed was asked for",
    401: "No right token or signature",
    404: "No such gateway; the detail names what exists",
    405: "The path takes other methods, named in Allow",
    409: "The state of the gateway contradicts it",
    413: "The body is too large",
    500: "A defect of ours",
    503: "Not now; Retry-After says when",
}
_SECURITY: Final[dict[str, list[dict[str, list[str]]]]] = {
    OPEN: [],
    BEARER: [{"bearer": []}],
    SIGNATURE: [{"github": []}, {"gitea": []}, {"gitlab": []}, {"gitlabSigned": []}],
}


def document() -> dict[str, Any]:
    """Return the tree of openapi.json (OpenAPI 3.1)."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
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
            "schemas": SCHEMAS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "github": _header("X-Hub-Signature-256"),
                "gitea": _header("X-Gitea-Signature"),
                "gitlab": _header("X-Gitlab-Token"),
                "gitlabSigned": _header("webhook-signature"),
            },
        },
    }


def text() -> str:
    """Return openapi.json."""
    return json.dumps(document(), sort_keys=True)


def _header(name: str) -> dict[str, str]:
    return {"type": "apiKey", "in": "header", "name": name}


def _operation(route: Route) -> dict[str, Any]:
    media, schema = route.result
    content = {media: {} if schema is None else {"schema": schema}}
    operation: dict[str, Any] = {
        "operationId": route.handler,
        "summary": route.summary,
        "security": _SECURITY[route.access],
        "responses": {
            str(route.success): {"description": "Success", "content": content},
            **{str(status): _failure(status) for status in _failures(route)},
        },
    }
    parameters = [_parameter(name, "path", {"type": "string"}, "") for name in _in_path(route)]
    parameters += [
        _parameter(name, "query", found.schema, found.description)
        for name, found in route.query.items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": route.body}}}
    return operation


def _failures(route: Route) -> list[int]:
    always = {400, 405, 413, 500} | (set() if route.access == OPEN else {401})
    return sorted(always | set(route.failures))


def _failure(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": _WORDS[status],
        "content": {"application/problem+json": {"schema": schema}},
    }


def _in_path(route: Route) -> list[str]:
    return [part[1:-1] for part in route.path.split("/") if part.startswith("{")]


def _parameter(name: str, place: str, schema: Any, message: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        **({"description": message} if message else {}),
    }

"""What was learned as documents that a person reviews: OpenAPI 3.0, and an API of the catalog."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from stoa_proxy.shadow.learner import Operation, Place, alike_words
from stoa_proxy.shadow.segments import DATE, INTEGER, UUID

# What was seen once may be a slip, or somebody who tries paths.
_LEAST_REQUESTS: Final = 2
_SCHEMAS: Final[Mapping[str, dict[str, str]]] = {
    INTEGER: {"type": "integer", "format": "int64"},
    UUID: {"type": "string", "format": "uuid"},
    DATE: {"type": "string", "format": "date"},
}
_SECURITY: Final[Mapping[str, dict[str, str]]] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic"},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
# A plan, or a policy, that asks for what callers were seen to show.
_POLICIES: Final[Mapping[str, str]] = {
    "api_key": "{type: api_key, config: {}}",
    "bearer": "{type: jwt, config: {issuer: https://…}}",
}
_NOT_IN_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed API: `requests` it was learned from, `rare` endpoints that were left out."""

    name: str
    host: str
    requests: int
    endpoints: int
    rare: int
    openapi: str
    document: str


def propose(name: str, host: str, learned: Place, tenant: str, backend: str | None) -> Proposal:
    """Return the proposal for a host; `backend` is where its requests go, if that is known."""
    writer = _PathWriter()
    writer.write(_condensed(learned))
    openapi = _openapi(host, learned.requests, writer)
    return Proposal(
        name=name,
        host=host,
        requests=learned.requests,
        endpoints=writer.endpoints,
        rare=writer.rare,
        openapi=json.dumps(openapi, indent=2, ensure_ascii=False) + "\n",
        document=_document(name, host, tenant, backend or f"http://{host}", writer),
    )


def api_names(hosts: Iterable[str]) -> dict[str, str]:
    """Return a name of the catalog for each host: at most 63 letters, digits and inner hyphens."""
    names: dict[str, str] = {}
    for host in sorted(hosts):
        base = _NOT_IN_NAME.sub("-", host.lower()).strip("-")[:60].strip("-") or "observed"
        taken = set(names.values())
        names[host] = next(name for name in _numbered(base) if name not in taken)
    return names


class _PathWriter:
    """Collects the paths of a tree, and what the whole document needs to know of them."""

    def __init__(self) -> None:
        self.paths: dict[str, dict[str, Any]] = {}
        self.methods: set[str] = set()
        self.credentials: set[str] = set()
        self.endpoints = 0
        self.rare = 0
        self._ids: set[str] = set()

    def write(
        self, place: Place, path: str = "", parameters: tuple[dict[str, Any], ...] = ()
    ) -> None:
        operations = self._operations(place, path)
        if operations:
            self.paths[path or "/"] = {
                **({"parameters": list(parameters)} if parameters else {}),
                **operations,
            }
        for word in sorted(place.words):
            self.write(place.words[word], f"{path}/{word}", parameters)
        if place.parameter is not None:
            name = _parameter_name(path, parameters)
            added = {"name": name, "in": "path", "required": True, "schema": _schema(place)}
            self.write(place.parameter, f"{path}/{{{name}}}", (*parameters, added))

    def _operations(self, place: Place, path: str) -> dict[str, Any]:
        written: dict[str, Any] = {}
        for method in sorted(place.operations):
            operation = place.operations[method]
            if method == "HEAD" and "GET" in place.operations:
                continue
            if operation.requests < _LEAST_REQUESTS:
                self.rare += 1
                continue
            self.endpoints += 1
            self.methods.add(method)
            self.credentials |= {name for name in operation.credentials if name in _SECURITY}
            written[method.lower()] = self._operation(method, path, operation)
        return written

    def _operation(self, method: str, path: str, operation: Operation) -> dict[str, Any]:
        words = [part.strip("{}") for part in path.split("/") if part]
        base = _NOT_IN_NAME.sub("_", "_".join([method, *words]).lower()).strip("_")
        name = next(name for name in _numbered(base) if name not in self._ids)
        self._ids.add(name)
        written: dict[str, Any] = {
            "operationId": name,
            "description": f"Seen {operation.requests} times.",
        }
        if operation.names:
            written["parameters"] = [
                {
                    "name": one, "in": "query",
                    "required": operation.names[one] == operation.requests,
                    "schema": {"type": "string"},
                }
                for one in sorted(operation.names)
            ]  # fmt: skip
        if operation.request_types and method not in ("GET", "HEAD", "DELETE"):
            written["requestBody"] = {"content": _content(operation.request_types)}
        written["responses"] = _responses(operation)
        if operation.credentials:
            needed: list[dict[str, list[str]]] = [
                {one: []} for one in sorted(operation.credentials) if one in _SECURITY
            ]
            if sum(operation.credentials.values()) < operation.requests:
                needed.append({})  # some came without
            written["security"] = needed
        return written


def _openapi(host: str, requests: int, writer: _PathWriter) -> dict[str, Any]:
    document: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {
            "title": host,
            "version": "0.1.0",
            "description": f"Proposed from {requests} requests that were observed. Bodies were not"
            " read, so schemas are empty; names of parameters in paths are guesses.",
        },
        "paths": writer.paths,
    }
    if writer.credentials:
        schemes = {name: _SECURITY[name] for name in sorted(writer.credentials)}
        document["components"] = {"securitySchemes": schemes}
    return document


def _document(name: str, host: str, tenant: str, backend: str, writer: _PathWriter) -> str:
    """Return the document of the catalog as YAML; every text in it is written as JSON."""
    seen = f"{writer.endpoints} endpoints, and {writer.rare} that were seen once and left out"
    lines = [
        "# Proposed from observed traffic: review everything before you commit it.",
        f"# Seen at host {_comment(host)}: {seen}.",
    ]
    if not writer.credentials:
        lines.append("# Nobody showed a credential: as it stands, the API is open to everybody.")
    for credential in sorted(writer.credentials & _POLICIES.keys()):
        lines.append(f"# Callers showed a credential ({credential}). To ask for it:")
        lines.append(f"#   policies: [{_POLICIES[credential]}]")
    lines += [
        "apiVersion: gostoa.dev/v1alpha1",
        "kind: API",
        "metadata:",
        f"  name: {json.dumps(name)}",
        "spec:",
        f"  displayName: {json.dumps(host)}",
        '  version: "0.1.0"',
        "  description: Proposed from observed traffic.",
        "  backend:",
        f"    url: {json.dumps(backend)}",
        "  routes:",
        f"    - path: {json.dumps(f'/apis/{tenant}/{name}')}",
        f"      methods: {json.dumps(sorted(writer.methods))}",
        "  openapi: openapi.json",
        "  active: false",
    ]
    return "\n".join(lines) + "\n"


def _responses(operation: Operation) -> dict[str, Any]:
    content = _content(operation.response_types)
    if not operation.statuses:
        return {"default": {"description": "Not observed.", **_with_content(content)}}
    return {
        str(status): {
            "description": f"Seen {operation.statuses[status]} times.",
            **_with_content(content if 200 <= status < 300 and status != 204 else {}),
        }
        for status in sorted(operation.statuses)
    }


def _with_content(content: dict[str, Any]) -> dict[str, Any]:
    return {"content": content} if content else {}


def _content(types: Iterable[str]) -> dict[str, Any]:
    return {name: {"schema": {}} for name in sorted(types)}


def _schema(place: Place) -> dict[str, str]:
    """Return the schema of a parameter: of one kind, or a text where there are several."""
    kinds = set(place.kinds)
    return (
        dict(_SCHEMAS.get(kinds.pop(), {"type": "string"}))
        if len(kinds) == 1
        else {"type": "string"}
    )


def _parameter_name(path: str, parameters: Iterable[Mapping[str, Any]]) -> str:
    """Return a name for the value behind a path: `/orders/{orderId}`."""
    last = path.rpartition("/")[2]
    base = "id"
    if last and not last.startswith("{"):
        word = re.split(r"[-_.]", last)[-1]
        singular = (
            word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
        )
        base = f"{singular}Id"
    taken = {parameter["name"] for parameter in parameters}
    return next(name for name in _numbered(base) if name not in taken)


def _numbered(base: str) -> Iterator[str]:
    yield base
    number = 2
    while True:
        yield f"{base}{number}"
        number += 1


def _condensed(place: Place) -> Place:
    """Return a tree in which words that look alike are values, however late they came."""
    copy = deepcopy(place)
    _condense(copy)
    return copy


def _condense(place: Place) -> None:
    place.take_as_values(alike_words(place))
    for below in list(place.places()):
        _condense(below)


def _comment(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)

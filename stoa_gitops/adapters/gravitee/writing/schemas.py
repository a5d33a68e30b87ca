"""Checks configurations of plugins against their own schemas, before anything is sent.

Gravitee stores fields that a plugin does not know, and finds what is wrong with others when the
gateway loads the API (contract gravitee.md R.1 rows 3 to 5).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoa_gitops.adapters.gravitee.api.client import GraviteeClient
from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.mapping.flows import all_steps
from stoa_gitops.errors import GatewayRefused
from stoa_gitops.model.redaction import reveal

_SECURITIES: Final[Mapping[str, str]] = {"API_KEY": "api-key", "JWT": "jwt", "OAUTH2": "oauth2"}
_COMBINERS: Final = ("allOf", "anyOf", "oneOf")
_DEEPEST: Final = 20


class SchemaCheck:
    """Knows the schemas of one gateway, and what was found right before."""

    def __init__(self, client: GraviteeClient) -> None:
        self._client = client
        self._schemas: dict[tuple[str, str], JsonTree] = {}
        # APIs of one catalog have few different configurations.
        self._right: set[tuple[str, str, str]] = set()

    def forget(self) -> None:
        """Ask again: the gateway may have other plugins."""
        self._schemas.clear()
        self._right.clear()

    async def check(self, definition: Mapping[str, Any]) -> None:
        """Check every plugin configuration of a definition; raises GatewayRefused."""
        for where, kind, plugin, configuration in _configurations(definition):
            text = json.dumps(reveal(configuration, []), sort_keys=True)
            if (kind, plugin, text) in self._right:
                continue
            schema = await self._schema(kind, plugin)
            wrong = list(_faults(json.loads(text), schema)) if schema else []
            if wrong:
                raise GatewayRefused(
                    f"the {plugin} of this gateway does not take it ({where}): {'; '.join(wrong)}"
                )
            self._right.add((kind, plugin, text))

    async def _schema(self, kind: str, plugin: str) -> JsonTree:
        if (kind, plugin) not in self._schemas:
            self._schemas[kind, plugin] = await self._client.plugin_schema(kind, plugin)
        return self._schemas[kind, plugin]


def _configurations(definition: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    for flow, step in all_steps(definition):
        yield f"flow {flow}", "policies", str(step["policy"]), step["configuration"]
    for plan in definition.get("plans") or ():
        plugin = _SECURITIES.get(plan["security"]["type"])
        configuration = plan["security"].get("configuration")
        if plugin is not None and configuration:
            yield f"plan {plan['name']}", "policies", plugin, configuration
    for resource in definition.get("resources") or ():
        yield (
            f"resource {resource['name']}",
            "resources",
            resource["type"],
            resource["configuration"],
        )


def _faults(configuration: Any, schema: JsonTree) -> Iterator[str]:
    from jsonschema import Draft7Validator  # late: only what writes needs it

    filled = _with_defaults(configuration, schema, schema, 0)
    for error in Draft7Validator(schema).iter_errors(filled):
        at = ".".join(str(part) for part in error.absolute_path) or "its configuration"
        # Other messages of the library quote the value, which may be a secret.
        message = error.message if error.validator == "required" else f"breaks {error.validator}"
        yield f"{at}: {message}"
    yield from _unknown(configuration, schema, schema, "", 0)


def _with_defaults(value: Any, schema: Any, root: JsonTree, depth: int) -> Any:
    """Return a configuration as Gravitee checks it: what is required and has a default is there."""
    if not isinstance(value, dict) or depth > _DEEPEST:
        return value
    found = dict(value)
    for name, part in _properties(schema, root, 0):
        resolved = _resolved(part, root) if isinstance(part, Mapping) else {}
        if name in found:
            found[name] = _with_defaults(found[name], resolved, root, depth + 1)
        elif "default" in resolved:
            found[name] = resolved["default"]
    return found


def _unknown(value: Any, schema: Any, root: JsonTree, path: str, depth: int) -> Iterator[str]:
    """Yield fields that a schema does not name; a schema that names none allows all."""
    if depth > _DEEPEST or not isinstance(schema, Mapping):
        return
    if isinstance(value, dict):
        known = dict(_properties(schema, root, 0))
        if not known:
            return
        for name, item in value.items():
            at = f"{path}.{name}" if path else str(name)
            if name not in known:
                yield f"it knows no {at}"
            else:
                yield from _unknown(item, known[name], root, at, depth + 1)
    elif isinstance(value, list):
        items = _resolved(schema, root).get("items")
        for item in value:
            yield from _unknown(item, items, root, path, depth + 1)


def _properties(schema: Any, root: JsonTree, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST or not isinstance(schema, Mapping):
        return
    schema = _resolved(schema, root)
    yield from (schema.get("properties") or {}).items()
    for word in _COMBINERS:
        for part in schema.get(word) or ():
            yield from _properties(part, root, depth + 1)
    for dependency in (schema.get("dependencies") or {}).values():
        yield from _properties(dependency, root, depth + 1)


def _resolved(schema: Mapping[str, Any], root: JsonTree) -> Mapping[str, Any]:
    """Follow a reference within the schema."""
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return schema
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}

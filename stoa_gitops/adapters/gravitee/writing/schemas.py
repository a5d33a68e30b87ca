"""Checks configurations of plugins against their own schemas, before anything is sent.

Gravitee stores fields that a plugin does not know, and finds what is wrong with others when the
gateway loads the API (contract gravitee.md R.1 rows 3 to 5).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from stoa_gitops.adapters.gravitee.entities.defaults import SECURITIES
from stoa_gitops.adapters.gravitee.entities.parts import JsonTree
from stoa_gitops.adapters.gravitee.entities.schemas import DEEPEST, properties_of, resolved
from stoa_gitops.adapters.gravitee.mapping.flows import all_steps
from stoa_gitops.errors import GatewayRefused
from stoa_gitops.model.redaction import reveal


class SchemaCheck:
    """Knows what was found right before."""

    def __init__(self) -> None:
        # APIs of one catalog have few different configurations.
        self._right: set[tuple[str, str]] = set()

    def forget(self) -> None:
        """Check everything again: the gateway may have other plugins."""
        self._right.clear()

    def check(self, definition: Mapping[str, Any], schemas: Mapping[str, JsonTree]) -> None:
        """Check every plugin configuration of a definition; raises GatewayRefused."""
        for where, plugin, configuration in _configurations(definition):
            text = json.dumps(reveal(configuration, []), sort_keys=True)
            if (plugin, text) in self._right:
                continue
            schema = schemas.get(plugin)
            wrong = list(_faults(json.loads(text), schema)) if schema else []
            if wrong:
                name = plugin.partition("/")[2]
                raise GatewayRefused(
                    f"the {name} of this gateway does not take it ({where}): {'; '.join(wrong)}"
                )
            self._right.add((plugin, text))


def _configurations(definition: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for flow, step in all_steps(definition):
        yield f"flow {flow}", f"policies/{step['policy']}", step["configuration"]
    for plan in definition.get("plans") or ():
        plugin = SECURITIES.get(plan["security"]["type"])
        configuration = plan["security"].get("configuration")
        if plugin is not None and configuration:
            yield f"plan {plan['name']}", f"policies/{plugin}", configuration
    for resource in definition.get("resources") or ():
        what = f"resource {resource['name']}"
        yield what, f"resources/{resource['type']}", resource["configuration"]


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
    if not isinstance(value, dict) or depth > DEEPEST:
        return value
    found = dict(value)
    for name, part in properties_of(schema, root):
        field = resolved(part, root) if isinstance(part, Mapping) else {}
        if name in found:
            found[name] = _with_defaults(found[name], field, root, depth + 1)
        elif "default" in field:
            found[name] = field["default"]
    return found


def _unknown(value: Any, schema: Any, root: JsonTree, path: str, depth: int) -> Iterator[str]:
    """Yield fields that a schema does not name; a schema that names none allows all."""
    if depth > DEEPEST or not isinstance(schema, Mapping):
        return
    if isinstance(value, dict):
        known = dict(properties_of(schema, root))
        if not known:
            return
        for name, item in value.items():
            at = f"{path}.{name}" if path else str(name)
            if name not in known:
                yield f"it knows no {at}"
            else:
                yield from _unknown(item, known[name], root, at, depth + 1)
    elif isinstance(value, list):
        items = resolved(schema, root).get("items")
        for item in value:
            yield from _unknown(item, items, root, path, depth + 1)

"""Validates one entity against its schema and answers with a tree of errors, as Kong words them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.adapters.kong.double.defaults import fill_defaults
from tests.adapters.kong.double.entity_checks import CONFIG_RULES, run_entity_checks
from tests.adapters.kong.double.field_validators import VALIDATORS, is_uuid
from tests.adapters.kong.double.lua_errors import ErrorTree
from tests.adapters.kong.double.schema import (
    Entity,
    EntitySchema,
    Field,
    Fields,
    SchemaSet,
    Version,
)

REQUIRED = "required field missing"
UNKNOWN = "unknown field"
MUST_BE_NULL = "value must be null"
_ADVICE = "add it to the 'plugins' configuration property"
_ARTICLES = {
    "string": "a string", "number": "a number", "integer": "an integer", "boolean": "a boolean",
    "array": "an array", "set": "a set", "map": "a map", "record": "a record",
}  # fmt: skip

ForeignRule = Callable[[Any, str], Any]


class EntityValidator:
    """`foreign` checks a foreign key: other forms are right in a document and a single write."""

    def __init__(self, schemas: SchemaSet, foreign: ForeignRule) -> None:
        self._schemas = schemas
        self._version: Version = schemas.version
        self._foreign = foreign

    def errors(self, schema: EntitySchema, entity: Entity, given: set[str]) -> ErrorTree:
        """`given` names the foreign keys that come from where the entity stands (nested under a
        parent).
        """
        fields, checks = dict(schema.fields), list(schema.checks)
        errors: ErrorTree = {}
        if schema.name == "plugins":
            problem = self._use_plugin_schema(entity, fields, checks)
            if problem:
                return {"name": problem}
        for name in given:
            fields[name] = {**fields[name], "required": False}
            if fields[name].get("forbidden"):
                errors[name] = MUST_BE_NULL
        self._fields(fields, entity, errors)
        self._plugin_rules(schema, entity, fields, errors)
        run_entity_checks(checks, fill_defaults(fields, entity), errors)
        return errors

    def _use_plugin_schema(
        self, entity: Entity, fields: Fields, checks: list[dict[str, Any]]
    ) -> str | None:
        """Put the plugin's config schema in place; return a message if the name is no plugin."""
        name = entity.get("name")
        if name is None:
            return REQUIRED
        if not isinstance(name, str):
            return "expected a string"
        plugin = self._schemas.plugins.get(name)
        if plugin is None:
            return f"plugin '{name}' not enabled; {_ADVICE}"
        kind = "opaque" if plugin.is_opaque else "record"
        fields["config"] = {"type": kind, "required": not plugin.is_opaque, "fields": plugin.config}
        fields["protocols"] = {**fields["protocols"], "default": plugin.protocols}
        for key in plugin.forbid:
            fields[key] = {**fields[key], "forbidden": True}
        checks += plugin.checks
        return None

    def _plugin_rules(
        self, schema: EntitySchema, entity: Entity, fields: Fields, errors: ErrorTree
    ) -> None:
        if schema.name != "plugins" or "config" in errors or "name" in errors:
            return
        rule = self._schemas.plugins[entity["name"]].config_valid
        if rule:
            message = CONFIG_RULES[rule](fill_defaults(fields, entity)["config"])
            if message:
                errors["config"] = message

    def _fields(self, fields: Fields, entity: Entity, errors: ErrorTree) -> None:
        for name in entity:
            if name not in fields and name not in errors and not name.startswith("_"):
                errors[name] = UNKNOWN
        for name, spec in fields.items():
            error = self._field(spec, entity[name]) if name in entity else self._missing(spec)
            if error is not None:
                errors[name] = error

    def _missing(self, spec: Field) -> Any:
        if spec["type"] == "record" and spec.get("required"):
            nested: ErrorTree = {}
            self._fields(spec["fields"], {}, nested)
            return nested or None
        is_filled = spec.get("auto") or "default" in spec
        return REQUIRED if spec.get("required") and not is_filled else None

    def _field(self, spec: Field, value: Any) -> Any:
        if value is None:
            return REQUIRED if spec.get("required") else None
        if spec.get("forbidden"):
            return MUST_BE_NULL
        if spec["type"] == "opaque":
            return None
        if spec["type"] == "foreign":
            return self._foreign(value, spec["reference"])
        if not _is_of(spec["type"], value):
            return f"expected {_ARTICLES[spec['type']]}"
        return _DEEP[spec["type"]](self, spec, value)

    def _string(self, spec: Field, value: str) -> str | None:
        least = spec.get("len_min", 1)
        if len(value) < least:
            return f"length must be at least {least}"
        if "one_of" in spec and value not in spec["one_of"]:
            return f"expected one of: {', '.join(spec['one_of'])}"
        if spec.get("uuid") and not is_uuid(value):
            return "expected a valid UUID"
        return VALIDATORS[spec["valid"]](value, self._version) if "valid" in spec else None

    def _number(self, spec: Field, value: float) -> str | None:
        low, high = spec.get("between", (value, value))
        if not low <= value <= high:
            return f"value should be between {int(low)} and {int(high)}"
        if "gt" in spec and not value > spec["gt"]:
            return f"value must be greater than {spec['gt']}"
        if "one_of" in spec and value not in spec["one_of"]:
            return f"expected one of: {', '.join(str(one) for one in spec['one_of'])}"
        return None

    def _boolean(self, spec: Field, value: bool) -> None:
        return None

    def _array(self, spec: Field, value: list[Any]) -> Any:
        least = spec.get("len_min", 0)
        if len(value) < least:
            return f"length must be at least {least}"
        errors = {
            at: error
            for at, one in enumerate(value, 1)
            if (error := self._field(spec["elements"], one)) is not None
        }
        if errors:
            return errors
        touched = [part for part in spec.get("subsets", []) if set(part) & set(value)]
        if len(touched) > 1:
            shown = ", ".join(f"({', '.join(repr(p) for p in part)})" for part in touched)
            return f"these sets are mutually exclusive: {shown}"
        return None

    def _map(self, spec: Field, value: dict[str, Any]) -> Any:
        if len(value) < spec.get("len_min", 0):
            return f"length must be at least {spec['len_min']}"
        for key, one in value.items():
            error = self._field(spec["keys"], key)
            if error is None:
                error = self._field(spec["values"], one)
            if error is not None:
                return error
        return None

    def _record(self, spec: Field, value: dict[str, Any]) -> ErrorTree | None:
        errors: ErrorTree = {}
        self._fields(spec["fields"], value, errors)
        return errors or None


_DEEP: dict[str, Callable[[EntityValidator, Field, Any], Any]] = {
    "string": EntityValidator._string,
    "number": EntityValidator._number,
    "integer": EntityValidator._number,
    "boolean": EntityValidator._boolean,
    "array": EntityValidator._array,
    "set": EntityValidator._array,
    "map": EntityValidator._map,
    "record": EntityValidator._record,
}


def _is_of(kind: str, value: Any) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "integer":
        return _is_of("number", value) and float(value).is_integer()
    if kind in ("array", "set"):
        return isinstance(value, list)
    return isinstance(value, dict)

"""The entity and plugin schemas of one Kong version, read from the files of `schema_data`.

A field in the data may carry `since` (inclusive) and `until` (exclusive) as "major.minor", `use` (a
shared type of `types.json`) and `null_in` (the database mode that shows it when null); a list of
fields means alternatives by version. What was seen running is 3.4.2 and 3.9.1; versions between
follow the contract's "since" marks.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Field = dict[str, Any]
Fields = dict[str, Field]
Entity = dict[str, Any]
Version = tuple[int, int]

_HERE = Path(__file__).parent / "schema_data"
_PLUGIN_FILES = (
    "plugins-auth",
    "plugins-traffic",
    "plugins-transform",
    "plugins-observe",
    "plugins-opaque",
)
_UNUSUAL_PRIORITIES_BEFORE_3_5 = {"correlation-id": 1}


@functools.cache
def _read(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((_HERE / f"{name}.json").read_text(encoding="utf-8"))
    return data


def version_of(text: str) -> Version:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


@dataclass(frozen=True)
class EntitySchema:
    name: str
    fields: Fields
    checks: list[dict[str, Any]]
    endpoint: str | None
    endpoint_key: str | None
    nested: dict[str, str]
    nested_key: str | None = None
    cache_key: list[str] = field(default_factory=list)
    transform: str | None = None
    shorthands: dict[str, str] = field(default_factory=dict)

    @property
    def foreign(self) -> dict[str, str]:
        """Field name -> entity type it points at."""
        return {n: f["reference"] for n, f in self.fields.items() if f["type"] == "foreign"}

    @property
    def unique(self) -> list[str]:
        return [name for name, spec in self.fields.items() if spec.get("unique")]


@dataclass(frozen=True)
class PluginSchema:
    name: str
    config: Fields
    checks: list[dict[str, Any]]
    protocols: list[str]
    forbid: list[str]
    config_valid: str | None
    echoes: dict[str, list[str]]
    moves: dict[str, list[str]]
    is_opaque: bool
    priority: int


_OWNERS: Final = {
    "keyauth_credentials": "key-auth", "jwt_secrets": "jwt", "acls": "acl",
    "basicauth_credentials": "basic-auth", "hmacauth_credentials": "hmac-auth",
    "oauth2_credentials": "oauth2", "oauth2_tokens": "oauth2",
}  # fmt: skip
"""Types of entities that a plugin brings along: without it their collections are 404."""


class SchemaSet:
    """All schemas of one version and one database mode; `plugins` limits what is installed."""

    def __init__(self, version: str, database: str, plugins: set[str] | None = None) -> None:
        self.version = version_of(version)
        self.database = database
        self._types = _read("types")
        known = self._known_plugins()
        self.plugins = {n: p for n, p in known.items() if plugins is None or n in plugins}
        self.entities = self._known_entities()
        self.by_endpoint = {e.endpoint: e for e in self.entities.values() if e.endpoint}
        self.children = self._children()

    def is_served(self, entity_type: str) -> bool:
        owner = _OWNERS.get(entity_type)
        return owner is None or owner in self.plugins

    def is_at_least(self, text: str) -> bool:
        return self.version >= version_of(text)

    def _fits(self, spec: dict[str, Any]) -> bool:
        since, until = spec.get("since"), spec.get("until")
        return (since is None or self.version >= version_of(since)) and (
            until is None or self.version < version_of(until)
        )

    def _fields(self, data: dict[str, Any]) -> Fields:
        found: Fields = {}
        for name, spec in data.items():
            variants = spec if isinstance(spec, list) else [spec]
            for variant in variants:
                if self._fits(variant):
                    found[name] = self._field(variant)
                    break
        return found

    def _field(self, spec: Field) -> Field:
        spec = {n: v for n, v in spec.items() if n not in ("since", "until")}
        if "use" in spec:
            spec = {**self._types[spec.pop("use")], **spec}
        if "one_of_postgres" in spec:
            wider = spec.pop("one_of_postgres")
            spec["one_of"] = wider if self.database == "postgres" else spec["one_of"]
        for inner in ("elements", "keys", "values"):
            if inner in spec:
                spec[inner] = self._field(spec[inner])
        if spec["type"] == "record":
            spec["fields"] = self._fields(spec["fields"])
        return spec

    def _known_plugins(self) -> dict[str, PluginSchema]:
        priorities = dict(_read("priorities"))
        if not self.is_at_least("3.5"):
            priorities |= _UNUSUAL_PRIORITIES_BEFORE_3_5
        found = {}
        for name, data in ((n, d) for f in _PLUGIN_FILES for n, d in _read(f).items()):
            if self._fits(data):
                found[name] = self._plugin(name, data, priorities[name])
        return found

    def _plugin(self, name: str, data: dict[str, Any], priority: int) -> PluginSchema:
        config = self._fields(data.get("config", {}))
        return PluginSchema(
            name=name,
            config=config,
            checks=[c for c in data.get("checks", []) if self._fits(c)],
            protocols=data.get("protocols", ["grpc", "grpcs", "http", "https"]),
            forbid=data.get("forbid", []),
            config_valid=data.get("config_valid"),
            echoes={n: p for n, p in data.get("echoes", {}).items() if n not in config},
            moves={n: p for n, p in data.get("moves", {}).items() if n not in config},
            is_opaque=data.get("opaque", False),
            priority=priority,
        )

    def _known_entities(self) -> dict[str, EntitySchema]:
        found = {}
        for name, data in {**_read("entities"), **_read("credentials")}.items():
            if data.get("plugin", "") and data["plugin"] not in self.plugins:
                continue
            found[name] = EntitySchema(
                name=name,
                fields=self._fields(data["fields"]),
                checks=data["checks"],
                endpoint=data["endpoint"],
                endpoint_key=data["endpoint_key"],
                nested=data.get("nested", {}),
                nested_key=data.get("nested_key"),
                cache_key=data.get("cache_key", []),
                transform=data.get("transform"),
                shorthands=data.get("shorthands", {}),
            )
        return found

    def _children(self) -> dict[str, dict[str, str]]:
        """Parent type -> child type -> the child's foreign key field."""
        found: dict[str, dict[str, str]] = {name: {} for name in self.entities}
        for name, schema in self.entities.items():
            for key, parent in schema.foreign.items():
                found[parent][name] = key
        return found


def as_kong_shows(fields: Fields, checks: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of `GET /schemas/...`; only what a client needs of it: types, defaults, limits."""
    return {
        "fields": [{n: _shown(f)} for n, f in fields.items()],
        "entity_checks": _shown_checks(checks),
    }


def _shown(spec: Field) -> Field:
    shown = {n: v for n, v in spec.items() if n not in ("valid", "subsets", "fields")}
    for inner in ("elements", "keys", "values"):
        if inner in shown:
            shown[inner] = _shown(shown[inner])
    if "fields" in spec:
        shown["fields"] = [{n: _shown(f)} for n, f in spec["fields"].items()]
    return shown


def _shown_checks(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{c["check"]: c["fields"]} for c in checks if "fields" in c and "within" not in c]

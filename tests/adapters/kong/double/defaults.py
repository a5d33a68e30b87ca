"""What Kong adds to an accepted entity: defaults, nulls, deprecated names beside the new."""

from __future__ import annotations

import copy
from typing import Any
from urllib.parse import urlsplit

from tests.adapters.kong.double.schema import Entity, EntitySchema, Field, Fields, PluginSchema


class DeprecatedFieldMismatch(Exception):
    """An old and a new name of one setting disagree: Kong 3.8 and later answer 500."""


def fill_defaults(fields: Fields, entity: Entity) -> Entity:
    """The entity with every field of the schema: its value, its default, or null."""
    return {name: _value(spec, entity, name) for name, spec in fields.items()}


def _value(spec: Field, entity: Entity, name: str) -> Any:
    if name not in entity:
        if "default" in spec:
            return copy.deepcopy(spec["default"])
        is_expanded = spec["type"] == "record" and spec.get("required")
        return fill_defaults(spec["fields"], {}) if is_expanded else None
    return _normal(spec, entity[name])


def _normal(spec: Field, value: Any) -> Any:
    kind = spec["type"]
    if kind == "set" and isinstance(value, list):
        return [one for at, one in enumerate(value) if one not in value[:at]]
    if kind == "array" and isinstance(value, list):
        return [_normal(spec["elements"], one) for one in value]
    if kind == "map" and isinstance(value, dict):
        return {key: _normal(spec["values"], one) for key, one in value.items()}
    if kind == "record" and isinstance(value, dict):
        return fill_defaults(spec["fields"], value)
    return copy.deepcopy(value)


def expand_shorthands(
    schema: EntitySchema, entity: Entity, plugins: dict[str, PluginSchema]
) -> Entity:
    """The entity with its shorthands written out. Raises `Mismatch`."""
    entity = dict(entity)
    if "url" in schema.shorthands and isinstance(entity.get("url"), str):
        entity |= _from_url(entity.pop("url"))
    if "hash_on" in schema.shorthands and entity.get("hash_on") not in (None, "none"):
        entity["algorithm"] = "consistent-hashing"
    if schema.name == "plugins" and isinstance(entity.get("config"), dict):
        plugin = plugins.get(str(entity.get("name")))
        if plugin:
            entity["config"] = _move_deprecated_fields(plugin, entity["config"])
    return entity


def _from_url(url: str) -> Entity:
    parsed = urlsplit(url)
    # `url` sets the port by the scheme; without it `protocol: https` keeps port 80.
    default = 443 if parsed.scheme == "https" else 80
    found: Entity = {
        "protocol": parsed.scheme, "host": parsed.hostname, "port": parsed.port or default
    }  # fmt: skip
    return found | ({"path": parsed.path} if parsed.path else {})


def _move_deprecated_fields(plugin: PluginSchema, config: Entity) -> Entity:
    config = copy.deepcopy(config)
    for old, new in {**plugin.echoes, **plugin.moves}.items():
        if old not in config:
            continue
        value, parents, last = config.pop(old), new[:-1], new[-1]
        place = config
        for part in parents:
            place = place.setdefault(part, {})
        # 3.9.1 answers 500 where the flat and the nested value differ.
        if last in place and place[last] != value:
            raise DeprecatedFieldMismatch(old)
        place[last] = value
    return config


def with_echoes(entity: Entity, plugins: dict[str, PluginSchema]) -> Entity:
    """A plugin as it is read back: the deprecated flat names stand beside the nested ones."""
    plugin = plugins.get(str(entity.get("name"))) if "config" in entity else None
    if plugin is None or not plugin.echoes:
        return entity
    config = dict(entity["config"])
    for old, (parent, name) in plugin.echoes.items():
        config[old] = (config.get(parent) or {}).get(name)
    return {**entity, "config": config}


def without_echoes(entity: Entity, plugins: dict[str, PluginSchema]) -> Entity:
    plugin = plugins.get(str(entity.get("name"))) if "config" in entity else None
    if plugin is None or not plugin.echoes:
        return entity
    return {
        **entity,
        "config": {n: v for n, v in entity["config"].items() if n not in plugin.echoes},
    }


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {n: without_nulls(v) for n, v in value.items() if v is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value

"""Keywords that 3.0 has otherwise or not at all: composition, arrays, objects, content.

What can be said by `not`, `anyOf` and `allOf` is said; the rest is left out so that a schema
accepts more rather than less.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stoa_gitops.adapter_sdk.openapi.exactness import Part
from stoa_gitops.adapter_sdk.openapi.jobs import Context, Job
from stoa_gitops.adapter_sdk.openapi.losses import Effect, Place
from stoa_gitops.adapter_sdk.openapi.objects import SCHEMA
from stoa_gitops.adapter_sdk.openapi.references import Where
from stoa_gitops.adapter_sdk.openapi.schema_values import (
    ABSENT,
    count_of,
    is_anything,
    required_of,
)
from stoa_gitops.adapter_sdk.openapi.schemas import Schema, SchemaLevel, handles

_ANNOTATING: Final = ("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas")
"""Keywords through which other schemas evaluate properties and items of the same value."""

_ALL_NAMES: Final = frozenset(("", ".*", "^.*$", "^.*", ".*$", "^"))
"""Patterns that fit every name."""

_BINARY: Final = ("image/", "audio/", "video/")


def _is_schema(value: Any) -> bool:
    return isinstance(value, (bool, Mapping))


# Composition


@handles("allOf")
def _all_of(level: SchemaLevel, keyword: str, value: Any) -> None:
    if not isinstance(value, list) or not value:
        level.lose_value(keyword)
        return
    level.add_schemas(keyword, level.out.setdefault("allOf", []))


@handles("anyOf")
def _any_of(level: SchemaLevel, keyword: str, value: Any) -> None:
    if not isinstance(value, list) or not value:
        level.lose_value(keyword)
        return
    branches: list[Any] = []
    level.put("anyOf", branches)
    level.add_schemas(keyword, branches)


@handles("oneOf")
def _one_of(level: SchemaLevel, keyword: str, value: Any) -> None:
    if not isinstance(value, list) or not value:
        level.lose_value(keyword)
        return
    branches: list[Any] = []
    holder = level.put("oneOf", branches)

    def loosen() -> None:
        del holder["oneOf"]
        if "anyOf" in holder:
            holder.setdefault("allOf", []).append({"anyOf": branches})
        else:
            holder["anyOf"] = branches
        level.lose(keyword, "written as anyOf, for its branches accept more than they did")

    level.add_schemas(keyword, branches, Part(level.job.part, loosen))


@handles("not")
def _not(level: SchemaLevel, keyword: str, value: Any) -> None:
    if not _is_schema(value):
        level.lose_value(keyword)
        return
    holder = level.put("not", None)

    def loosen() -> None:
        del holder["not"]
        level.lose(keyword, "left out, for what it refuses cannot be said exactly")

    level.add_schema(value, level.place(keyword), holder, "not", Part(level.job.part, loosen))


@handles("if")
def _if(level: SchemaLevel, keyword: str, value: Any) -> None:
    """Write `if A then B else C` as "B, or not A" and "A, or C"."""
    then, otherwise = level.source.get("then", True), level.source.get("else", True)
    if not (_is_schema(value) and _is_schema(then) and _is_schema(otherwise)):
        level.lose_value(keyword)
        return
    if not is_anything(then):
        negated: Schema = {}
        branches: list[Any] = [negated]
        holder: Schema = {"anyOf": branches}
        level.out.setdefault("allOf", []).append(holder)

        def loosen() -> None:
            holder.clear()
            level.lose("then", "left out, for its condition cannot be said exactly")

        part = Part(level.job.part, loosen)
        level.add_schema(value, level.place("if"), negated, "not", part)
        level.add_schema(then, level.place("then"), branches)
    if not is_anything(otherwise):
        branches = []
        level.out.setdefault("allOf", []).append({"anyOf": branches})
        level.add_schema(value, level.place("if"), branches)
        level.add_schema(otherwise, level.place("else"), branches)


@handles("then", "else")
def _without_if(level: SchemaLevel, keyword: str, value: Any) -> None:
    """Write nothing: `if` has written it, and without that it says nothing."""


@handles("dependentRequired")
def _dependent_required(level: SchemaLevel, keyword: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        level.lose_value(keyword)
        return
    for name, listed in value.items():
        names = required_of(listed)
        if names is ABSENT:
            level.lose_value(keyword)
        elif names:
            _add_alternatives(level, [_without(str(name)), {"required": names}])


@handles("dependentSchemas")
def _dependent_schemas(level: SchemaLevel, keyword: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        level.lose_value(keyword)
        return
    for name, schema in value.items():
        if not is_anything(schema):
            branches: list[Any] = [_without(str(name))]
            _add_alternatives(level, branches)
            level.add_schema(schema, Place(level.place(keyword), name), branches)


def _without(name: str) -> Schema:
    """Return the schema of all values but objects that have a property."""
    return {"not": {"type": "object", "required": [name]}}


def _add_alternatives(level: SchemaLevel, branches: list[Any]) -> None:
    level.out.setdefault("allOf", []).append({"anyOf": branches})


@handles("discriminator")
def _discriminator(level: SchemaLevel, keyword: str, value: Any) -> None:
    if not isinstance(value, Mapping) or not isinstance(value.get("propertyName"), str):
        level.lose_value(keyword)
        return
    mapping = value.get("mapping")
    changed = dict(value)
    if isinstance(mapping, Mapping):
        changed["mapping"] = {
            name: _mapped(level, item) if isinstance(item, str) else item
            for name, item in mapping.items()
        }
    level.out[keyword] = changed


def _mapped(level: SchemaLevel, value: str) -> str:
    if "/" not in value and "#" not in value:
        return value
    target = level.context.references.resolve(value, level.base, SCHEMA)
    return target.reference if target.where is Where.COMPONENT else value


# Arrays


@handles("items", "prefixItems", "unevaluatedItems", "additionalItems")
def _items(level: SchemaLevel, keyword: str, value: Any) -> None:
    if "items" in level.done:
        return
    level.done.add("items")
    source = level.source
    items, place = source.get("items", ABSENT), level.place("items")
    first, first_at = source.get("prefixItems"), "prefixItems"
    if isinstance(items, list):  # as JSON Schema had it before 2020-12
        first, first_at = items, "items"
        items, place = source.get("additionalItems", ABSENT), level.place("additionalItems")
    unevaluated = source.get("unevaluatedItems", ABSENT)
    if items is ABSENT and not is_anything(unevaluated) and unevaluated is not ABSENT:
        if source.keys().isdisjoint((*_ANNOTATING, "contains")):
            items, place = unevaluated, level.place("unevaluatedItems")
        else:
            level.lose("unevaluatedItems", "left out; other items are accepted")
    if isinstance(first, list) and first:
        _tuple(
            level,
            first_at,
            [(Place(level.place(first_at), i), s) for i, s in enumerate(first)],
            (place, items),
        )
    elif _is_schema(items):
        level.add_schema(items, place, level.home("items"), "items")
    elif items is not ABSENT:
        level.lose_value("items")


def _tuple(
    level: SchemaLevel,
    keyword: str,
    first: list[tuple[Place, Any]],
    rest: tuple[Place, Any],
) -> None:
    """Write items by position as items of any of their schemas, in any order."""
    home = level.home("items")
    if rest[1] is False:
        given = count_of(level.source.get("maxItems"))
        home["maxItems"] = len(first) if given is ABSENT else min(given, len(first))
        level.done.add("maxItems")
    is_open = rest[1] is ABSENT or is_anything(rest[1])
    schemas = first if rest[1] is ABSENT or rest[1] is False else [*first, rest]
    distinct: list[tuple[Place, Any]] = []
    # Few alternatives serve a reader; hundreds would also be compared with each other.
    for place, schema in schemas[:_MOST_POSITIONS]:
        if all(schema != other for _, other in distinct):
            distinct.append((place, schema))
    is_uniform = len(distinct) == 1 and len(schemas) <= _MOST_POSITIONS
    if is_uniform and (not is_open or is_anything(distinct[0][1])):
        level.add_schema(distinct[0][1], distinct[0][0], home, "items")
        return
    level.lose(keyword, "items are accepted in any order")
    if is_open or len(schemas) > _MOST_POSITIONS:
        home["items"] = {}
        return
    branches: list[Any] = []
    home["items"] = {"anyOf": branches}
    for place, schema in distinct:
        level.add_schema(schema, place, branches)


_MOST_POSITIONS: Final = 32


@handles("contains", "minContains", "maxContains")
def _contains(level: SchemaLevel, keyword: str, value: Any) -> None:
    """Write `contains A` as "not: all items are not A"; how often, 3.0 cannot say."""
    if "contains" in level.done or "contains" not in level.source:
        return
    level.done.add("contains")
    schema = level.source["contains"]
    if not _is_schema(schema):
        level.lose_value("contains")
        return
    at_least = count_of(level.source.get("minContains", 1))
    if at_least is ABSENT or at_least > 1:
        level.lose("minContains", "one such item is enough")
    if "maxContains" in level.source:
        level.lose("maxContains", "more such items are accepted")
    if at_least != 0:
        negated: Schema = {}
        level.put("not", {"type": "array", "items": negated})
        level.add_schema(schema, level.place("contains"), negated, "not")


# Objects


@handles("properties")
def _properties(level: SchemaLevel, keyword: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        level.lose_value(keyword)
        return
    properties: Schema = {}
    level.home(keyword)[keyword] = properties
    place = level.place(keyword)
    for name, schema in value.items():
        level.add_schema(schema, Place(place, name), properties, str(name))


@handles("additionalProperties", "patternProperties", "unevaluatedProperties")
def _additional(level: SchemaLevel, keyword: str, value: Any) -> None:
    if "additionalProperties" in level.done:
        return
    level.done.add("additionalProperties")
    source = level.source
    rest = source.get("additionalProperties", ABSENT)
    place = level.place("additionalProperties")
    unevaluated = source.get("unevaluatedProperties", ABSENT)
    if rest is ABSENT and not is_anything(unevaluated) and unevaluated is not ABSENT:
        if source.keys().isdisjoint(_ANNOTATING):
            rest, place = unevaluated, level.place("unevaluatedProperties")
        else:
            level.lose("unevaluatedProperties", "left out; other properties are accepted")
    if rest is not ABSENT and not _is_schema(rest):
        level.lose_value("additionalProperties")
        rest = ABSENT
    patterns = source.get("patternProperties")
    if isinstance(patterns, Mapping) and patterns:
        _patterns(level, patterns, place, rest)
    elif isinstance(rest, bool):
        level.home("additionalProperties")["additionalProperties"] = rest
    elif rest is not ABSENT:
        level.add_schema(rest, place, level.home("additionalProperties"), "additionalProperties")


def _patterns(level: SchemaLevel, patterns: Mapping[Any, Any], place: Place, rest: Any) -> None:
    """Write schemas for names of a pattern as schemas for all names that are not listed."""
    home, at = level.home("additionalProperties"), level.place("patternProperties")
    schemas = [(Place(at, name), schema) for name, schema in patterns.items()]
    is_all = len(schemas) == 1 and str(next(iter(patterns))) in _ALL_NAMES
    if is_all and "properties" not in level.source:
        level.add_schema(schemas[0][1], schemas[0][0], home, "additionalProperties")
        return
    level.lose("patternProperties", "names are not compared with its patterns")
    if rest is ABSENT or is_anything(rest):
        return
    if rest is not False:
        schemas.append((place, rest))
    if len(schemas) == 1:
        level.add_schema(schemas[0][1], schemas[0][0], home, "additionalProperties")
        return
    branches: list[Any] = []
    home["additionalProperties"] = {"anyOf": branches}
    for where, schema in schemas:
        level.add_schema(schema, where, branches)


@handles("propertyNames")
def _property_names(level: SchemaLevel, keyword: str, value: Any) -> None:
    if not is_anything(value) and value != {"type": "string"}:  # names are strings anyhow
        level.lose(keyword, "left out; every name is accepted")


# Content and examples


@handles("contentEncoding", "contentMediaType")
def _content(level: SchemaLevel, keyword: str, value: Any) -> None:
    if "content" in level.done:
        return
    level.done.add("content")
    encoding, media = level.source.get("contentEncoding"), level.source.get("contentMediaType")
    has_format = "format" in level.source
    if encoding == "base64" and not has_format:
        level.home_of_format("byte")["format"] = "byte"
    elif encoding is not None:
        level.lose("contentEncoding", "left out", Effect.TEXT)
    is_binary = isinstance(media, str) and encoding is None and not has_format
    if is_binary and (media == "application/octet-stream" or str(media).startswith(_BINARY)):
        level.home_of_format("binary")["format"] = "binary"
        if media == "application/octet-stream":
            return
    if media is not None:
        level.lose("contentMediaType", "left out", Effect.TEXT)


@handles("examples")
def _examples(level: SchemaLevel, keyword: str, value: Any) -> None:
    if not isinstance(value, list):
        level.lose(keyword, "left out, for it is no list", Effect.TEXT)
        return
    has_own = "example" in level.source
    if value and not has_own:
        level.out["example"] = value[0]
    if len(value) > (0 if has_own else 1):
        kept = "example" if has_own else "the first one"
        level.lose(keyword, f"only {kept} is kept", Effect.TEXT)


@handles("$defs", "definitions")
def _definitions(level: SchemaLevel, keyword: str, value: Any) -> None:
    """Write nothing: what is referred to has become a component."""


@handles("$comment", "$schema", "$id", "$anchor", "$dynamicAnchor", "$vocabulary", "contentSchema")
def _words(level: SchemaLevel, keyword: str, value: Any) -> None:
    level.lose(keyword, "left out", Effect.TEXT)


def convert_schema(context: Context, job: Job) -> Schema:
    """Return the new schema for one of 2020-12; its parts are filled in by later jobs."""
    if isinstance(job.value, bool):
        return {} if job.value else {"not": {}}
    if not isinstance(job.value, Mapping):
        message = "a schema is a mapping or a boolean; everything is accepted here"
        context.losses.add(
            job.place.parent or job.place, str(job.place.key), message, Effect.VALIDATION
        )
        context.exactness.mark(job.part)
        return {}
    return SchemaLevel(context, job).convert()

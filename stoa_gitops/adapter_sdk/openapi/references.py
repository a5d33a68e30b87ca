"""Finds what each reference of a document names, and what has to become a component for that.

OpenAPI 3.1 has references to any place of a document, to anchors and to addresses; in 3.0 what is
referred to stands in `components`. Nothing is fetched: what is elsewhere stays where it is.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final
from urllib.parse import unquote, urldefrag

from stoa_gitops.adapter_sdk.openapi.bounds import Addresses, base_in, join
from stoa_gitops.adapter_sdk.openapi.losses import Place
from stoa_gitops.adapter_sdk.openapi.objects import (
    DOCUMENT,
    FIELDS,
    NAMED,
    PATH_ITEM,
    REFERABLE,
    SCHEMA,
    SCHEMA_LIST,
    SCHEMA_MAP,
    SCHEMA_ONE,
    SECTIONS,
    Field,
    Shape,
    is_extension,
)

_STRUCTURE: Final = frozenset((
    "components", "schemas", "paths", "properties", "schema", "content", "responses", "$defs",
    "definitions", "parameters", "requestBodies", "headers", "webhooks", "pathItems",
))  # fmt: skip
"""Keys that say nothing about what stands below them."""

_NAME_PARTS: Final = 4
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]+")
_SIMPLE_IF: Final = 64
"""Most values of an `if` that is written twice; a larger one becomes a component."""


class Where(Enum):
    """What a reference names."""

    COMPONENT = "a component of the converted document"
    INLINE = "a value that is written in the place of the reference"
    ELSEWHERE = "something in another document"
    NOWHERE = "nothing"


@dataclass(frozen=True, slots=True)
class Target:
    """What one reference names.

    name   of the component, where there is one
    value  what stands there in the document as it was
    """

    where: Where
    section: str = ""
    name: str = ""
    value: Any = None
    place: Place = field(default_factory=Place)

    @property
    def reference(self) -> str:
        """The reference to the component."""
        return f"#/components/{self.section}/{self.name}"


_ELSEWHERE: Final = Target(Where.ELSEWHERE)
_NOWHERE: Final = Target(Where.NOWHERE)


@dataclass(frozen=True, slots=True)
class Hoisted:
    """A value that becomes a component, for it is referred to where it stands."""

    kind: str
    name: str
    value: Mapping[str, Any]
    place: Place
    base: str


@dataclass(slots=True)
class _Step:
    kind: str
    value: Any
    base: str
    place: Place


class References:
    """The references of one document that are used by what is converted."""

    def __init__(self, document: Mapping[str, Any], addresses: Addresses) -> None:
        self._document = document
        self._addresses = addresses
        self._targets: dict[tuple[str, str, str], Target] = {}
        self._seen: set[tuple[int, str]] = set()
        self._names: dict[str, set[str]] = {}
        self._next: dict[tuple[str, str], int] = {}
        self._todo: deque[_Step] = deque()
        self._hoisted: dict[tuple[int, str], Hoisted] = {}
        components = document.get("components")
        for section in SECTIONS.values():
            held = components.get(section) if isinstance(components, Mapping) else None
            self._names[section] = set(map(str, held)) if isinstance(held, Mapping) else set()
        self._walk(_Step(DOCUMENT, document, "", Place()))

    @property
    def hoisted(self) -> tuple[Hoisted, ...]:
        """What becomes a component, in the order of its discovery."""
        return tuple(self._hoisted.values())

    def hoisted_as(self, value: object, kind: str) -> Hoisted | None:
        """Return the component that a value of the document becomes, None if it becomes none."""
        return self._hoisted.get((id(value), kind)) if self._hoisted else None

    def is_used(self, value: object, kind: str) -> bool:
        """Whether a value is converted as that kind of object."""
        return (id(value), kind) in self._seen

    def resolve(self, reference: str, base: str, kind: str) -> Target:
        """Return what a reference names that stands at a base where a kind of object is due."""
        key = (reference, base, kind)
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = self._find(reference, base, kind)
        return target

    def dynamic_is_clear(self, reference: str) -> bool:
        """Whether a `$dynamicRef` names the same wherever it is evaluated from."""
        return self._addresses.dynamic.get(reference.rpartition("#")[2], 0) <= 1

    def _find(self, reference: str, base: str, kind: str) -> Target:
        uri, fragment = urldefrag(join(base, reference))
        uri = base if reference.startswith("#") else uri
        resource = self._addresses.resources.get(uri) if uri else self._document
        if resource is None:
            return _ELSEWHERE
        fragment = unquote(fragment)
        parts: Sequence[str] = ()
        value: Any
        if fragment.startswith("/"):
            parts = [part.replace("~1", "/").replace("~0", "~") for part in fragment[1:].split("/")]
            value = _walk_down(resource, parts)
        elif fragment:
            value = self._addresses.anchors.get((uri, fragment))
        else:
            value = None if resource is self._document else resource
        if isinstance(value, bool) and kind == SCHEMA:
            return Target(Where.INLINE, value=value)
        if not isinstance(value, Mapping):
            return _NOWHERE
        place = self._place_of(value, resource, parts)
        step = _Step(kind, value, uri, place)
        if kind == PATH_ITEM:
            self._todo.append(step)
            return Target(Where.INLINE, value=value, place=place)
        section = SECTIONS[kind]
        if not uri and len(parts) == 3 and tuple(parts[:2]) == ("components", section):
            return Target(Where.COMPONENT, section, parts[2], value)
        self._todo.append(step)
        hoisted = self._hoist(step, _name(parts or [fragment or uri]))
        return Target(Where.COMPONENT, section, hoisted.name, value)

    def _place_of(self, value: Any, resource: Any, parts: Sequence[str]) -> Place:
        places = self._addresses.places
        place = places.get(id(value)) or places.get(id(resource)) or Place()
        if id(value) not in places:
            for part in parts:
                place = Place(place, part)
        return place

    def _hoist(self, step: _Step, wanted: str) -> Hoisted:
        key = (id(step.value), step.kind)
        hoisted = self._hoisted.get(key)
        if hoisted is None:
            name = self._free_name(SECTIONS[step.kind], wanted)
            hoisted = Hoisted(step.kind, name, step.value, step.place, step.base)
            self._hoisted[key] = hoisted
        return hoisted

    def _free_name(self, section: str, wanted: str) -> str:
        taken, name = self._names[section], wanted
        while name in taken:
            # Counted on, so that a thousand schemas of one name take no million looks.
            number = self._next[section, wanted] = self._next.get((section, wanted), 1) + 1
            name = f"{wanted}_{number}"
        taken.add(name)
        return name

    def _walk(self, start: _Step) -> None:
        """Resolve the references of everything that is converted, and of what they lead to."""
        self._todo.append(start)
        while self._todo:
            step = self._todo.popleft()
            if not isinstance(step.value, Mapping):
                continue
            key = (id(step.value), step.kind)
            if key in self._seen:
                continue
            self._seen.add(key)
            if step.kind == SCHEMA:
                self._todo.extend(self._in_schema(step))
            else:
                self._todo.extend(self._in_object(step))

    def _in_object(self, step: _Step) -> Iterator[_Step]:
        value, kind = step.value, step.kind
        reference = value.get("$ref")
        if kind in REFERABLE and isinstance(reference, str):
            self.resolve(reference, "", kind)
            if kind != PATH_ITEM:
                return
        for name, item in value.items():
            place = Place(step.place, name)
            if kind in NAMED:
                if not is_extension(name):
                    yield _Step(NAMED[kind], item, "", place)
                continue
            field_: Field = FIELDS[kind].get(name)
            if field_ is not None:
                yield from _items(field_, item, place)

    def _in_schema(self, step: _Step) -> Iterator[_Step]:
        value = step.value
        base = base_in(value, step.base) if "$id" in value else step.base
        for keyword in ("$ref", "$dynamicRef"):
            reference = value.get(keyword)
            if isinstance(reference, str):
                self.resolve(reference, base, SCHEMA)
        for reference in mapped_references(value.get("discriminator")):
            self.resolve(reference, base, SCHEMA)
        for keyword, item in value.items():
            place = Place(step.place, keyword)
            if isinstance(item, Mapping):
                if keyword in SCHEMA_ONE:
                    yield _Step(SCHEMA, item, base, place)
                elif keyword in SCHEMA_MAP:
                    yield from (
                        _Step(SCHEMA, schema, base, Place(place, name))
                        for name, schema in item.items()
                    )
            elif isinstance(item, list) and keyword in SCHEMA_LIST:
                yield from (
                    _Step(SCHEMA, schema, base, Place(place, i)) for i, schema in enumerate(item)
                )
        self._hoist_parts(step, base)

    def _hoist_parts(self, step: _Step, base: str) -> None:
        """Make components of definitions, and of a condition that would be written twice."""
        value = step.value
        definitions = value.get("$defs")
        if isinstance(definitions, Mapping):
            for name, schema in definitions.items():
                if isinstance(schema, Mapping):
                    place = Place(Place(step.place, "$defs"), name)
                    self._hoist(_Step(SCHEMA, schema, base, place), _name([str(name)]))
        condition = value.get("if")
        is_twice = "then" in value and "else" in value and isinstance(condition, Mapping)
        if is_twice and not _is_simple(condition):
            place = Place(step.place, "if")
            self._hoist(_Step(SCHEMA, condition, base, place), _name(place.parts))


def mapped_references(discriminator: object) -> Iterator[str]:
    """Yield the references in the mapping of a discriminator; names of schemas are none."""
    mapping = discriminator.get("mapping") if isinstance(discriminator, Mapping) else None
    for value in mapping.values() if isinstance(mapping, Mapping) else ():
        if isinstance(value, str) and ("/" in value or "#" in value):
            yield value


def _items(field_: tuple[Shape, str], value: Any, place: Place) -> Iterator[_Step]:
    shape, kind = field_
    if shape is Shape.ONE:
        yield _Step(kind, value, "", place)
    elif shape is Shape.MAP and isinstance(value, Mapping):
        yield from (_Step(kind, item, "", Place(place, name)) for name, item in value.items())
    elif shape is Shape.LIST and isinstance(value, list):
        yield from (_Step(kind, item, "", Place(place, i)) for i, item in enumerate(value))


def _walk_down(value: Any, parts: Sequence[str]) -> Any:
    """Return what a pointer names (RFC 6901 §4), None for nothing."""
    for part in parts:
        if isinstance(value, Mapping):
            # YAML reads the keys of responses as integers.
            found = value.get(part)
            if found is None and part.isdecimal() and len(part) < 10:
                found = value.get(int(part))
            value = found
        elif isinstance(value, list):
            is_index = part.isdecimal() and len(part) < 10 and int(part) < len(value)
            value = value[int(part)] if is_index else None
        else:
            return None
    return value


def _name(parts: Sequence[str]) -> str:
    """Return a name for a component (`^[a-zA-Z0-9._-]+$`) from where it stood."""
    if len(parts) > 1 and parts[-2] in ("$defs", "definitions"):
        parts = parts[-1:]
    last = [part for part in parts if part not in _STRUCTURE][-_NAME_PARTS:]
    words = (_NOT_IN_NAMES.sub("_", part[:100]).strip("_") for part in last)
    return ".".join(word for word in words if word) or "schema"


def _is_simple(condition: Mapping[str, Any]) -> bool:
    """Whether a condition is small and has no condition in it."""
    todo: list[Any] = [condition]
    count = 0
    while todo:
        value = todo.pop()
        count += 1
        if count > _SIMPLE_IF or (isinstance(value, Mapping) and "if" in value):
            return False
        if isinstance(value, Mapping):
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)
    return True

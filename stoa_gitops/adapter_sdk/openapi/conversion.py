"""Rewrites an OpenAPI 3.1 document as 3.0.3: `convert`.

Sources: OpenAPI 3.0.3 and 3.1.1; learn.openapis.org/upgrading/v3.0-to-v3.1, read in reverse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from stoa_gitops.adapter_sdk.openapi.bounds import check_bounds, survey
from stoa_gitops.adapter_sdk.openapi.errors import ConversionRefused
from stoa_gitops.adapter_sdk.openapi.exactness import Part
from stoa_gitops.adapter_sdk.openapi.jobs import REMOVED, Context, Job
from stoa_gitops.adapter_sdk.openapi.losses import ConversionLoss, Effect, Place
from stoa_gitops.adapter_sdk.openapi.objects import (
    COMPONENTS,
    DOCUMENT,
    FIELDS,
    NAMED,
    OPERATION,
    PATH_ITEM,
    REFERABLE,
    RESPONSE,
    SCHEMA,
    SECTIONS,
    SECURITY_SCHEME,
    Field,
    Shape,
    is_extension,
)
from stoa_gitops.adapter_sdk.openapi.references import References, Target, Where
from stoa_gitops.adapter_sdk.openapi.schema_keywords import convert_schema
from stoa_gitops.adapter_sdk.openapi.security import SecuritySchemes

VERSION: Final = "3.0.3"

_LICENSE_ID: Final = re.compile(r"[A-Za-z0-9.+-]+")

_HOPS: Final = 64
"""Most references after each other that make one path item."""

_DROPPED: Final[Mapping[tuple[str, str], tuple[str, Effect]]] = {
    (DOCUMENT, "webhooks"): ("webhooks are left out", Effect.CONTENT),
    (DOCUMENT, "jsonSchemaDialect"): (
        "left out; schemas are read as JSON Schema 2020-12", Effect.TEXT,
    ),
}  # fmt: skip


class Conversion(NamedTuple):
    """A document of OpenAPI 3.0, and what it does not say any more."""

    document: Mapping[str, Any]
    losses: tuple[ConversionLoss, ...]


def convert(document: Mapping[str, Any]) -> Conversion:
    """Return a parsed OpenAPI 3.1 document as 3.0.3, with what is lost; 3.0 is returned as it is.

    The document is not changed, and values such as examples are shared with the new one. References
    to other documents are kept and listed; nothing is fetched. Raises ConversionRefused for another
    version, and for a document that nests without end or repeats itself without measure.
    """
    version = str(document.get("openapi", "")) if isinstance(document, Mapping) else ""
    if re.match(r"3\.0\b", version):
        check_bounds(document)
        return Conversion(document, ())
    if not re.match(r"3\.1\b", version):
        raise ConversionRefused(
            f"only OpenAPI 3.1 can be rewritten as {VERSION}; "
            f"the document says {version[:20] or 'no version'}"
        )
    return _Converter(document).run()


class _Converter:
    """The conversion of one document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._source = document
        self._references = References(document, survey(document))
        self._context = Context(document, self._references)
        self._losses = self._context.losses
        self._security = SecuritySchemes(document, self._references)

    def run(self) -> Conversion:
        result: dict[str, Any] = {}
        context = self._context
        context.add(Job(DOCUMENT, self._source, Place(), result, DOCUMENT, context.outer))
        self._work()
        document: dict[str, Any] = result[DOCUMENT]
        document["openapi"] = VERSION
        document.setdefault("paths", {})
        self._add_components(document)
        self._work()
        context.finish()
        return Conversion(document, self._losses.losses)

    def _add_components(self, document: dict[str, Any]) -> None:
        """Add what was referred to where it stood."""
        for hoisted in self._references.hoisted:
            section = SECTIONS[hoisted.kind]
            held = document.setdefault("components", {}).setdefault(section, {})
            part = self._component_part(section, hoisted.name)
            job = Job(hoisted.kind, hoisted.value, hoisted.place, held, hoisted.name, part)
            job.base, job.is_root = hoisted.base, True
            self._context.add(job)

    def _component_part(self, section: str, name: str) -> Part:
        return Part(component=name) if section == "schemas" else self._context.outer

    def _work(self) -> None:
        jobs = self._context.jobs
        while jobs:
            job = jobs.pop()
            converted = self._convert(job)
            if converted is REMOVED:
                self._context.remove(job)
            job.into[job.key] = converted

    def _convert(self, job: Job) -> Any:
        hoisted = None if job.is_root else self._references.hoisted_as(job.value, job.kind)
        if hoisted is not None:
            if job.kind == SCHEMA:
                self._context.exactness.add_reference(job.part, hoisted.name)
            return {"$ref": f"#/components/{SECTIONS[job.kind]}/{hoisted.name}"}
        if job.kind == SCHEMA:
            return convert_schema(self._context, job)
        if job.value is None:  # what YAML makes of a key without a value
            job.value = {}
        if not isinstance(job.value, Mapping):
            self._lose_value(job)
            return REMOVED
        if job.kind == PATH_ITEM:
            return self._path_item(job)
        reference = job.value.get("$ref") if job.kind in REFERABLE else None
        if isinstance(reference, str):
            return self._reference(job, reference)
        return self._object(job)

    def _lose_value(self, job: Job) -> None:
        message = "left out, for it is not what OpenAPI has there"
        parent = job.place.parent or job.place
        self._losses.add(parent, str(job.place.key), message, Effect.CONTENT)

    # References

    def _reference(self, job: Job, reference: str) -> Any:
        for name in job.value.keys() - {"$ref"}:
            message = f"{name} beside $ref is left out"
            self._losses.add(job.place, str(name), message, Effect.TEXT)
        target = self._references.resolve(reference, "", job.kind)
        if target.where is Where.COMPONENT:
            return {"$ref": target.reference}
        self._lose_reference(job, target)
        if target.where is Where.ELSEWHERE:
            return {"$ref": reference}
        return {"description": ""} if job.kind == RESPONSE else REMOVED

    def _lose_reference(self, job: Job, target: Target) -> None:
        is_elsewhere = target.where is Where.ELSEWHERE
        message = (
            "$ref: leads to another document, which is neither read nor converted"
            if is_elsewhere
            else "$ref: left out, for it leads nowhere in this document"
        )
        self._losses.add(job.place, "$ref", message, Effect.CONTENT)

    def _path_item(self, job: Job) -> Any:
        """Return a path item with what it refers to written into it, its own fields first."""
        out: dict[str, Any] = {}
        value, place, inside = job.value, job.place, job.inside
        for _ in range(_HOPS):
            step = Job(job.kind, value, place, out, None, job.part, inside=inside)
            self._fields(step, out)
            reference = value.get("$ref")
            if not isinstance(reference, str):
                return out
            target = self._references.resolve(reference, "", PATH_ITEM)
            if target.where is not Where.INLINE:
                self._lose_reference(step, target)
                if target.where is Where.ELSEWHERE:
                    out["$ref"] = reference
                return out
            if _is_inside(inside, id(target.value)) or target.value is job.value:
                break
            value, place = target.value, target.place
            inside = (id(value), inside)
        message = "$ref: left out, for the path item contains itself"
        self._losses.add(place, "$ref", message, Effect.CONTENT)
        return out

    # Objects

    def _object(self, job: Job) -> dict[str, Any]:
        out: dict[str, Any] = {}
        if job.kind in NAMED:
            for name, value in job.value.items():
                place = Place(job.place, name)
                if is_extension(name):
                    out[name] = value
                else:
                    self._add(NAMED[job.kind], value, place, out, str(name), job)
            if job.kind == "responses" and not any(not is_extension(name) for name in out):
                out["default"] = {"description": ""}
            return out
        self._fields(job, out)
        if job.kind == OPERATION:
            out.setdefault("responses", {"default": {"description": ""}})
        elif job.kind == RESPONSE:
            out.setdefault("description", "")
        elif job.kind == "info":
            self._info(job, out)
        elif job.kind == "license":
            self._license(job, out)
        return out

    def _fields(self, job: Job, out: dict[str, Any]) -> None:
        fields = FIELDS[job.kind]
        for name, value in job.value.items():
            if name in out or name == "$ref":
                continue
            if is_extension(name):
                out[name] = value
            elif name not in fields:
                self._lose_field(job, str(name), value)
            elif name == "security":
                place = Place(job.place, name)
                out[name] = self._security.requirements(value, place, self._losses)
            elif fields[name] is None:
                out[name] = value
            elif value is not None:
                self._held(job, str(name), value, fields[name], out)

    def _held(self, job: Job, name: str, value: Any, field: Field, out: dict[str, Any]) -> None:
        """Add jobs for the objects in a field."""
        assert field is not None
        shape, kind = field
        place = Place(job.place, name)
        if shape is Shape.ONE:
            self._add(kind, value, place, out, name, job)
        elif shape is Shape.LIST and isinstance(value, list):
            items: list[Any] = []
            out[name] = items
            for index, item in enumerate(value):
                self._add(kind, item, Place(place, index), items, None, job)
        elif shape is Shape.MAP and isinstance(value, Mapping):
            held: dict[str, Any] = {}
            out[name] = held
            for key, item in value.items():
                if kind == SECURITY_SCHEME and self._security.is_dropped(str(key)):
                    message = "mutualTLS is no scheme of OpenAPI 3.0; left out"
                    self._losses.add(place, str(key), message, Effect.SECURITY)
                    continue
                self._add(kind, item, Place(place, key), held, str(key), job)
        else:
            self._lose_value(Job(kind, value, place, out, name, job.part))

    def _add(self, kind: str, value: Any, place: Place, into: Any, key: Any, job: Job) -> None:
        part = self._context.outer
        if job.kind == COMPONENTS and kind == SCHEMA:
            part = self._component_part("schemas", str(key))
        self._context.add(Job(kind, value, place, into, key, part, inside=job.inside))

    def _lose_field(self, job: Job, name: str, value: Any) -> None:
        if job.kind == COMPONENTS and name == "pathItems" and isinstance(value, Mapping):
            for key, item in value.items():
                if not self._references.is_used(item, PATH_ITEM):
                    message = "a path item that nothing refers to is left out"
                    self._losses.add(Place(job.place, name), str(key), message, Effect.CONTENT)
            return
        if (job.kind, name) in (("info", "summary"), ("license", "identifier")):
            return  # moved, not lost
        default = (f"OpenAPI 3.0 has no field {name} here; left out", Effect.TEXT)
        self._losses.add(job.place, name, *_DROPPED.get((job.kind, name), default))

    def _info(self, job: Job, out: dict[str, Any]) -> None:
        summary = job.value.get("summary")
        if isinstance(summary, str) and summary:
            texts = (summary, out.get("description"))
            out["description"] = "\n\n".join(str(text) for text in texts if text)

    def _license(self, job: Job, out: dict[str, Any]) -> None:
        identifier = job.value.get("identifier")
        if not isinstance(identifier, str):
            return
        if "url" not in out and _LICENSE_ID.fullmatch(identifier):
            out["url"] = f"https://spdx.org/licenses/{identifier}.html"
        else:
            message = "the identifier is left out, for no address says the same"
            self._losses.add(job.place, "identifier", message, Effect.TEXT)


def _is_inside(inside: tuple[int, Any] | None, wanted: int) -> bool:
    while inside is not None:
        found, inside = inside
        if found == wanted:
            return True
    return False

"""The context in which a document is parsed, and parsers of fields that several kinds share."""

from __future__ import annotations

import re
import sys
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

from stoa_gitops.catalog.documents.canonical_json import to_bytes
from stoa_gitops.catalog.documents.schemas import Schemas
from stoa_gitops.catalog.evaluation.definitions import (
    NO_ANNOTATIONS,
    Annotations,
    PolicyDefinition,
    PolicyUse,
    RequiredCapability,
    SecretUse,
)
from stoa_gitops.catalog.evaluation.http_methods import find_unregistered
from stoa_gitops.catalog.evaluation.policy_values import find_odd_values
from stoa_gitops.catalog.findings import Finding, shown, suggest
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import SECRET_FIELD, SECRET_MARK, Json
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.model.secret import SecretRef

_Part = TypeVar("_Part", bound=Hashable)

_ANNOTATIONS: Final = "gostoa.dev/"
_KNOWN: Final = ("moved-from", "protect", "ignore-fields", "lint-ignore")
_TENANT: Final = "tenant"
_KNOWN_OF_TENANTS: Final = ("allow-empty", "lint-ignore")
_CODES: Final = re.compile(r"\s*lint\.[a-z-]+\s*(?:,\s*lint\.[a-z-]+\s*)*")


@dataclass(slots=True)
class DocumentContext:
    """Where a document lies, what lies beside it, and the findings about it.

    key        kind (lower case), tenant and name
    source     file and first line
    document   number of the document in its file, from 0
    openapi    path and SHA-256 of an API's OpenAPI document
    wsdl       the same of its WSDL document; an API has one of both at most
    is_broken  it must not be used though nothing is wrong in this very document
    secrets    its references to secrets
    """

    key: Key
    source: SourceRef
    document: int
    schemas: Schemas
    openapi: dict[str, str] | None = None
    wsdl: dict[str, str] | None = None
    findings: list[Finding] = field(default_factory=list)
    is_broken: bool = False
    secrets: list[SecretUse] = field(default_factory=list)

    def report_error(self, code: str, message: str, pointer: Pointer, hint: str = "") -> None:
        """Add an error at a place of the document."""
        self.findings.append(Finding(code, message, pointer, hint, document=self.document))

    def note_secrets(self, value: Json, at: Pointer = (), *, most: int = sys.maxsize) -> None:
        """Note the references in a canonical value that stands at a place of the document.

        `most` is how many it has at most, if that is known: nobody looks on after the last one.
        """
        found: list[tuple[Pointer, str]] = []
        _find_references(value, at, found, most)
        self.secrets.extend(_secret_use(path, text) for path, text in found)


def _find_references(value: Json, at: Pointer, found: list[tuple[Pointer, str]], most: int) -> None:
    """Add place and text of each reference in a canonical tree of plain dicts and lists.

    As `secret_paths`, in a tenth of its time: every document with a reference is searched.
    """
    if type(value) is dict:
        if SECRET_FIELD in value and len(value) == 1:
            text = value[SECRET_FIELD]
            if type(text) is str:
                found.append((at, text))
                return
        items: Iterable[tuple[str | int, Json]] = value.items()
    else:
        items = enumerate(cast("list[Json]", value))
    for name, item in items:
        kind = type(item)
        if kind is dict or kind is list:
            _find_references(item, (*at, name), found, most)
            if len(found) >= most:
                return


@lru_cache(maxsize=4_000)
def _secret_use(path: Pointer, text: str) -> SecretUse:
    reference = SecretRef.parse(text)
    return SecretUse(reference, (*path, reference.scheme))


@lru_cache(maxsize=1_000)
def required(capability: str, *pointer: str | int) -> RequiredCapability:
    """Return the requirement of a capability at a place of a document, one object for all equal."""
    return RequiredCapability(capability, pointer)


@lru_cache(maxsize=4_000)
def intern_part(part: _Part) -> _Part:
    """Return the equal part of another document, so that both hold one object.

    Documents are much alike and are held as long as the process runs.
    """
    return part


def read_annotations(value: dict[str, Any], context: DocumentContext) -> Annotations:
    """Return the annotations of `gostoa.dev/`; one that the kind does not know is an error."""
    annotations = value["metadata"].get("annotations")
    if not annotations:
        return NO_ANNOTATIONS
    names = _KNOWN_OF_TENANTS if context.key.kind == _TENANT else _KNOWN
    found: dict[str, Any] = {}
    for annotation, text in annotations.items():
        at: Pointer = ("metadata", "annotations", annotation)
        if not annotation.startswith(_ANNOTATIONS):  # it belongs to another tool
            continue
        name = annotation.removeprefix(_ANNOTATIONS)
        if name not in names:
            hint = suggest(annotation, [_ANNOTATIONS + known for known in names])
            message = f"{annotation} has no meaning here"
            context.report_error("annotation.unknown", message, at, hint)
            continue
        match name:
            case "protect":
                found["protected"] = _is_true(text, context, at)
            case "allow-empty":
                found["allow_empty"] = _is_true(text, context, at)
            case "moved-from":
                found["moved_from"] = _moved_from(text, context, at)
            case "lint-ignore":
                # Advice reads it; here only a value that switches nothing off is noticed.
                if not _CODES.fullmatch(text):
                    message = f"{shown(text)} is not a list of codes such as lint.open-api"
                    context.report_error("annotation.value", message, at)
            case "ignore-fields":
                parts = {part.strip() for part in text.split(",")} - {""}
                found["ignore_fields"] = tuple(sorted(parts))
    return Annotations(**found)


def _is_true(text: str, context: DocumentContext, at: Pointer) -> bool:
    if text not in ("true", "false"):
        context.report_error("annotation.value", f'{shown(text)} is not "true" or "false"', at)
    return text == "true"


def _moved_from(text: str, context: DocumentContext, at: Pointer) -> Key | None:
    try:
        key = Key.parse(text)
    except ValueError as error:
        context.report_error("annotation.value", str(error), at)
        return None
    if key.kind != context.key.kind or key == context.key:
        context.report_error("annotation.value", f"{text} is not another {context.key.kind}", at)
        return None
    if key.tenant != context.key.tenant:
        context.report_error(
            "annotation.value",
            f"{text} belongs to another tenant, whose objects nobody else renames",
            at,
            "create it under the new tenant, and remove the old document after that was applied",
        )
        return None
    return key


@lru_cache(maxsize=1_000)
def _named_uses(names: tuple[str, ...]) -> tuple[PolicyUse, ...]:
    return tuple(PolicyUse(("spec", "policies", i), name=name) for i, name in enumerate(names))


def read_policy_uses(uses: list[Any], context: DocumentContext) -> tuple[PolicyUse, ...]:
    """Return the entries of `spec.policies`: names of policies, or policies written out."""
    if all(isinstance(use, str) for use in uses):
        return _named_uses(tuple(uses))
    out = []
    for index, use in enumerate(uses):
        at = intern_part(("spec", "policies", index))
        if isinstance(use, str):
            out.append(PolicyUse(at, name=use))
        else:
            out.append(PolicyUse(at, inline=read_policy(use, context, at)))
    return tuple(out)


def read_policy(holder: dict[str, Any], context: DocumentContext, at: Pointer) -> PolicyDefinition:
    """Return the policy in a valid mapping with type, config, priority and onUnsupported."""
    config = context.schemas.normaliser(holder["type"])(holder["config"])
    raw = to_bytes(config)
    if SECRET_MARK in raw:
        context.note_secrets(config, (*at, "config"))
    listed = config.get("methods")
    methods = [str(method).upper() for method in listed] if isinstance(listed, list) else []
    place = (*at, "config", "methods")
    context.findings.extend(find_unregistered(methods, place, context.document))
    found = find_odd_values(holder["type"], holder["config"], (*at, "config"), context.document)
    context.findings.extend(found)
    return PolicyDefinition(
        holder["type"],
        raw,
        holder["priority"],
        holder["onUnsupported"],
        context.source,
        at,
    )

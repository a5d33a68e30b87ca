"""What the facts of documents of every kind are made with."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeVar

from stoa_gitops.catalog.documents.canonical_form import normaliser
from stoa_gitops.catalog.documents.canonical_json import to_bytes
from stoa_gitops.catalog.findings import Finding, shown, suggest
from stoa_gitops.catalog.kinds.definitions import (
    UNMARKED,
    Annotations,
    PolicyFacts,
    PolicyUse,
    RequiredCapability,
)
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import SourceRef

_Part = TypeVar("_Part", bound=Hashable)

_ANNOTATIONS: Final = "gostoa.dev/"
_KNOWN: Final = ("moved-from", "protect", "ignore-fields")


@dataclass(slots=True)
class Place:
    """Where a document stands, what it lies beside, and what is found in it.

    `is_broken` when it must not be used though nothing is found in this very document.
    """

    key: Key
    source: SourceRef
    document: int
    openapi: dict[str, str] | None = None
    findings: list[Finding] = field(default_factory=list)
    is_broken: bool = False

    def say(self, code: str, message: str, pointer: Pointer, hint: str = "") -> None:
        """Note an error."""
        self.findings.append(Finding(code, message, pointer, hint, document=self.document))


@lru_cache(maxsize=1_000)
def need(capability: str, *pointer: str | int) -> RequiredCapability:
    """Return the one need of this capability at this place."""
    return RequiredCapability(capability, pointer)


@lru_cache(maxsize=4_000)
def shared(part: _Part) -> _Part:
    """Return the part of another document that is equal: documents are much alike, and are held for long."""
    return part


def marks_of(value: dict[str, Any], place: Place) -> Annotations:
    """Read the annotations that have a meaning."""
    annotations = value["metadata"].get("annotations")
    if not annotations:
        return UNMARKED
    protected, moved, ignored = False, None, ()
    for name, text in annotations.items():
        at: Pointer = ("metadata", "annotations", name)
        if not name.startswith(_ANNOTATIONS):
            continue
        match name.removeprefix(_ANNOTATIONS):
            case "protect":
                protected = text == "true"
                if text not in ("true", "false"):
                    place.say("annotation.value", f'{shown(text)} is not "true" or "false"', at)
            case "moved-from":
                moved = _moved_from(text, place, at)
            case "ignore-fields":
                ignored = tuple(sorted({part.strip() for part in text.split(",")} - {""}))
            case other:
                known = [_ANNOTATIONS + known for known in _KNOWN]
                place.say(
                    "annotation.unknown",
                    f"{name} has no meaning",
                    at,
                    suggest(_ANNOTATIONS + other, known),
                )
    return Annotations(protected, moved, ignored)


def _moved_from(text: str, place: Place, at: Pointer) -> Key | None:
    try:
        key = Key.parse(text)
    except ValueError as error:
        place.say("annotation.value", str(error), at)
        return None
    if key.kind != place.key.kind or key == place.key:
        place.say("annotation.value", f"{text} is not another {place.key.kind}", at)
        return None
    return key


@lru_cache(maxsize=1_000)
def _named_uses(names: tuple[str, ...]) -> tuple[PolicyUse, ...]:
    return tuple(PolicyUse(("spec", "policies", i), name=name) for i, name in enumerate(names))


def uses_of(uses: list[Any], place: Place) -> tuple[PolicyUse, ...]:
    """Return the policies that `spec.policies` names or writes out."""
    if all(isinstance(use, str) for use in uses):
        return _named_uses(tuple(uses))
    out = []
    for index, use in enumerate(uses):
        at = shared(("spec", "policies", index))
        if isinstance(use, str):
            out.append(PolicyUse(at, name=use))
        else:
            out.append(PolicyUse(at, inline=policy_of(use, place, at)))
    return tuple(out)


def policy_of(holder: dict[str, Any], place: Place, at: Pointer) -> PolicyFacts:
    """Return what type, config and priority of a policy stand in `holder`."""
    config = normaliser(holder["type"])(holder["config"])
    return PolicyFacts(
        holder["type"],
        to_bytes(config),
        holder["priority"],
        holder["onUnsupported"],
        place.source,
        at,
    )

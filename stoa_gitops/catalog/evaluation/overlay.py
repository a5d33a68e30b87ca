"""Applies an environment to a document: patches, then variables; remembers what patches set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import lru_cache
from typing import Any, Final

from stoa_gitops.catalog.documents.canonical_json import to_tree
from stoa_gitops.catalog.documents.document_checks import explain_document, is_valid
from stoa_gitops.catalog.documents.parsed_files import ParsedDocument
from stoa_gitops.catalog.documents.schemas import Schemas
from stoa_gitops.catalog.evaluation.variables import Substitution
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import Json, canonical_bytes

_FEW: Final = 8
"""Patches that are all tried: with more, those with a name are looked up by it."""

_GLOB: Final = re.compile(r"[*?\[]")


@lru_cache(maxsize=20_000)
def _pattern(glob: str) -> re.Pattern[str] | None:
    """Return the expression of a glob, None for a name."""
    return re.compile(translate(glob)) if _GLOB.search(glob) else None


def matches(glob: str, name: str) -> bool:
    """Whether a glob of a patch matches a name."""
    if glob == "*":
        return True
    pattern = _pattern(glob)
    return glob == name if pattern is None else pattern.match(name) is not None


@dataclass(frozen=True, slots=True)
class Patch:
    """One entry of `patches`; `index` is its position in the Environment document."""

    index: int
    kind: str
    name: str
    tenant: str
    patch: Mapping[str, Any]

    def selects(self, kind: str, name: str, tenant: str) -> bool:
        """Whether a document is patched; kinds without a tenant match any tenant's glob `*`."""
        return (
            matches(self.kind, kind) and matches(self.name, name) and matches(self.tenant, tenant)
        )


@dataclass(frozen=True, slots=True)
class Overlay:
    """What one environment changes in documents for its gateways. `path` is empty without a
    document.

    `fingerprint` differs whenever the result for a document, or the position of its findings,
    could.
    """

    name: str
    path: str = ""
    document: int = 0
    variables: Mapping[str, Json] = field(default_factory=dict)
    patches: tuple[Patch, ...] = ()
    written: str = ""
    _by_name: dict[str, list[Patch]] = field(default_factory=dict, compare=False, repr=False)

    def possible(self, name: str) -> Sequence[Patch]:
        """Return the patches that may select a document of a name, in the order of the file."""
        if len(self.patches) <= _FEW:
            return self.patches
        if not self._by_name:
            for patch in self.patches:
                key = "" if _GLOB.search(patch.name) else patch.name
                self._by_name.setdefault(key, []).append(patch)
        named, others = self._by_name.get(name, []), self._by_name.get("", [])
        return sorted((*named, *others), key=lambda patch: patch.index) if named else others

    @property
    def fingerprint(self) -> str:
        """Text that identifies all of this, never empty."""
        return self.written or f"\0{self.name}"


@dataclass(frozen=True, slots=True)
class PatchOrigin:
    """A part of a document that a patch set, and its position in the Environment document."""

    pointer: Pointer
    path: str
    document: int
    source: Pointer


@dataclass(frozen=True, slots=True)
class OverlaidDocument:
    """A document with an environment applied; `value` is None when it is invalid then.

    named  gateways that an API names, known even when it is invalid; None when it names none
    raw    the value as JSON where the environment changes nothing
    """

    value: dict[str, Any] | None
    findings: tuple[Finding, ...] = ()
    origins: tuple[PatchOrigin, ...] = ()
    named: tuple[str, ...] | None = None
    raw: bytes | None = None


def parse_overlay(name: str, path: str, document: int, value: Mapping[str, Any]) -> Overlay:
    """Return the overlay of a valid Environment document."""
    spec = value.get("spec", {})
    patches = tuple(
        Patch(
            index,
            entry["kind"],
            entry.get("name", "*"),
            entry.get("tenant", "*"),
            entry["patch"],
        )
        for index, entry in enumerate(spec.get("patches", []))
    )
    # The path and the number of the document too: findings about patches point there.
    raw = canonical_bytes([name, path, document, spec])
    return Overlay(name, path, document, spec.get("variables", {}), patches, raw.decode())


def is_overlaid(parsed: ParsedDocument, overlay: Overlay, tenant: str) -> bool:
    """Whether an environment changes a document."""
    # The two cheap answers; globs are matched only where there are patches.
    if parsed.has_variables or not overlay.patches:
        return parsed.has_variables
    return any(
        patch.selects(parsed.kind, parsed.name, tenant) for patch in overlay.possible(parsed.name)
    )


def apply_overlay(
    parsed: ParsedDocument, overlay: Overlay, tenant: str, schemas: Schemas
) -> OverlaidDocument:
    """Apply an environment: patches in file order, then variables; then validate again."""
    value: dict[str, Any] = to_tree(parsed.raw)
    if not is_overlaid(parsed, overlay, tenant):
        return OverlaidDocument(value, named=_named(value), raw=parsed.raw)
    identity = (value.get("kind"), value.get("apiVersion"), _identity(value))
    origins: list[PatchOrigin] = []
    for patch in overlay.possible(parsed.name):
        if patch.selects(parsed.kind, parsed.name, tenant):
            base = ("spec", "patches", patch.index, "patch")
            value = _merge(value, patch.patch, (), base, overlay, origins)
    if (value.get("kind"), value.get("apiVersion"), _identity(value)) != identity:
        changed = [o.pointer for o in origins if o.pointer[:1] != ("spec",)]
        finding = Finding(
            "patch.identity",
            "a patch must not change what a document is: apiVersion, kind, name or tenant",
            changed[-1] if changed else (),
            document=parsed.index,
        )
        return OverlaidDocument(None, (finding,), tuple(origins), _named(value))
    substitution = Substitution(parsed.kind, overlay.name, overlay.variables, schemas)
    value = substitution.apply(value)
    found = list(substitution.findings)
    # An unset variable is reported once, and not as a text of the wrong type, too.
    unset = {finding.pointer for finding in found}
    if not is_valid(value, schemas, variables=False):
        found.extend(f for f in explain_document(value, schemas) if f.pointer not in unset)
    findings = tuple(replace(finding, document=parsed.index) for finding in found)
    return OverlaidDocument(None if findings else value, findings, tuple(origins), _named(value))


def _named(value: Mapping[str, Any]) -> tuple[str, ...] | None:
    spec = value.get("spec")
    entries = spec.get("gateways") if isinstance(spec, dict) else None
    if not isinstance(entries, list) or not entries:
        return None
    names = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
    return tuple(str(name) for name in names)


def _identity(value: Mapping[str, Any]) -> tuple[Any, Any]:
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        return None, None
    return metadata.get("name"), metadata.get("tenant")


def _merge(
    target: Any,
    patch: Any,
    at: Pointer,
    base: Pointer,
    overlay: Overlay,
    origins: list[PatchOrigin],
) -> Any:
    """Apply a merge patch (RFC 7386 §2), recording which parts it set."""
    if not isinstance(patch, dict):
        origins.append(PatchOrigin(at, overlay.path, overlay.document, (*base, *at)))
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    if not isinstance(target, dict):
        origins.append(PatchOrigin(at, overlay.path, overlay.document, (*base, *at)))
    for key, item in patch.items():
        if item is None:
            out.pop(key, None)
            origins.append(
                PatchOrigin((*at, key), overlay.path, overlay.document, (*base, *at, key))
            )
        else:
            out[key] = _merge(out.get(key), item, (*at, key), base, overlay, origins)
    return out


def find_origin(finding: Finding, origins: tuple[PatchOrigin, ...]) -> PatchOrigin | None:
    """Return the last patch that set or removed the value of a finding."""
    # The longest pointer is the most specific patch; of two equal ones the later one won.
    best: PatchOrigin | None = None
    pointers = [(*finding.pointer, key) for key in finding.missing] or [finding.pointer]
    for origin in origins:
        if any(pointer[: len(origin.pointer)] == origin.pointer for pointer in pointers) and (
            best is None or len(origin.pointer) >= len(best.pointer)
        ):
            best = origin
    return best

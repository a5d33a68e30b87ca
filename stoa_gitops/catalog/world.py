"""Documents as they are in one environment, evaluated when they are needed and kept by content."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field

from stoa_gitops.catalog.environments import Evaluated, Overlay, evaluate, touches
from stoa_gitops.catalog.facts import Lowered
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.catalog.index import Document, Index, openapi_path
from stoa_gitops.catalog.lower import Place, lower
from stoa_gitops.catalog.nodes import Pointer
from stoa_gitops.catalog.openapi import Openapi, read_openapi
from stoa_gitops.catalog.placing import Located
from stoa_gitops.catalog.sources import Tree
from stoa_gitops.model.diagnostics import Severity
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import SourceRef

_BESIDE = ("openapi.yaml", "openapi.yml", "openapi.json")

CacheKey = tuple[str, str, int, str, str]


@dataclass(slots=True)
class Kept:
    """What a reader keeps between two readings: facts by content, used ones only."""

    lowered: dict[CacheKey, Lowered] = field(default_factory=dict)
    openapi: dict[str, Openapi] = field(default_factory=dict)


class World:
    """One tree while it is being read: documents, findings, and which documents those broke."""

    def __init__(self, tree: Tree, index: Index, before: Kept) -> None:
        self.tree = tree
        self.index = index
        self.kept = Kept()
        self.found: list[Located] = list(index.found)
        self._before = before
        self._noted: set[int] = set()

    def say(
        self,
        document: Document,
        code: str,
        message: str,
        pointer: Pointer,
        hint: str = "",
        *,
        lowered: Lowered | None = None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note a finding about a document; `lowered` says what patches set in it."""
        finding = Finding(code, message, pointer, hint, severity, document=document.parsed.index)
        origins = lowered.origins if lowered is not None else ()
        self.found.append(Located(document.path, finding, origins))

    def note(self, document: Document, lowered: Lowered) -> None:
        """Report what was found in a document on its own, once."""
        if lowered.findings and id(lowered) not in self._noted:
            self._noted.add(id(lowered))
            self.found.extend(
                Located(document.path, finding, lowered.origins) for finding in lowered.findings
            )

    def lowered(self, document: Document, overlay: Overlay) -> Lowered:
        """Return a document in an environment; from before when neither changed."""
        laid = overlay.fingerprint if touches(document.parsed, overlay, document.tenant) else ""
        beside = self._openapi_of(document) if document.kind == "API" else None
        blob = self.tree.files.get(beside, "") if beside else ""
        key = (document.path, document.blob, document.parsed.index, laid, blob)
        known = self.kept.lowered.get(key)
        if known is not None:
            return known
        known = self._before.lowered.get(key)
        if known is None:
            known = self._lower(document, overlay, beside)
        self.kept.lowered[key] = known
        return known

    def _lower(self, document: Document, overlay: Overlay, beside: str | None) -> Lowered:
        parsed = document.parsed
        key = Key(parsed.kind.lower(), document.tenant, parsed.name)
        place = Place(key, SourceRef(document.path, parsed.line), parsed.index)
        if beside is not None:
            place.openapi = self._openapi(document, beside, place)
        evaluated: Evaluated = evaluate(parsed, overlay, document.tenant)
        return lower(parsed.kind, evaluated, place)

    def _openapi_of(self, document: Document) -> str | None:
        named = openapi_path(document.path, document.parsed)
        if named is not None:
            return named
        folder = posixpath.dirname(document.path)
        files = self.tree.files
        return next((p for name in _BESIDE if (p := f"{folder}/{name}") in files), None)

    def _openapi(self, document: Document, path: str, place: Place) -> dict[str, str] | None:
        if path not in self.tree.files:
            text = f"there is no file {path} in the catalog"
            place.say("ref.openapi", text, ("spec", "openapi"), "the path is relative to this file")
            return None
        read = self.openapi(path)
        # The findings stand in that file; the API is not written while they do.
        place.is_broken = any(finding.is_error for finding in read.findings)
        return {"path": path, "sha256": read.sha256}

    def openapi(self, path: str) -> Openapi:
        """Return what stands in an OpenAPI document of the tree."""
        blob = self.tree.files[path]
        known = self.kept.openapi.get(blob) or self._before.openapi.get(blob)
        if known is None:
            known = read_openapi(self.tree.read(path))
        self.kept.openapi[blob] = known
        return known

    def read_openapi_documents(self) -> None:
        """Read the OpenAPI documents of all APIs at once, which is quicker than one by one."""
        paths = {self._openapi_of(document) for document in self.index.of("API")} - {None}
        files = self.tree.files
        wanted = sorted(path for path in paths if path is not None and path in files)
        missing = [path for path in wanted if files[path] not in self._before.openapi]
        for path, data in self.tree.read_many(missing):
            self.kept.openapi[files[path]] = read_openapi(data)
        for path in wanted:
            for finding in self.openapi(path).findings:
                self.found.append(Located(path, finding))

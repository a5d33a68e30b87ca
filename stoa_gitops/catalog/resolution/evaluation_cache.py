"""Evaluates documents in an environment when they are needed, and caches the results."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Mapping
from sys import intern

from stoa_gitops.catalog.documents.boundary import internal_finding
from stoa_gitops.catalog.documents.isolation import ChildFailed, Isolation, failure
from stoa_gitops.catalog.evaluation.context import DocumentContext
from stoa_gitops.catalog.evaluation.definitions import EvaluatedDocument
from stoa_gitops.catalog.evaluation.kind import KindSet
from stoa_gitops.catalog.evaluation.openapi import Openapi, read_openapi
from stoa_gitops.catalog.evaluation.overlay import (
    Overlay,
    apply_overlay,
    is_overlaid,
)
from stoa_gitops.catalog.evaluation.parse import parse_document
from stoa_gitops.catalog.evaluation.wsdl import Wsdl, read_wsdl
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.files import (
    Document,
    find_file_problem,
    openapi_path,
    wsdl_path,
)
from stoa_gitops.catalog.resolution.index import Delta, DocKey, Index
from stoa_gitops.catalog.sources.base import Tree
from stoa_gitops.model.diagnostics import Severity
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import SourceRef

_ENDS = (".yaml", ".yml", ".json")
_BESIDE = tuple(f"openapi{end}" for end in _ENDS)
_WSDL = ".wsdl"
_WORDS = {"openapi": ("ref.openapi", "OpenAPI"), "wsdl": ("ref.wsdl", "WSDL")}
"""Code of a reference that leads nowhere, and title, by the field that names a description."""


def _field_of(path: str) -> str:
    """Return the field of an API that names a file: the suffix tells both apart."""
    return "wsdl" if path.endswith(_WSDL) else "openapi"


class EvaluationCache:
    """The documents of one tree and the descriptions of APIs, OpenAPI or WSDL, beside them.

    found   findings about descriptions, by path
    """

    def __init__(self, index: Index, kinds: KindSet, isolation: Isolation) -> None:
        self._isolation = isolation
        self.kinds = kinds
        self.index = index
        self.found: dict[object, tuple[LocatedFinding, ...]] = {}
        self._files: Mapping[str, str] = {}
        self._links: Mapping[str, str] = {}
        self._beside: dict[DocKey, str] = {}
        self._users: dict[str, set[DocKey]] = {}
        self._refused: dict[DocKey, str] = {}
        self._descriptions: dict[tuple[str, str], Openapi | Wsdl] = {}
        self._unreadable: frozenset[str] = frozenset()

    def update(self, tree: Tree, delta: Delta) -> None:
        """Update descriptions; APIs whose description changed are added to `delta.keys`."""
        self._files, self._links = tree.files, tree.links
        # Only APIs have descriptions.
        keys = {key for key in delta.keys if key[0] == "API"}
        unreadable = frozenset(p.path for p in tree.problems if p.severity is Severity.ERROR)
        paths = delta.paths | (unreadable ^ self._unreadable)
        self._unreadable = unreadable
        for path in tuple(paths):
            keys |= self._users.get(path, set())
            folder, _, name = path.rpartition("/")
            if name in _BESIDE:
                keys |= self._apis_in(folder)
        for key in keys:
            paths |= self._attach(key)
        delta.keys |= keys
        self._read(tree, paths)

    def _apis_in(self, folder: str) -> set[DocKey]:
        parts = folder.split("/")
        if len(parts) < 4 or parts[0] != "tenants":
            return set()
        apis = self.index.by_kind.get(("API", parts[1]), {})
        return {doc.key for doc in apis.values() if posixpath.dirname(doc.path) == folder}

    def _attach(self, key: DocKey) -> set[str]:
        """Record which description an API has; return the paths concerned."""
        before = self._beside.pop(key, None)
        self._refused.pop(key, None)
        if before is not None:
            self._users[before].discard(key)
            if not self._users[before]:
                del self._users[before]
        document = self.index.get(*key)
        beside = self._description_of(document) if document is not None else None
        if document is not None and beside is not None:
            problem = find_file_problem(beside, document.path, self._links)
            if not problem and self.index.has_documents(beside):
                problem = "is a document of the catalog"
            if problem:
                self._refused[key] = problem
            self._beside[key] = beside
            self._users.setdefault(beside, set()).add(key)
        return {path for path in (before, beside) if path is not None}

    def _description_of(self, document: Document) -> str | None:
        # A path that the document names wins over files beside it, even if it does not exist.
        for find in (wsdl_path, openapi_path):
            named = find(document.path, document.parsed)
            if named is not None:
                return named
        base = document.path.rpartition("/")[0] + "/openapi"
        for end in _ENDS:
            if base + end in self._files or base + end in self._unreadable:
                return base + end
        return None

    def _read(self, tree: Tree, paths: Iterable[str]) -> None:
        """Read all descriptions that are used at once: a Git tree takes one call for all."""
        files, held = tree.files, self._descriptions
        # Parsed by content: two APIs with one OpenAPI document share the result.
        known = len(held)
        wanted = sorted(path for path in paths if path in files and self._is_read(path))
        missing = {self._id(path): path for path in wanted if self._id(path) not in held}
        for path, data in tree.read_many(sorted(missing.values())):
            held[self._id(path)] = self._read_description(_field_of(path), data)
        for path in paths:
            self.found.pop(path, None)
        for path in wanted:
            findings = held[self._id(path)].findings
            if findings:
                self.found[path] = tuple(LocatedFinding(path, finding) for finding in findings)
        if len(held) != known or len(held) > len(self._users):
            used = {self._id(path) for path in self._users if path in files}
            self._descriptions = {one: read for one, read in held.items() if one in used}

    def _id(self, path: str) -> tuple[str, str]:
        return _field_of(path), self._files[path]

    def _read_description(self, field: str, data: bytes) -> Openapi | Wsdl:
        read = read_wsdl if field == "wsdl" else read_openapi
        try:
            return self._isolation.call(field, len(data), lambda: read(data), data)
        except ChildFailed as error:
            return Openapi(hashlib.sha256(data).hexdigest(), (failure(error),))

    def _is_read(self, path: str) -> bool:
        """Whether a file is the description of an API that may use it."""
        return any(key not in self._refused for key in self._users.get(path, ()))

    def evaluate(self, document: Document, overlay: Overlay) -> EvaluatedDocument:
        """Return a document in an environment; from the cache when neither changed."""
        # Documents that no environment changes have one result for all, under the empty text.
        laid = overlay.fingerprint if is_overlaid(document.parsed, overlay, document.tenant) else ""
        beside = self._beside.get(document.key) if document.kind == "API" else None
        content: object = None
        if beside is not None:
            refused = self._refused.get(document.key)
            content = (beside, self._files.get(beside), refused, beside in self._unreadable)
        others = []
        for kept in document.kept:
            if kept[0] != laid:
                others.append(kept)
            elif kept[1] == content:
                return kept[2]
        try:
            evaluated = self._evaluate(document, overlay, beside)
        except BaseException as error:  # noqa: BLE001 - others must be evaluated all the same
            finding = internal_finding(error, document=document.parsed.index)
            evaluated = EvaluatedDocument(findings=(finding,))
        document.kept = (*others, (laid, content, evaluated))
        return evaluated

    def drop_other_overlays(self, fingerprints: Iterable[str]) -> None:
        """Drop results that belong to overlays other than these."""
        live = {"", *fingerprints}
        for documents in self.index.by_kind.values():
            for document in documents.values():
                if any(kept[0] not in live for kept in document.kept):
                    document.kept = tuple(kept for kept in document.kept if kept[0] in live)

    def _evaluate(
        self, document: Document, overlay: Overlay, beside: str | None
    ) -> EvaluatedDocument:
        parsed = document.parsed
        # Interned: thousands of keys share a handful of kinds, and are compared by identity first.
        key = Key(intern(parsed.kind.lower()), document.tenant, parsed.name)
        context = DocumentContext(
            key, SourceRef(document.path, parsed.line), parsed.index, self.kinds.schemas
        )
        if beside is not None:
            refused = self._refused.get(document.key)
            described = self._described(beside, context, refused)
            if _field_of(beside) == "wsdl":
                context.wsdl = described
            else:
                context.openapi = described
        overlaid = apply_overlay(parsed, overlay, document.tenant, self.kinds.schemas)
        return parse_document(self.kinds.kinds[parsed.kind], overlaid, context)

    def _described(
        self, path: str, context: DocumentContext, refused: str | None
    ) -> dict[str, str] | None:
        field = _field_of(path)
        (code, title), at = _WORDS[field], ("spec", field)
        if refused is not None:
            hint = f"put the {title} document itself into the folder of this document"
            context.report_error(code, f"{path} {refused}", at, hint)
            return None
        if path in self._unreadable:
            # The file has a finding of its own; without it the API would be another one.
            context.is_broken = True
            return None
        if path not in self._files:
            text = f"there is no file {path} in the catalog"
            context.report_error(code, text, at, "the path is relative to this file")
            return None
        read = self._descriptions[self._id(path)]
        # The findings are about that file; while it has errors the API is not written.
        context.is_broken = any(finding.is_error for finding in read.findings)
        return {"path": path, "sha256": read.sha256}

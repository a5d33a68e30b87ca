"""Index of the documents of a tree by kind, tenant and name, updated by the paths that changed.

What one path holds depends on its bytes alone. Paths influence each other in three cases only: two
documents of one name, a file that an API names as its OpenAPI document, and a tenant without a
document of its own. Each is checked again when a changed path takes part in it.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from stoa_gitops.catalog.documents.parsed_files import ParsedDocument, ParsedFile
from stoa_gitops.catalog.evaluation.layout import NAME, Layout, has_unread_suffix
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.completeness import unread_document, without_api_document
from stoa_gitops.catalog.resolution.files import Document, Entry, named_openapi_paths, tenant_of
from stoa_gitops.catalog.sources.base import Problem
from stoa_gitops.model.diagnostics import Severity

DocKey: TypeAlias = tuple[str, str, str]
"""Kind, tenant and name."""

NAMED: Final = ("API", "Policy")
"""Kinds that documents refer to by name: what they name may be in a file that cannot be used."""


@dataclass(slots=True)
class Delta:
    """What an update changed.

    keys   documents that changed, appeared or disappeared
    names  (kind, tenant) pairs in which names appeared, disappeared or became uncertain
    paths  files that differ from the tree before
    is_outside  something differs outside of tenants' folders
    """

    keys: set[DocKey] = field(default_factory=set)
    names: set[tuple[str, str]] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)
    is_outside: bool = False


class Index:
    """The documents of one tree.

    by_kind   documents by name, for each kind and tenant (empty outside of tenants' folders)
    found     findings about paths, duplicates and tenants, by their subject
    count     number of documents, those in wrong folders and duplicates included
    incomplete  tenants of which some file could not be read or assigned; nothing of them is pruned
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.by_kind: dict[tuple[str, str], dict[str, Document]] = {}
        self.found: dict[object, tuple[LocatedFinding, ...]] = {}
        self.count = 0
        self.incomplete: set[str] = set()
        self._entries: dict[str, Entry] = {}
        # The few outside of tenants' folders, which are asked for without the many within.
        self._outside: dict[str, Entry] = {}
        self._claims: dict[DocKey, tuple[Document, ...]] = {}
        self._named: Counter[str] = Counter()
        self._incomplete: Counter[str] = Counter()
        self._tenants: dict[str, set[str]] = {}
        self._problems: tuple[Problem, ...] = ()
        self._unread: set[str] = set()
        self._bare: set[str] = set()

    @property
    def blobs(self) -> set[str]:
        """Ids of the contents of all paths that may hold documents."""
        return {entry.blob_id for entry in self._entries.values()}

    @property
    def contents(self) -> int:
        """Number of paths that may hold documents."""
        return len(self._entries)

    @property
    def tenant_paths(self) -> Mapping[str, Collection[str]]:
        """The paths of each tenant that has a file."""
        return self._tenants

    def documents(self, kind: str) -> list[Document]:
        """Return the documents of a kind outside of tenants' folders, ordered by path."""
        return in_order(self.by_kind.get((kind, ""), {}).values())

    @property
    def tenants(self) -> frozenset[str]:
        """The tenants that have a folder."""
        return frozenset(self._tenants)

    @property
    def is_unsure_at_top(self) -> bool:
        """Whether a file beside `catalog.yaml`, or that one, could not be read or assigned."""
        paths = [path for path, entry in self._outside.items() if entry.blob.has_unknown]
        paths += [problem.path for problem in self._problems if problem.severity is Severity.ERROR]
        return any("/" not in path for path in paths)

    def names(self, kind: str, tenant: str = "") -> Iterable[str]:
        """Return the names of a kind in one tenant."""
        return self.by_kind.get((kind, tenant), {})

    def get(self, kind: str, tenant: str, name: str) -> Document | None:
        """Return one document, broken or not; the first by path of several."""
        return self.by_kind.get((kind, tenant), {}).get(name)

    def has_documents(self, path: str) -> bool:
        """Whether a file holds documents of the catalog."""
        entry = self._entries.get(path)
        return entry is not None and bool(entry.blob.documents)

    def update(
        self,
        files: Mapping[str, str],
        changed: Iterable[str],
        parsed_file: Callable[[str], ParsedFile],
        problems: tuple[Problem, ...],
    ) -> Delta:
        """Update to the tree of `files`; `changed` are all paths that differ from the tree before.

        `parsed_file` returns the content of a blob id.
        """
        delta = Delta(paths=set(changed))
        tenants = {tenant for path in delta.paths if (tenant := self._of_tenant(path, files))}
        self._note_unread(delta.paths, files)
        # Paths that APIs start or stop to name as OpenAPI documents are added to the changed ones.
        again = set(delta.paths)
        fresh: dict[str, Entry] = {}
        for path in delta.paths:
            before = self._entries.get(path)
            if before is not None:
                again.update(self._count_named(path, before, -1))
            rule = self._layout.rule(path) if path in files else None
            if rule is not None:
                fresh[path] = Entry(files[path], rule, parsed_file(files[path]))
                again.update(self._count_named(path, fresh[path], 1))
        touched: set[DocKey] = set()
        for path in again:
            entry = fresh.get(path) if path in delta.paths else self._entries.get(path)
            touched |= self._replace_entry(path, entry, is_new=path in delta.paths)
        for key in touched:
            self._choose_document(key, delta)
        unreadable = set(problems) ^ set(self._problems)
        tenants |= {tenant_of(path) for path in again}
        for tenant in (tenants | {tenant_of(problem.path) for problem in unreadable}) - {""}:
            self._check_api_folders(tenant, problems)
        delta.is_outside = problems != self._problems or not all(map(tenant_of, delta.paths))
        uncertain = self._note_problems(problems)
        delta.names |= {(kind, tenant) for kind in NAMED for tenant in uncertain}
        delta.is_outside |= any(not tenant for _, tenant, _ in touched)
        tenants |= uncertain | {key[1] for key in touched}
        for tenant in tenants - {""}:
            self._check_tenant(tenant)
        return delta

    def _note_unread(self, paths: Iterable[str], files: Mapping[str, str]) -> None:
        """Record files that lie where documents do, and whose suffix is that of none."""
        for path in paths:
            if has_unread_suffix(path):
                self._unread.discard(path)
                self.found.pop(("unread", path), None)
                if path in files and self._layout.is_unread_document(path):
                    self._unread.add(path)
                    self.found["unread", path] = (unread_document(path),)

    def _check_api_folders(self, tenant: str, problems: tuple[Problem, ...]) -> None:
        """Check that each folder of an API has a document, or a file that may be one."""
        paths = self._tenants.get(tenant, set())
        documents = {path for path in paths if self._may_be_document(path)}
        found = tuple(without_api_document(paths, documents))
        unreadable = tuple(problem.path for problem in problems)
        found = tuple(
            item
            for item in found
            if not any(path.startswith(f"{posixpath.dirname(item.path)}/") for path in unreadable)
        )
        self.found.pop(("folders", tenant), None)
        self._bare.discard(tenant)
        if found:
            self.found["folders", tenant] = found
            self._bare.add(tenant)

    def _may_be_document(self, path: str) -> bool:
        entry = self._entries.get(path)
        return (
            entry is not None
            and entry.is_taken
            and (bool(entry.documents) or entry.is_incomplete or path in self.found)
        )

    def _of_tenant(self, path: str, files: Mapping[str, str]) -> str:
        """Record whether a tenant has a folder; return the tenant of a path."""
        tenant = tenant_of(path)
        if tenant:
            paths = self._tenants.setdefault(tenant, set())
            if path in files:
                paths.add(path)
            else:
                paths.discard(path)
                if not paths:
                    del self._tenants[tenant]
        return tenant

    def _count_named(self, path: str, entry: Entry, step: int) -> Iterator[str]:
        """Count the paths that APIs name as OpenAPI documents; yields those."""
        for named in named_openapi_paths(path, entry):
            self._named[named] += step
            if not self._named[named]:
                del self._named[named]
            yield named

    def _replace_entry(self, path: str, entry: Entry | None, *, is_new: bool) -> set[DocKey]:
        """Replace the documents of a path by those of its entry; return the keys concerned."""
        before = self._entries.get(path)
        # What an API names as its OpenAPI document is checked as one; a document of the catalog
        # stays one, whoever names it.
        is_taken = (
            entry is not None
            and not entry.blob.is_openapi
            and (path not in self._named or bool(entry.blob.documents))
        )
        # The content did not change, and neither did what the path is used as.
        if not is_new and (entry is None or entry.is_taken == is_taken):
            return set()
        touched = (
            self._remove_documents(path, before)
            if before is not None and before.is_taken
            else set()
        )
        if entry is None:
            self._entries.pop(path, None)
            self._outside.pop(path, None)
            return touched
        self._entries[path] = entry
        if not tenant_of(path):
            self._outside[path] = entry
        entry.is_taken = is_taken
        return touched | (self._add_documents(path, entry) if is_taken else set())

    def _add_documents(self, path: str, entry: Entry) -> set[DocKey]:
        found = entry.create_documents(path, self._layout)
        if found:
            self.found[path] = found
        self.count += len(entry.blob.documents)
        self._incomplete[entry.rule.tenant] += entry.is_incomplete
        touched = set()
        for document in entry.documents:
            key = document.key
            others = self._claims.get(key)
            # Nearly every key has one document; sorting is for duplicates.
            claims = (document,) if not others else tuple(in_order((*others, document)))
            self._claims[key] = claims
            touched.add(key)
        return touched

    def _remove_documents(self, path: str, entry: Entry) -> set[DocKey]:
        self.found.pop(path, None)
        self.count -= len(entry.blob.documents)
        self._incomplete[entry.rule.tenant] -= entry.is_incomplete
        for document in entry.documents:
            left = tuple(d for d in self._claims.get(document.key, ()) if d is not document)
            self._claims[document.key] = left
        entry.is_taken = False
        return {document.key for document in entry.documents}

    def _choose_document(self, key: DocKey, delta: Delta) -> None:
        """Choose the document of a key: the first by path, which is unusable when there are two."""
        delta.keys.add(key)
        kind, tenant, name = key
        claims = self._claims.get(key, ())
        self.found.pop(key, None)
        documents = self.by_kind.setdefault((kind, tenant), {})
        # Only names that appear or disappear can change the hints of other documents.
        if bool(claims) != (name in documents):
            delta.names.add((kind, tenant))
        if not claims:
            self._claims.pop(key, None)
            documents.pop(name, None)
            if not documents:
                del self.by_kind[kind, tenant]
            return
        first = documents[name] = claims[0]
        # Neither of two documents with one name is used: nobody knows which one is meant.
        first.is_broken = first.is_wrong or len(claims) > 1
        if len(claims) > 1:
            self.found[key] = tuple(_duplicate(first, other) for other in claims[1:])

    def _note_problems(self, problems: tuple[Problem, ...]) -> set[str]:
        """Record files that could not be read; return the tenants whose completeness changed."""
        before = self.incomplete
        if problems != self._problems:
            self._problems = problems
            self.found["problems"] = tuple(_problem(problem) for problem in problems)
        self.incomplete = {tenant for tenant, count in self._incomplete.items() if count}
        self.incomplete |= {tenant_of(path) for path in self._unread}
        self.incomplete |= self._bare
        self.incomplete |= {
            tenant_of(problem.path) for problem in problems if problem.severity is Severity.ERROR
        }
        return before ^ self.incomplete

    def has_unusable(self, folder: str) -> bool:
        """Whether a file of a folder at the top may hold documents that cannot be told."""
        inside = f"{folder}/"
        unreadable = (p.path for p in self._problems if p.severity is Severity.ERROR)
        return any(f"{path}/".startswith(inside) for path in (*unreadable, *self._unread)) or any(
            entry.is_incomplete for path, entry in self._outside.items() if path.startswith(inside)
        )

    def _check_tenant(self, tenant: str) -> None:
        """Check the name of a tenant's folder, and that the tenant has a document of its own."""
        found: list[LocatedFinding] = []
        paths = self._tenants.get(tenant)
        has_name = NAME.match(tenant) is not None
        if paths and not has_name:
            found.append(_misnamed(min(paths), tenant))
        if paths and has_name and not self.by_kind.get(("Tenant", tenant)):
            # A file that cannot be read may be the tenant's document: it is not called missing.
            first = None if tenant in self.incomplete else self._first(tenant)
            if first is not None:
                found.append(_no_tenant(first, tenant))
        self.found.pop(("tenant", tenant), None)
        if found:
            self.found["tenant", tenant] = tuple(found)

    def _first(self, tenant: str) -> str | None:
        families = [docs for (_, of), docs in self.by_kind.items() if of == tenant]
        return min((doc.path for docs in families for doc in docs.values()), default=None)


def in_order(documents: Iterable[Document]) -> list[Document]:
    """Sort documents by path, then by their number in the file."""
    return sorted(documents, key=lambda document: (document.path, document.parsed.index))


def _problem(problem: Problem) -> LocatedFinding:
    finding = Finding(
        problem.code, problem.message, hint=problem.hint, severity=problem.severity, line=1
    )
    return LocatedFinding(problem.path, finding)


def _duplicate(first: Document, other: Document) -> LocatedFinding:
    place = f"{first.path}:{first.parsed.line}"
    text = f"{other.kind} {other.name} is already in {place}"
    if other.kind == "Catalog":
        text = f"a catalog has one Catalog document, and it is {place}"
    parsed: ParsedDocument = other.parsed
    hint = "remove one of the two, or rename it"
    at = ("metadata", "name")
    return LocatedFinding(
        other.path, Finding("document.duplicate", text, at, hint, document=parsed.index)
    )


def _misnamed(path: str, tenant: str) -> LocatedFinding:
    text = f"the folder {tenant} is not the name of a tenant"
    hint = "name it with lower-case letters, digits and inner hyphens, at most 63"
    return LocatedFinding(path, Finding("name.folder", text, hint=hint, line=1))


def _no_tenant(path: str, tenant: str) -> LocatedFinding:
    text = f"there is no tenants/{tenant}/tenant.yaml"
    hint = f"write a document of kind Tenant with `name: {tenant}`"
    return LocatedFinding(path, Finding("ref.tenant", text, hint=hint, line=1))

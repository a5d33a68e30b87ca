"""Every document of a tree by kind, tenant and name; what does not fit where it lies."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from stoa_gitops.catalog.blobs import Blob, Parsed
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.catalog.layout import NAME, Slot, check_place, slot_of
from stoa_gitops.catalog.placing import Located
from stoa_gitops.catalog.sources import Problem, Tree, is_wanted


@dataclass(slots=True)
class Document:
    """One document in its place. `is_broken` when it is not to be used, as it stands."""

    path: str
    blob: str
    parsed: Parsed
    tenant: str
    is_broken: bool = False

    @property
    def kind(self) -> str:
        """Kind of the document."""
        return self.parsed.kind

    @property
    def name(self) -> str:
        """Name of the document."""
        return self.parsed.name


@dataclass(slots=True)
class Index:
    """The documents of one tree.

    tenants   tenants that have a folder
    unsure    tenants of whose files one could not be told to be any document ("" for all)
    """

    documents: dict[tuple[str, str, str], Document] = field(default_factory=dict)
    by_kind: dict[str, list[Document]] = field(default_factory=dict)
    tenants: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    found: list[Located] = field(default_factory=list)
    count: int = 0

    def of(self, kind: str) -> list[Document]:
        """Return the documents of a kind in the order of their paths."""
        return self.by_kind.get(kind, [])

    def names(self, kind: str, tenant: str = "") -> list[str]:
        """Return the names of a kind in one tenant."""
        return [doc.name for doc in self.of(kind) if doc.tenant == tenant]

    def get(self, kind: str, tenant: str, name: str) -> Document | None:
        """Return one document, broken or not."""
        return self.documents.get((kind, tenant, name))


def tenant_of(path: str) -> str:
    """Return the tenant in whose folder a path lies, empty for all others."""
    parts = path.split("/", 2)
    if parts[0] != "tenants" or len(parts) < 2 or (len(parts) == 2 and is_wanted(parts[1])):
        return ""
    return parts[1]


def build_index(tree: Tree, blobs: Callable[[str], Blob]) -> Index:
    """Put every document into its place; `blobs` gives what a blob id holds."""
    index = Index()
    for problem in tree.problems:
        index.found.append(_problem(problem))
        index.unsure.add(tenant_of(problem.path))
    placed: list[tuple[str, Slot, Blob]] = []
    for path in sorted(tree.files):
        tenant = tenant_of(path)
        if tenant and tenant not in index.tenants:
            index.tenants.add(tenant)
            _check_tenant_name(index, path, tenant)
        slot = slot_of(path)
        if slot is not None:
            placed.append((path, slot, blobs(tree.files[path])))
    named = set(_openapi_paths(placed))
    for path, slot, blob in placed:
        if not blob.is_openapi and path not in named:
            _take(index, path, tree.files[path], slot, blob)
    for tenant in sorted(index.tenants):
        _check_has_tenant(index, tenant)
    return index


def _problem(problem: Problem) -> Located:
    finding = Finding(problem.code, problem.message, hint=problem.hint, line=1)
    return Located(problem.path, finding)


def _take(index: Index, path: str, blob_id: str, slot: Slot, blob: Blob) -> None:
    index.found.extend(Located(path, finding) for finding in blob.findings)
    if blob.has_unknown:
        index.unsure.add(slot.tenant)
    for parsed in blob.documents:
        index.count += 1
        document = Document(path, blob_id, parsed, slot.tenant, parsed.is_broken)
        wrong = check_place(slot, parsed.kind, _metadata(parsed), parsed.index)
        index.found.extend(Located(path, finding) for finding in wrong)
        document.is_broken = document.is_broken or bool(wrong)
        if wrong and wrong[0].code == "document.place":
            index.unsure.add(slot.tenant)
            continue
        _enter(index, document)


def _metadata(parsed: Parsed) -> dict[str, str]:
    """Return name and tenant; the tree is made only where a tenant is written."""
    if b'"tenant":' not in parsed.raw:
        return {"name": parsed.name}
    metadata = json.loads(parsed.raw).get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _enter(index: Index, document: Document) -> None:
    key = (document.kind, document.tenant, document.name)
    if document.kind == "Catalog":
        key = ("Catalog", "", "")
    first = index.documents.get(key)
    if first is not None:
        place = f"{first.path}:{first.parsed.line}"
        text = f"{document.kind} {document.name} is already in {place}"
        if document.kind == "Catalog":
            text = f"a catalog has one Catalog document, and it is {place}"
        finding = Finding(
            "document.duplicate", text, ("metadata", "name"), "remove one of the two, or rename it",
            document=document.parsed.index,
        )  # fmt: skip
        index.found.append(Located(document.path, finding))
        # Nobody can tell which one is meant.
        first.is_broken = True
        return
    index.documents[key] = document
    index.by_kind.setdefault(document.kind, []).append(document)


def _openapi_paths(placed: Iterable[tuple[str, Slot, Blob]]) -> Iterable[str]:
    """Yield the files that APIs name as their OpenAPI documents."""
    for path, slot, blob in placed:
        if slot.is_api_folder:
            for parsed in blob.documents:
                named = openapi_path(path, parsed) if parsed.kind == "API" else None
                if named is not None:
                    yield named


def openapi_path(path: str, parsed: Parsed) -> str | None:
    """Return the path that an API's `openapi:` names, None where it names none."""
    if b'"openapi":' not in parsed.raw:
        return None
    spec = json.loads(parsed.raw).get("spec")
    name = spec.get("openapi") if isinstance(spec, dict) else None
    if not isinstance(name, str) or not name:
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))


def _check_tenant_name(index: Index, path: str, tenant: str) -> None:
    if NAME.match(tenant) is None:
        finding = Finding(
            "name.folder",
            f"the folder {tenant} is not the name of a tenant",
            hint="name it with lower-case letters, digits and inner hyphens, at most 63",
            line=1,
        )
        index.found.append(Located(path, finding))


def _check_has_tenant(index: Index, tenant: str) -> None:
    has_one = any(document.tenant == tenant for document in index.of("Tenant"))
    if has_one or tenant in index.unsure or NAME.match(tenant) is None:
        return
    first = min(
        (doc.path for docs in index.by_kind.values() for doc in docs if doc.tenant == tenant),
        default=None,
    )
    if first is not None:
        finding = Finding(
            "ref.tenant",
            f"there is no tenants/{tenant}/tenant.yaml",
            hint=f"write a document of kind Tenant with `name: {tenant}`",
            line=1,
        )
        index.found.append(Located(first, finding))

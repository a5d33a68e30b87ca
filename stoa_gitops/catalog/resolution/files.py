"""The documents of one path of a tree, without any other path."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from stoa_gitops.catalog.documents.canonical_json import to_tree
from stoa_gitops.catalog.documents.document_checks import MAX_FINDINGS
from stoa_gitops.catalog.documents.file_parser import and_more
from stoa_gitops.catalog.documents.parsed_files import ParsedDocument, ParsedFile
from stoa_gitops.catalog.evaluation.definitions import EvaluatedDocument
from stoa_gitops.catalog.evaluation.layout import Layout, PathRule
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.sources.base import ROOTS, is_wanted


@dataclass(slots=True, eq=False)
class Document:
    """One document of a tree.

    is_wrong   it has errors of its own
    is_broken  it has errors, or another document has the same name
    kept       results of evaluation: (fingerprint of the overlay, description, result)
    """

    path: str
    parsed: ParsedDocument
    tenant: str
    is_wrong: bool = False
    is_broken: bool = False
    kept: tuple[tuple[str, object, EvaluatedDocument], ...] = ()

    @property
    def kind(self) -> str:
        """Kind of the document."""
        return self.parsed.kind

    @property
    def name(self) -> str:
        """Name of the document."""
        return self.parsed.name

    @property
    def key(self) -> tuple[str, str, str]:
        """Identity in a catalog: kind, tenant and name; a catalog has one Catalog document."""
        if self.parsed.kind == "Catalog":
            return "Catalog", "", ""
        return self.parsed.kind, self.tenant, self.parsed.name


_MOST_OF_ONE_NAME: Final = 2


@dataclass(slots=True, eq=False)
class Entry:
    """One path that may hold documents.

    is_taken   its documents are in the index: it is nobody's OpenAPI document
    is_unsure  something in it could not be told to be any document
    """

    blob_id: str
    rule: PathRule
    blob: ParsedFile
    documents: tuple[Document, ...] = ()
    is_taken: bool = False
    is_incomplete: bool = False

    def create_documents(self, path: str, layout: Layout) -> tuple[LocatedFinding, ...]:
        """Create the documents; return everything that is wrong with this path alone."""
        found = [LocatedFinding(path, finding) for finding in self.blob.findings]
        documents = []
        self.is_incomplete = self.blob.has_unknown
        counts: Counter[tuple[str, str, str]] = Counter()
        is_more = False
        for parsed in self.blob.documents:
            wrong = layout.check(self.rule, parsed.kind, _metadata(parsed), parsed.index)
            codes = {finding.code for finding in wrong}
            if "name.folder" in codes:
                found = [item for item in found if not _is_of_name(item.finding, parsed.index)]
            room = MAX_FINDINGS - len(found)
            found.extend(LocatedFinding(path, finding) for finding in wrong[: max(room, 0)])
            is_more = is_more or len(wrong) > room
            # Nobody knows which name a document has that says another one than its folder.
            self.is_incomplete |= not codes.isdisjoint({"document.place", "name.folder"})
            if "document.place" in codes:
                continue
            is_wrong = parsed.is_broken or bool(wrong)
            document = Document(path, parsed, self.rule.tenant, is_wrong)
            # Two of one name are enough to know that none can be used.
            counts[document.key] += 1
            if counts[document.key] <= _MOST_OF_ONE_NAME:
                documents.append(document)
        if is_more and not any(item.finding.code == "file.errors" for item in found):
            found.append(LocatedFinding(path, and_more()))
        self.documents = tuple(documents)
        return tuple(found)


def _is_of_name(finding: Finding, document: int) -> bool:
    """Whether a finding says that the name of a document is none: its folder's name is said."""
    return (finding.code, finding.document) == ("schema.pattern", document) and (
        finding.pointer == ("metadata", "name")
    )


def named_openapi_paths(path: str, entry: Entry) -> Iterator[str]:
    """Yield the paths that the APIs in a file name as OpenAPI documents, in their own folders."""
    if entry.rule.has_own_folder:
        for parsed in entry.blob.documents:
            named = openapi_path(path, parsed) if parsed.kind == "API" else None
            if named is not None and is_in_own_folder(named, path):
                yield named


def openapi_path(path: str, parsed: ParsedDocument) -> str | None:
    """Return the path that an API's `openapi:` names, None where it names none."""
    return _named_path(path, parsed, "openapi")


def wsdl_path(path: str, parsed: ParsedDocument) -> str | None:
    """Return the path that an API's `wsdl:` names, None where it names none."""
    return _named_path(path, parsed, "wsdl")


def _named_path(path: str, parsed: ParsedDocument, field: str) -> str | None:
    # Most documents are told by a search in their bytes, without parsing the JSON again.
    if f'"{field}":'.encode() not in parsed.raw:
        return None
    spec = to_tree(parsed.raw).get("spec")
    name = spec.get(field) if isinstance(spec, dict) else None
    if not isinstance(name, str) or not name:
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))


_OWN_FOLDER: Final = 4
"""Parts of a path that name the folder of one document: `tenants/<tenant>/apis/<api>`."""


def is_in_own_folder(named: str, path: str) -> bool:
    """Whether a path that a document names lies in the document's own folder."""
    own = "/".join(path.split("/")[:_OWN_FOLDER])
    return named.startswith(f"{own}/")


def find_file_problem(named: str, path: str, links: Mapping[str, str]) -> str:
    """Return why a document may not use a file of the catalog; empty where it may.

    `links` says where files behind symbolic links lie: that place counts, too, and not the name.
    """
    if not is_in_own_folder(named, path):
        return "lies outside of the folder of this document"
    real = links.get(named, named)
    # What lies beside the catalog's folders is nobody's and no document: all may share it.
    top = real.split("/", 1)[0]
    if real == named or not (top in ROOTS or top.startswith(".")):
        return ""
    # The folder itself may be behind a link: a mounted ConfigMap is.
    depth = len(path.split("/")) - _OWN_FOLDER
    own = links.get(path, path).rsplit("/", depth)[0]
    is_own = real.startswith(f"{own}/") and tenant_of(real) in ("", tenant_of(path))
    return "" if is_own else "is a link that leads out of the folder of this document"


def tenant_of(path: str) -> str:
    """Return the tenant in whose folder a path lies, empty for all others."""
    parts = path.split("/", 2)
    # `tenants/x.yaml` is a stray file and no folder of a tenant.
    if parts[0] != "tenants" or len(parts) < 2 or (len(parts) == 2 and is_wanted(parts[1])):
        return ""
    return parts[1]


def _metadata(parsed: ParsedDocument) -> dict[str, str]:
    """Return name and tenant; the JSON is parsed only if it has a tenant, which few have."""
    if b'"tenant":' not in parsed.raw:
        return {"name": parsed.name}
    metadata = to_tree(parsed.raw).get("metadata")
    return metadata if isinstance(metadata, dict) else {}

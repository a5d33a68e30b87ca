"""The documents of a catalog as rules of advice look at them: as written, by kind."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stoa_gitops.catalog.documents.parse import parse_file
from stoa_gitops.catalog.findings import Finding
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.files import tenant_of
from stoa_gitops.model.diagnostics import Severity

if TYPE_CHECKING:
    from stoa_gitops.catalog.documents.schemas import Schemas
    from stoa_gitops.catalog.sources.base import Tree
    from stoa_gitops.foundation.yaml.nodes import Pointer
    from stoa_gitops.model.catalog import Catalog

IGNORE_ANNOTATION = "gostoa.dev/lint-ignore"


@dataclass(frozen=True, slots=True)
class WrittenDocument:
    """One document that is not broken, as it is written; `number` is its place in the file."""

    path: str
    number: int
    kind: str
    tenant: str
    name: str
    value: Mapping[str, Any]

    @property
    def spec(self) -> Mapping[str, Any]:
        """Its `spec`; empty where it has none."""
        spec = self.value.get("spec")
        return spec if isinstance(spec, dict) else {}

    @property
    def ignored(self) -> frozenset[str]:
        """Codes that are switched off in it."""
        annotations = self.value.get("metadata", {}).get("annotations") or {}
        return parse_codes(str(annotations.get(IGNORE_ANNOTATION, "")))

    def entries(self, name: str) -> Iterator[tuple[int, Any]]:
        """Yield the entries of a list of its `spec`, with their places."""
        held = self.spec.get(name)
        yield from enumerate(held if isinstance(held, list) else ())

    def advise(self, code: str, message: str, pointer: Pointer, hint: str) -> LocatedFinding:
        """Return advice about a field of it."""
        finding = Finding(
            code,
            message,
            pointer,
            hint=hint,
            severity=Severity.WARNING,
            document=self.number,
        )
        return LocatedFinding(self.path, finding)


@dataclass(frozen=True, slots=True)
class WrittenCatalog:
    """All documents that are not broken, the catalog that they make, and the time."""

    documents: tuple[WrittenDocument, ...]
    catalog: Catalog
    now: datetime

    def of_kind(self, kind: str) -> Iterator[WrittenDocument]:
        """Yield the documents of one kind, by path."""
        return (document for document in self.documents if document.kind == kind)


def read_documents(tree: Tree, paths: Iterable[str], schemas: Schemas) -> Iterator[WrittenDocument]:
    """Yield the documents of files that are not broken; CatalogError for a file that is gone."""
    for path, data in tree.read_many(sorted(paths)):
        for parsed in parse_file(data, schemas).documents:
            if not parsed.is_broken:
                value = json.loads(parsed.raw)
                tenant = tenant_of(path)
                yield WrittenDocument(path, parsed.index, parsed.kind, tenant, parsed.name, value)


def parse_codes(text: str) -> frozenset[str]:
    """Return the codes in a text, where commas separate them."""
    return frozenset(part.strip() for part in text.split(",")) - {""}

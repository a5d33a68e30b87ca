"""Finds what looks left out of a catalog: documents that are not read, and names that meet nobody.

What is only missing cannot be told from what was removed. So everything that points to a missing
part is an error where objects could change or go because of it, and a warning otherwise.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from stoa_gitops.catalog.documents.document_checks import MAX_FINDINGS
from stoa_gitops.catalog.evaluation.layout import has_unread_suffix
from stoa_gitops.catalog.evaluation.overlay import Overlay, Patch, matches
from stoa_gitops.catalog.findings import Finding, suggest
from stoa_gitops.catalog.positions import LocatedFinding
from stoa_gitops.catalog.resolution.files import Document
from stoa_gitops.catalog.resolution.finding_log import located
from stoa_gitops.model.diagnostics import Severity

# Of two and three letters nearly every name is one of the others with a letter more.
_SHORTEST: Final = 4
# Each is compared with each; catalogs with more environments name them by a rule.
_MOST_COMPARED: Final = 100
_USUAL: Final = (
    "dev", "development", "test", "testing", "qa", "uat", "staging", "preprod", "prod",
    "production",
)  # fmt: skip
"""Names of environments that a gateway may be in without any document of them."""
_GLOB: Final = re.compile(r"[*?\[]")


def unread_document(path: str) -> LocatedFinding:
    """Return the finding for a file in a folder of documents that has the suffix of none."""
    name = posixpath.basename(path)
    stem, _, suffix = name.rpartition(".")
    if suffix.lower() == "json":
        text = f"{name} is not read: documents are YAML files"
        hint = f"rename it to {stem}.yaml (JSON is YAML, too), or move it out of the catalog"
    else:
        text = f"{name} is not read: documents end with .yaml or .yml, in lower case"
        hint = f"rename it to {stem}.{suffix.lower()}, or move it out of the catalog"
    return LocatedFinding(path, Finding("document.suffix", text, hint=hint, line=1))


def without_api_document(
    paths: Iterable[str], documents: AbstractSet[str]
) -> Iterator[LocatedFinding]:
    """Yield a finding for each folder of an API, among the paths of a tenant, without a document.

    `documents` are the paths that hold documents, or may do so.
    """
    folders: dict[str, list[str]] = {}
    for path in paths:
        parts = path.split("/", 4)
        if len(parts) == 5 and parts[2] == "apis":
            folders.setdefault(parts[3], []).append(path)
    for name, inside in sorted(folders.items()):
        if documents.isdisjoint(inside):
            folder = posixpath.dirname(min(inside))
            text = f"the folder of the API {name} has no document"
            hint = f"write {folder}/api.yaml with `name: {name}`, or remove the folder"
            names = (posixpath.basename(path) for path in sorted(inside))
            if near := next(
                (n for n in names if has_unread_suffix(n) and n[:4].lower() == "api."), None
            ):
                json = " (JSON is YAML, too)" if near.lower().endswith(".json") else ""
                hint = f"rename {near} to api.yaml{json}"
            yield LocatedFinding(min(inside), Finding("api.no-document", text, hint=hint, line=1))


def environments_without_document(
    gateways: Iterable[tuple[Document, str]], documented: Collection[str]
) -> Iterator[tuple[LocatedFinding, str]]:
    """Yield findings for gateways, each with its environment, that have no Environment document.

    It is an error, and the environment is not known, where another one is nearly the same or is
    used by no gateway. Without any Environment document nothing is expected of one, and only a name
    that is nearly a usual one, or that of other gateways, is a warning.
    """
    known = tuple(gateways)
    if not documented:
        for item in _unusual_environments(known):
            yield item, ""
        return
    unused = set(documented) - {name for _, name in known}
    for document, name in known:
        if name in documented or not name:
            continue
        is_mistake = bool(unused) or any(_is_misspelt(name, other) for other in documented)
        severity = Severity.ERROR if is_mistake else Severity.WARNING
        text = f"there is no Environment {name}"
        hint = suggest(name, unused or documented)
        if not hint.startswith("did you mean"):
            hint = f"{hint}; write environments/{name}.yaml, be it without variables and patches"
        yield (
            located(
                document,
                "gateway.environment",
                text,
                ("spec", "environment"),
                hint,
                severity=severity,
            ),
            name if is_mistake else "",
        )


def _unusual_environments(gateways: Iterable[tuple[Document, str]]) -> Iterator[LocatedFinding]:
    """Yield a warning for each environment, at its first gateway, that is nearly another one.

    Of two names on gateways the usual one is meant, otherwise the one of more gateways.
    """
    counts = Counter(name for _, name in gateways if name)
    ranked = sorted(counts, key=lambda name: (name not in _USUAL, -counts[name], name))
    meant = dict.fromkeys((*_USUAL, *ranked[:_MOST_COMPARED]))
    first = {name: document for document, name in reversed(tuple(gateways))}
    for name in ranked:
        if name in _USUAL:
            continue
        before = itertools.takewhile(lambda other, own=name: other != own, meant)  # type: ignore[misc]
        near = [other for other in before if _is_misspelt(name, other)]
        if near:
            yield located(
                first[name],
                "gateway.environment",
                f"the environment {name} is nearly {near[0]}",
                ("spec", "environment"),
                f"did you mean {near[0]}? Otherwise write environments/{name}.yaml, be it without "
                "variables and patches",
                severity=Severity.WARNING,
            )


def _is_misspelt(name: str, other: str) -> bool:
    """Whether two names differ in one letter that is missing, or in two neighbours swapped.

    Another letter, another number or a further part is a name of its own: eu-west and eu-east,
    zone-a and zone-b, prod and prod-eu.
    """
    if re.sub(r"[0-9]", "", name) == re.sub(r"[0-9]", "", other):
        return False
    short, long = sorted((name, other), key=len)
    if len(long) == len(short) + 1 >= _SHORTEST:
        return any(long[:at] + long[at + 1 :] == short for at in range(len(long)))
    pairs = zip(short, long, strict=False)
    at = next((index for index, (one, two) in enumerate(pairs) if one != two), len(short))
    swapped = long[:at] + long[at : at + 2][::-1] + long[at + 2 :]
    return len(short) == len(long) and swapped == short


def unused_environments(
    documents: Iterable[Document], used: Collection[str]
) -> Iterator[LocatedFinding]:
    """Yield a warning for each Environment document in which there is no gateway."""
    for document in documents:
        if document.name and document.name not in used:
            text = f"no gateway is in the environment {document.name}"
            hint = suggest(document.name, used)
            yield located(
                document,
                "environment.unused",
                text,
                ("metadata", "name"),
                hint,
                severity=Severity.WARNING,
            )


def unused_patches(
    overlay: Overlay,
    by_kind: Mapping[tuple[str, str], Mapping[str, object]],
    incomplete: Collection[str],
) -> Iterator[LocatedFinding]:
    """Yield a warning for each patch that selects no document.

    No error: a tenant that removes a document must not hold up what an operator's document says
    for the others. Where a file of a tenant cannot be read, the patch may be meant for that.
    """
    left = MAX_FINDINGS + 2  # one more than are shown: that there are more is said, too
    for patch in overlay.patches:
        if not left:
            return
        if any(matches(patch.tenant, tenant) for tenant in incomplete):
            continue
        names = [
            documents
            for (kind, tenant), documents in by_kind.items()
            if matches(patch.kind, kind) and matches(patch.tenant, tenant)
        ]
        if any(_selects(patch, documents) for documents in names):
            continue
        what = f"{patch.kind} {patch.name}" if patch.name != "*" else patch.kind
        where = "" if patch.tenant == "*" else f" of the tenant {patch.tenant}"
        text = f"this patch changes nothing: there is no {what}{where}"
        hint = suggest(patch.name, (name for documents in names for name in documents))
        at = ("spec", "patches", patch.index)
        finding = Finding(
            "patch.unused", text, at, hint, Severity.WARNING, document=overlay.document
        )
        yield LocatedFinding(overlay.path, finding)
        left -= 1


def _selects(patch: Patch, documents: Mapping[str, object]) -> bool:
    # Most patches name one document, or all: neither needs to try 10,000 names.
    if patch.name == "*":
        return bool(documents)
    if not _GLOB.search(patch.name):
        return patch.name in documents
    return any(matches(patch.name, name) for name in documents)


def missing_halves(
    gateways: Collection[Document],
    tenants: Mapping[str, Collection[str]],
    incomplete: Collection[str],
) -> Iterator[LocatedFinding]:
    """Yield a warning for a catalog with gateways and no tenants, or the reverse.

    `tenants` are the paths of each. What cannot be read outside of them may be the other half.
    """
    if "" in incomplete or bool(gateways) == bool(tenants):
        return
    if gateways:
        path = min(document.path for document in gateways)
        code, text = (
            "catalog.no-tenants",
            "there are no tenants, so nothing is desired anywhere",
        )
        hint = "is tenants/ missing? What is live there is deleted only with --force"
    else:
        path = min(tenants[min(tenants)])
        code, text = "catalog.no-gateways", "there are no gateways: the APIs are live nowhere"
        hint = "is gateways/ missing? What is live on a gateway without a document stays there"
    yield LocatedFinding(path, Finding(code, text, hint=hint, severity=Severity.WARNING, line=1))

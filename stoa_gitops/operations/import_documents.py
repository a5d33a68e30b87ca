"""`import openapi`: API documents from OpenAPI documents, also over an earlier import."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urljoin, urlsplit, urlunsplit

from stoa_gitops.catalog.evaluation.layout import NAME
from stoa_gitops.catalog.export.openapi.api_facts import Choices
from stoa_gitops.catalog.export.openapi.import_plan import ImportPlan
from stoa_gitops.catalog.export.openapi.imports import Existing, Fetched, Import
from stoa_gitops.catalog.export.proposal import NOTES
from stoa_gitops.catalog.export.three_way.outcomes import MAX_BYTES, Outcome
from stoa_gitops.catalog.sources.base import is_url
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.files import check_inside, replace_inside
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.operations.validate import catalog_reader
from stoa_gitops.report.unmapped import import_page

Fetch = Callable[[str], bytes]
"""Returns what a URL answers; raises OSError, of which the text says why there is nothing."""


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What a person asks for.

    locations  files and URLs
    tenant     empty for the only one of the catalog
    name       of the API, for one location; empty for one made of its title
    fetch_refs documents that references lead to are fetched, too, and become part of the copy
    """

    catalog: str
    locations: Sequence[str]
    tenant: str = ""
    name: str = ""
    gateways: Sequence[str] = ()
    backend: str = ""
    variables: Mapping[str, str] | None = None
    fetch_refs: bool = False


def plan_import(request: ImportRequest, fetch: Fetch, state: Path) -> list[Import]:
    """Return what becomes of each document, in their order; nothing is written.

    Raises UsageError for a request that makes no sense, CatalogError for a folder that is none.
    """
    if is_url(request.catalog):
        raise UsageError(f"{request.catalog} is a repository: documents are written to a folder")
    if request.name and len(request.locations) > 1:
        raise UsageError("--name is for one document: import the others by themselves")
    for name in (request.name, request.tenant):
        if name and not NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is no name: lower-case letters, digits and dashes, 63 at most"
            )
    folder = Path(request.catalog).expanduser()
    tree = FolderSource(folder).snapshot()
    reader = catalog_reader(state)
    catalog = reader.read(tree)
    choices = _choices(request, catalog)
    documents = [_fetched(location, request, folder, fetch) for location in request.locations]
    load = partial(_load, fetch=fetch) if request.fetch_refs else None
    plan = ImportPlan(reader, tree, Existing(folder), choices, load)
    return [_with_page(one, folder) for one in plan.plan(documents)]


def find_differing(folder: Path, imports: Iterable[Import]) -> list[Path]:
    """Return the files that `write_imports` would write."""
    return [
        folder / path
        for one in imports
        for path, data in one.files.items()
        if _read(folder / path) != data
    ]


def write_imports(folder: Path, imports: Iterable[Import]) -> Iterator[Path]:
    """Write what differs from what is there; yield each path once it is written.

    Each file is replaced as a whole, the record of the import last. What cannot be written refuses
    its document and no other one.
    """
    for one in imports:
        for path, data in one.files.items():
            file = folder / path
            try:
                check_inside(folder, path)
                if _read(file) == data:
                    continue
                replace_inside(folder, path, data, mode=0o644)
            except OSError as error:
                one.outcome = Outcome.REFUSED
                one.reason = f"{file} cannot be written: {error.strerror}"
                break
            yield file
        if one.outcome is not Outcome.REFUSED:
            for path in one.removed:
                (folder / path).unlink(missing_ok=True)


def _choices(request: ImportRequest, catalog: Catalog) -> Choices:
    known = sorted(catalog.tenants)
    tenant = request.tenant
    if not tenant:
        if len(known) != 1:
            which = f"the catalog has {', '.join(known)}" if known else "the catalog has none"
            raise UsageError(f"name the tenant of the APIs with --tenant: {which}")
        tenant = known[0]
    gateways = [gateway.name for gateway in catalog.gateways]
    return Choices(
        tenant,
        request.variables or {},
        request.backend,
        request.gateways,
        gateways if len(gateways) == 1 else (),
    )


def _fetched(location: str, request: ImportRequest, folder: Path, fetch: Fetch) -> Fetched:
    """Read one document; what is wrong is said in it, for the others do not depend on it."""
    if "://" in location:
        source = without_secrets(location)
        found = Fetched(source, source, source, b"", name=request.name, address=location)
        try:
            return replace(found, data=fetch(location))
        except OSError as error:
            return replace(found, reason=f"{source}: {error}")
    path = Path(location).expanduser()
    try:
        source = Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        source = path.as_posix()
    address = str(path.resolve())
    found = Fetched(source, location, "", b"", name=request.name, address=address)
    try:
        return replace(found, data=_read_bounded(path))
    except OSError as error:
        return replace(found, reason=f"{location} {error.strerror or error}")


def _read_bounded(path: Path) -> bytes:
    """Return the bytes of a file; OSError, of which the text continues its name."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # one more tells "exactly" from "more than"
    except OSError as error:
        raise OSError(f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise OSError(f"has more than {MAX_BYTES >> 20} MiB")
    return data


def _load(address: str, location: str, fetch: Fetch) -> tuple[str, bytes]:
    """Return (address, bytes) of what a reference in the document at an address names.

    A document behind a URL names no files; a file names URLs, and files in its own folder and
    below: another one would come into the catalog by a document that somebody else wrote.
    """
    if "://" in address or "://" in location:
        url = urljoin(address, location) if "://" in address else location
        return url, fetch(url)
    base = Path(address).parent
    path = (base / location).resolve()
    if not path.is_relative_to(base):
        raise OSError("it lies outside of the folder of the document")
    return str(path), _read_bounded(path)


def without_secrets(url: str) -> str:
    """Return a URL without user, query and fragment, which may hold a password or a token."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return url.partition("?")[0]


def _with_page(one: Import, folder: Path) -> Import:
    """Write the page on what is not expressed, where the import has one."""
    for path in one.files:
        if path.endswith(f"/{NOTES}"):
            one.files[path] = import_page(one.unmapped, one.fetched.shown).encode()
    return one


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None

"""`import kong|gravitee|apisix|stoa|gateway`: documents for what others describe, again and again.

Every form ends in the same comparison with the import before it (`catalog.export.three_way`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stoa_gitops.catalog.export.foreign.settling import settle
from stoa_gitops.catalog.export.overlay import TreeWithoutFiles
from stoa_gitops.catalog.export.proposal import NOTES
from stoa_gitops.catalog.export.three_way.outcomes import CatalogFolder, FileImport, Outcome
from stoa_gitops.catalog.export.three_way.record import FilesRecord, record_path
from stoa_gitops.catalog.export.three_way.reimport import NewDocument, Reimport, reimport
from stoa_gitops.catalog.sources.base import Tree, is_url
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.files import replace_inside
from stoa_gitops.model.unmapped import Unmapped
from stoa_gitops.operations.adopt_documents import (
    GatewayObjects,
    propose_documents,
    read_vendor_export,
)
from stoa_gitops.operations.validate import catalog_reader
from stoa_gitops.report.unmapped import is_notes_page, notes_page

if TYPE_CHECKING:
    from stoa_gitops.catalog.export.foreign.translation import Translation
    from stoa_gitops.catalog.reader import Reader
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance
    from stoa_gitops.model.keys import Key
    from stoa_gitops.model.resources import Observed

VENDOR_FORMS: Final = ("kong", "gravitee")
"""Forms whose files the adapter of that type reads."""

# Of the option `adoptTenant` where no document says one.
_ANY_TENANT: Final = "default"


@dataclass(frozen=True, slots=True)
class FilesRequest:
    """What a person asks for.

    locations  files, or the folder of a tree
    gateway    empty for the only one that fits
    tenant     of what the files name no tenant for; empty for the only one of the catalog
    variables  values of variables that the files name, by name
    """

    form: str
    catalog: str
    locations: Sequence[str]
    gateway: str = ""
    tenant: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FilesPlan:
    """What becomes of the files, and what is said about it.

    placeholders  variables that a person sets, by the object that needs them
    titles        what objects were called where their name had to differ
    keys          objects that a gateway of the files' own type may have already
    gateway       the one that the documents are for; None for those of a whole tree
    """

    form: str
    shown: str
    folder: CatalogFolder
    record: str
    result: Reimport
    unmapped: tuple[Unmapped, ...]
    placeholders: Mapping[Key, tuple[str, ...]]
    keys: tuple[Key, ...] = ()
    gateway: GatewayInstance | None = None
    titles: Mapping[Key, str] = field(default_factory=dict)

    @property
    def is_refused(self) -> bool:
        """Whether a document is not written."""
        return any(one.outcome is Outcome.REFUSED for one in self.result.files)

    @property
    def note(self) -> str:
        """What to know of what is left out, where the gateway is of another type than the files.

        Empty where it is not, and where nothing is left out.
        """
        gateway = self.gateway
        if gateway is None or self.form not in VENDOR_FORMS or not self.unmapped:
            return ""
        if gateway.gateway_type == self.form:
            return ""
        return (
            f"What stays, or changes when it is adopted, is on the {self.form} gateway that the"
            f" file describes: {gateway.name} gets what the documents say, and nothing else."
        )


@dataclass(frozen=True, slots=True)
class ImportTarget:
    """The folder that is written to; `bare` and `catalog` are without what this form wrote."""

    reader: Reader
    tree: Tree
    bare: Tree
    catalog: Catalog
    folder: CatalogFolder
    record_path: str
    record: FilesRecord


def plan_files(request: FilesRequest, state: Path) -> FilesPlan:
    """Return what becomes of everything that the files describe; nothing is written.

    Raises UsageError for a request that makes no sense and for a file that cannot be read,
    CatalogError for a folder that is no catalog.
    """
    if is_url(request.catalog):
        raise UsageError(f"{request.catalog} is a repository: documents are written to a folder")
    folder = CatalogFolder(Path(request.catalog).expanduser())
    tree = FolderSource(folder.folder).snapshot()
    reader = catalog_reader(state)
    # With what an earlier import of this form wrote: its tenant is that of the next one.
    catalog = reader.read(tree)
    shown = ", ".join(request.locations)
    if request.form == "stoa":
        target = _target(reader, tree, folder, record_path("stoa", ""))
        return _of_translation(request, target, _read_tree(request, target), shown)
    instance = choose_gateway(catalog.gateways, request.form, request.gateway)
    target = _target(reader, tree, folder, record_path(request.form, instance.name))
    if request.form not in VENDOR_FORMS:
        tenant = choose_tenant(catalog, request.tenant)
        translation = _read_adc(request, target, instance, tenant)
        return _of_translation(request, target, translation, shown, instance)
    # Options are those of one type: the file is read with the defaults of its vendor's.
    is_same = instance.gateway_type == request.form
    reading = instance if is_same else replace(instance, gateway_type=request.form, options={})
    if request.form == "kong":
        reading = _with_tenant(reading, request.tenant, catalog)
    found = [
        read_vendor_export(
            Path(location).expanduser(), reading, target.catalog.owner, is_implied=True
        )
        for location in request.locations
    ]
    objects = _together(found, request.locations)
    return plan_objects(request.form, target, instance, objects, (), shown, is_owned=is_same)


def _with_tenant(instance: GatewayInstance, name: str, catalog: Catalog) -> GatewayInstance:
    """Return a gateway with a tenant for what a file of Kong names none for.

    The gateway's own choice wins over the only tenant; the options of a Kong have a value also
    where its document has none.
    """
    is_chosen = instance.options.get("adoptTenant", _ANY_TENANT) != _ANY_TENANT
    if not name and (is_chosen or len(catalog.tenants) != 1):
        return instance
    tenant = choose_tenant(catalog, name)
    return replace(instance, options={**instance.options, "adoptTenant": tenant})


def _together(found: Sequence[GatewayObjects], locations: Sequence[str]) -> GatewayObjects:
    """Return the objects of several files; of two with one key, those of the first file."""
    objects: list[Observed] = []
    unmapped: list[Unmapped] = []
    holders: dict[Key, str] = {}
    for one, location in zip(found, locations, strict=True):
        own = {item.key.parent or item.key for item in one.objects}
        taken = {key for key in own if key in holders}
        objects += [item for item in one.objects if (item.key.parent or item.key) not in taken]
        for key in sorted(taken):
            effect = f"not written: {holders[key]} has one of the same name; rename it there"
            unmapped.append(Unmapped(location, "", key.name, effect, key))
        unmapped += one.unmapped
        holders |= dict.fromkeys(own - taken, location)
    return GatewayObjects(objects, unmapped)


def target_of(tree: Tree, folder: Path, form: str, name: str, state: Path) -> ImportTarget:
    """Return where documents of a form are written to, over the catalog of a tree."""
    return _target(catalog_reader(state), tree, CatalogFolder(folder), record_path(form, name))


def plan_objects(
    form: str,
    target: ImportTarget,
    instance: GatewayInstance,
    objects: GatewayObjects,
    keys: Sequence[Key],
    shown: str,
    *,
    is_owned: bool,
) -> FilesPlan:
    """Return what becomes of objects that a gateway, or a file of its vendor, has.

    With `is_owned` the gateway may have them already, to be adopted.
    """
    proposal = propose_documents(
        target.catalog, target.bare, instance, objects, keys, closes=not is_owned
    )
    result = reimport(
        proposal.documents, {}, target.record, target.folder, target.reader, target.tree
    )
    if form == "gateway":
        # What is adopted meanwhile is no foreign object any more, and keys name a part.
        result = replace(result, gone=())
    drafts = proposal.drafts
    return FilesPlan(
        form,
        shown,
        target.folder,
        target.record_path,
        result,
        proposal.unmapped,
        {draft.key: draft.placeholders for draft in drafts if draft.placeholders},
        tuple(key for draft in drafts for key in draft.keys) if is_owned else (),
        instance,
    )


def write_files(plan: FilesPlan) -> Iterator[Path]:
    """Write what differs; yield each path once it is written, the page and the record last.

    What cannot be written refuses its document and no other one.
    """
    folder = plan.folder.folder
    if not is_notes_page(plan.folder.read(NOTES)):
        raise UsageError(f"nothing was written: {folder / NOTES} exists and was not imported")
    for one in plan.result.files:
        if one.data is None:
            continue
        try:
            file = replace_inside(folder, one.path, one.data, mode=0o644)
        except OSError as error:
            one.outcome, one.data = Outcome.REFUSED, None
            one.reason = f"{folder / one.path} cannot be written: {error.strerror}"
            continue
        yield file
    rest = {plan.record: _record(plan).to_text().encode()}
    page = notes_page(plan.folder.read(NOTES), _section(plan), plan.shown, plan.unmapped, plan.note)
    if page is not None:
        rest = {NOTES: page, **rest}
    for path, data in rest.items():
        if plan.folder.read(path) == data:
            continue
        try:
            file = replace_inside(folder, path, data, mode=0o644)
        except OSError as error:
            raise UsageError(f"{folder / path} cannot be written: {error.strerror}") from None
        yield file


def differing_files(plan: FilesPlan) -> list[Path]:
    """Return the files that `write_files` would write, but for its record and page."""
    return [plan.folder.folder / one.path for one in plan.result.files if one.data is not None]


def choose_gateway(gateways: Iterable[GatewayInstance], vendor: str, name: str) -> GatewayInstance:
    """Return the gateway of a name, or the only one of the vendor's type, or the only one.

    Raises UsageError.
    """
    known = sorted(gateways, key=lambda one: one.name)
    if name:
        found = next((one for one in known if one.name == name), None)
        if found is None:
            names = ", ".join(one.name for one in known) or "none"
            hint = "`validate` says what is wrong with a document that is there"
            raise UsageError(f"the catalog has no gateway {name}; it has {names} ({hint})")
        return found
    of_type = [one for one in known if one.gateway_type == vendor]
    for group in (of_type, known):
        if len(group) == 1:
            return group[0]
    raise UsageError(
        "name the gateway that the documents are for with --gateway; where the catalog has none, "
        "write gateways/<name>.yaml first"
    )


def _record(plan: FilesPlan) -> FilesRecord:
    """Return the record without what could not be written after all."""
    failed = {one.path for one in plan.result.files if one.outcome is Outcome.REFUSED}
    record, before = plan.result.record, FilesRecord.read(plan.folder, plan.record)

    def kept(new: Mapping[str, object], old: Mapping[str, object]) -> dict[str, object]:
        rest = {path: value for path, value in new.items() if path not in failed}
        return {**rest, **{path: old[path] for path in failed if path in old}}

    documents = kept(record.documents, before.documents)
    return FilesRecord(documents, kept(record.copies, before.copies))  # type: ignore[arg-type]  # of the same values


def _section(plan: FilesPlan) -> str:
    return plan.record.removeprefix(".imported/").removesuffix(".json")


def _target(reader: Reader, tree: Tree, folder: CatalogFolder, path: str) -> ImportTarget:
    record = FilesRecord.read(folder, path)
    bare = TreeWithoutFiles(tree, record.paths) if record.paths else tree
    return ImportTarget(reader, tree, bare, reader.read(bare), folder, path, record)


def _of_translation(
    request: FilesRequest,
    target: ImportTarget,
    translation: Translation,
    shown: str,
    instance: GatewayInstance | None = None,
) -> FilesPlan:
    settle(translation, target.reader, target.bare)
    documents = [
        NewDocument(one.path, one.tree, one.key, one.comment)
        for one in translation.documents.values()
    ]
    result = reimport(
        documents, translation.copies, target.record, target.folder, target.reader, target.tree
    )
    placeholders = {
        one.key: tuple(one.placeholders)
        for one in translation.documents.values()
        if one.key is not None and one.placeholders
    }
    unmapped = tuple(sorted(translation.unmapped, key=lambda item: item.order))
    return FilesPlan(
        request.form, shown, target.folder, target.record_path, result, unmapped, placeholders,
        gateway=instance,
        titles={
            one.key: one.title
            for one in translation.documents.values()
            if one.key is not None and one.title != one.name
        },
    )  # fmt: skip


def _read_adc(
    request: FilesRequest, target: ImportTarget, instance: GatewayInstance, tenant: str
) -> Translation:
    from stoa_gitops.catalog.export.foreign.apisix.configuration import translate_adc

    return translate_adc(
        [Path(location).expanduser() for location in request.locations],
        instance.name,
        tenant,
        target.catalog,
    )


def _read_tree(request: FilesRequest, target: ImportTarget) -> Translation:
    from stoa_gitops.catalog.export.foreign.stoa.tree import translate_tree

    if len(request.locations) != 1:
        raise UsageError("`import stoa` reads one folder")
    return translate_tree(
        Path(request.locations[0]).expanduser(), target.catalog, target.bare, request.variables
    )


def choose_tenant(catalog: Catalog, name: str) -> str:
    """Return the tenant of a name, or the only one of the catalog; raises UsageError."""
    from stoa_gitops.catalog.evaluation.layout import NAME

    known = sorted(catalog.tenants)
    if not name:
        if len(known) != 1:
            which = f"the catalog has {', '.join(known)}" if known else "the catalog has none"
            raise UsageError(f"name the tenant with --tenant: {which}")
        return known[0]
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name: lower-case letters, digits and dashes, 63 at most")
    return name


def results_of(plan: FilesPlan) -> Iterator[FileImport]:
    """Yield what became of each API and application, then of other files that changed."""
    yield from (one for one in plan.result.files if one.key is not None)
    yield from (
        one
        for one in plan.result.files
        if one.key is None and (one.outcome is not Outcome.UNCHANGED or one.kept)
    )

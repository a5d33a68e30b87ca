"""`import kong FILE`: documents for what a vendor's file describes, for any gateway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stoa_gitops.catalog.export.proposal import NOTES, Proposal, write
from stoa_gitops.catalog.sources.base import is_url
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.errors import UsageError
from stoa_gitops.operations.adopt_documents import (
    GatewayObjects,
    propose_documents,
    read_vendor_export,
)
from stoa_gitops.operations.validate import catalog_reader
from stoa_gitops.report.unmapped import unmapped_page

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance


@dataclass(frozen=True, slots=True)
class ExportImport:
    """What is proposed for a file, and the gateway that the documents are for."""

    proposal: Proposal
    gateway: GatewayInstance


def plan_export_import(
    catalog_folder: str, file: Path, vendor: str, gateway: str, state: Path
) -> ExportImport:
    """Propose documents for what a vendor's file describes and the catalog has not.

    The file is read as that of a gateway of type `vendor`; `gateway` may be one of another type,
    whose losses are then listed. Empty: the only one of the vendor's type, or the only one.

    Raises UsageError for a request that makes no sense and for a file that cannot be read,
    CatalogError for a folder that is no catalog.
    """
    if is_url(catalog_folder):
        raise UsageError(f"{catalog_folder} is a repository: documents are written to a folder")
    tree = FolderSource(Path(catalog_folder).expanduser()).snapshot()
    catalog = catalog_reader(state).read(tree)
    instance = _gateway(catalog, vendor, gateway)
    # Options are those of one type: the file is read with the defaults of its vendor's.
    is_same = instance.gateway_type == vendor
    reading = instance if is_same else replace(instance, gateway_type=vendor, options={})
    found = read_vendor_export(file, reading, catalog.owner)
    objects = GatewayObjects(found.objects, found.unmapped)
    return ExportImport(propose_documents(catalog, tree, instance, objects, ()), instance)


def write_export_import(planned: ExportImport, folder: Path, shown: str) -> Iterator[Path]:
    """Write the documents, and the page on what they leave out; yield each path once it is written.

    Writes nothing where a document would be overwritten: UsageError. The page of an earlier import
    is replaced, for its objects are in the catalog now or on the new page.
    """
    texts = dict(planned.proposal.texts)
    if planned.proposal.unmapped:
        texts[NOTES] = unmapped_page(planned.proposal.unmapped, shown)
    return write(folder, texts, replaced=(NOTES,))


def _gateway(catalog: Catalog, vendor: str, name: str) -> GatewayInstance:
    if name:
        found = next((one for one in catalog.gateways if one.name == name), None)
        if found is None:
            known = ", ".join(sorted(one.name for one in catalog.gateways)) or "none"
            raise UsageError(f"the catalog has no gateway {name}; it has {known}")
        return found
    of_type = [one for one in catalog.gateways if one.gateway_type == vendor]
    for group in (of_type, catalog.gateways):
        if len(group) == 1:
            return group[0]
    raise UsageError(
        "name the gateway that the documents are for with --gateway; a first one is written to "
        "gateways/<name>.yaml"
    )

"""`validate`: reads a catalog and finds everything that is wrong with it.

Every other use case starts here, too: a catalog is read the same way for all of them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stoa_gitops.adapters.registry import (
    combined_losses,
    gateway_types,
    losses,
    reserved,
    router,
    unsupported,
)
from stoa_gitops.catalog import Reader
from stoa_gitops.errors import UsageError
from stoa_gitops.secrets import SecretPlaces, find_refusal

if TYPE_CHECKING:
    from collections.abc import Collection

    from stoa_gitops.catalog import Source, Tree
    from stoa_gitops.catalog.documents.isolation import Isolation
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.reconcile.selection import Selection


@dataclass(frozen=True, slots=True)
class CatalogReading:
    """A catalog with the tree of files and the reader that it came from."""

    catalog: Catalog
    tree: Tree
    reader: Reader

    @property
    def prefix(self) -> str:
        """The catalog's folder inside its repository, empty at the root."""
        return self.tree.prefix


def secret_places(state: Path | None) -> SecretPlaces:
    """Return which files this process may read for documents; `state` is its state folder."""
    return SecretPlaces.of_process(os.environ, state)


def catalog_reader(state: Path | None = None, isolation: Isolation | None = None) -> Reader:
    """Return a reader that knows what the gateway types of this installation can express.

    It also knows which secrets documents may refer to; none in the `state` folder. Large files are
    read where `isolation` says, by default in this process.
    """
    places = secret_places(state)
    return Reader(
        unsupported=unsupported,
        losses=losses,
        combined=combined_losses,
        reserved=reserved,
        router=router,
        gateway_types=gateway_types(),
        isolation=isolation,
        secret_refusal=lambda reference, rights: find_refusal(reference, rights, places),
    )


def read_catalog(source: Source, *, state: Path | None = None) -> CatalogReading:
    """Read a catalog; its findings are in `catalog.diagnostics`. No document names a `state` file.

    Raises CatalogError where it cannot be read at all.

        source = open_source("catalog-example", cache_dir=folder / "catalogs")
        catalog = read_catalog(source).catalog
        assert not catalog.errors
    """
    tree = source.snapshot()
    reader = catalog_reader(state)
    return CatalogReading(reader.read(tree), tree, reader)


def is_valid(catalog: Catalog, *, strict: bool = False) -> bool:
    """Whether a catalog has no errors and, if `strict`, no warnings either."""
    return not catalog.errors and not (strict and catalog.warnings)


def is_within(path: str, folder: str) -> bool:
    """Whether a path of a catalog is this one, or below it; everything is below the empty path."""
    return not folder or path == folder or path.startswith(f"{folder}/")


def check_selection(catalog: Catalog, selection: Selection) -> None:
    """Raise UsageError for a gateway, environment or tenant that the catalog does not have."""
    # Sorted, because a set has no order and the message must not change from run to run.
    for name in sorted(selection.gateways):
        require_name("gateway", name, {gateway.name for gateway in catalog.gateways})
    if selection.environment:
        environments = {gateway.environment for gateway in catalog.gateways}
        require_name("environment", selection.environment, environments)
    if selection.tenant:
        require_name("tenant", selection.tenant, catalog.tenants)


def gateways_of_tenant(catalog: Catalog, tenant: str | None) -> frozenset[str]:
    """Return the gateways that get objects of a tenant, all of them where it is None.

    Raises UsageError for a tenant that the catalog does not have.
    """
    if tenant:
        require_name("tenant", tenant, catalog.tenants)
    return frozenset(
        name
        for name, desired in catalog.desired.items()
        if not tenant or any(key.tenant == tenant for key in desired.resources)
    )


def require_name(noun: str, name: str, names: Collection[str]) -> None:
    """Raise UsageError, with the names that exist, where the catalog does not have one."""
    if name not in names:
        existing = ", ".join(sorted(names)) or "none"
        raise UsageError(f"the catalog has no {noun} {name!r}; there is: {existing}")

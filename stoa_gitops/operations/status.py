"""`status` where no process runs: how the store last knew the gateways to be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stoa_gitops import __version__
from stoa_gitops.errors import UsageError
from stoa_gitops.store.folder import has_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from stoa_gitops.model.instances import GatewayInstance
    from stoa_gitops.operations.stored_gateways import StoredGateway, StoredRegistration
    from stoa_gitops.operations.views import GatewayDetailView, GatewayView, StatusView


def require_store(folder: Path) -> None:
    """Raise UsageError where nothing was ever stored."""
    if not has_store(folder):
        raise UsageError(
            f"nothing is known in {folder}: neither `run` nor `apply` was started with this --state"
        )


async def stored_status(folder: Path) -> StatusView:
    """Return the status of a state folder whose process does not run; raises StoreError.

    Its `well` is false: no process is reconciling.
    """
    from stoa_gitops.operations.views import FORMAT_VERSION, CatalogView, StatusView

    items: list[GatewayView] = []
    # A command that only reads must not make a store.
    if has_store(folder):
        from stoa_gitops.operations.store_choice import open_store
        from stoa_gitops.operations.stored_gateways import load_gateways, load_registered

        documents = last_documents(folder)
        async with open_store(folder) as store:
            registered = await load_registered(store, documents.values())
            names = _names(documents, registered)
            gateways = await load_gateways(store, names)
        # Of one that was forgotten there is history alone, for `events` and `history`.
        items = [
            _view(item, documents, registered)
            for item in gateways.values()
            if item.scopes or item.name in names
        ]
    return StatusView(
        format_version=FORMAT_VERSION,
        source="store",
        version=__version__,
        ready=False,
        well=False,
        troubles=[],
        catalog=CatalogView(owner=None, revision=None, errors=None, warnings=None, unreadable=None),
        items=items,
        next=None,
    )


async def remembered(folder: Path) -> Mapping[str, tuple[int, datetime | None]]:
    """Return, by gateway, how many objects the store has as ours and when it was last changed."""
    if not has_store(folder):
        return {}
    from stoa_gitops.operations.store_choice import open_store
    from stoa_gitops.operations.stored_gateways import load_gateways

    async with open_store(folder) as store:
        gateways = await load_gateways(store, last_documents(folder))
    return {
        name: (item.objects, item.last.finished_at if item.last else None)
        for name, item in gateways.items()
    }


async def stored_gateway(folder: Path, name: str) -> GatewayDetailView:
    """Return one gateway with its quarantine and last cycle; raises UsageError, StoreError."""
    from stoa_gitops.operations.store_choice import open_store
    from stoa_gitops.operations.stored_gateways import load_gateways, load_registered
    from stoa_gitops.operations.stored_views import stored_detail

    require_store(folder)
    async with open_store(folder) as store:
        documents = last_documents(folder)
        registered = await load_registered(store, documents.values())
        gateways = await load_gateways(store, _names(documents, registered))
        stored = require_gateway(gateways, name)
        return await stored_detail(store, stored, _view(stored, documents, registered))


def _names(
    documents: Mapping[str, GatewayInstance], registered: Mapping[str, StoredRegistration]
) -> set[str]:
    """Return the names of gateways: a document that others registered for is none itself."""
    used = {found.document.name for found in registered.values() if found.document}
    return {*(documents.keys() - used), *registered}


def _view(
    stored: StoredGateway,
    documents: Mapping[str, GatewayInstance],
    registered: Mapping[str, StoredRegistration],
) -> GatewayView:
    from stoa_gitops.operations.stored_views import stored_view

    found = registered.get(stored.name)
    if found is None:
        return stored_view(stored, documents.get(stored.name))
    return stored_view(stored, found.document, found.record)


def last_documents(folder: Path) -> Mapping[str, GatewayInstance]:
    """Return, by name, the gateways that the catalog of the last `run` had."""
    from stoa_gitops.state_folder import last_good_file

    # The store keeps no documents; the file of the last good catalog does.
    last = last_good_file.read_last_good(folder)
    return {gateway.name: gateway for gateway in last.gateways} if last else {}


def require_gateway(gateways: Mapping[str, StoredGateway], name: str) -> StoredGateway:
    """Return the gateway of that name; UsageError names what exists."""
    if name not in gateways:
        existing = ", ".join(gateways) or "none"
        raise UsageError(f"no gateway {name!r} is known; there is: {existing}")
    return gateways[name]

"""`status` where no process runs: how the store last knew the gateways to be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stoa_gitops.errors import UsageError
from stoa_gitops.store.folder import has_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoa_gitops.model.instances import GatewayInstance
    from stoa_gitops.operations.stored_gateways import Remembered

FORMAT_VERSION: Final = "1.0"


def require_store(folder: Path) -> None:
    """Raise UsageError where nothing was ever stored."""
    if not has_store(folder):
        raise UsageError(
            f"nothing is known in {folder}: neither `run` nor `apply` was started with this --state"
        )


async def stored_status(folder: Path) -> dict[str, Any]:
    """Return the status of a state folder whose process does not run; raises StoreError.

    Nothing in it is well: no process keeps it so.
    """
    from stoa_gitops import __version__

    items: list[Any] = []
    if has_store(folder):
        from stoa_gitops.operations import stored_gateways
        from stoa_gitops.operations.workspace import Workspace

        documents = last_documents(folder)
        async with Workspace.open(folder) as workspace:
            found = await stored_gateways.everything(workspace.context.store, documents)
        items = [stored_gateways.item(g, documents.get(name)) for name, g in found.items()]
    unknown = {
        "owner": None,
        "revision": None,
        "errors": None,
        "warnings": None,
        "unreadable": None,
    }
    return {
        "format_version": FORMAT_VERSION, "source": "store", "version": __version__, "ready": False,
        "well": False, "catalog": unknown, "items": items, "next": None,
    }  # fmt: skip


async def stored_gateway(folder: Path, name: str) -> dict[str, Any]:
    """Return one gateway with its quarantine and last cycle; raises UsageError, StoreError."""
    from stoa_gitops.operations import stored_gateways
    from stoa_gitops.operations.workspace import Workspace

    require_store(folder)
    async with Workspace.open(folder) as workspace:
        store = workspace.context.store
        documents = last_documents(folder)
        gateway = require_gateway(await stored_gateways.everything(store, documents), name)
        return {
            **stored_gateways.item(gateway, documents.get(name)),
            "objects": gateway.objects,
            "quarantined": await stored_gateways.quarantined(store, gateway.scopes),
            "lastCycle": stored_gateways.cycle_tree(gateway.last),
        }


def last_documents(folder: Path) -> Mapping[str, GatewayInstance]:
    """Return, by name, the gateways that the catalog of the last `run` had."""
    from stoa_gitops.state_folder import last_good_file

    last = last_good_file.read(folder)
    return {gateway.name: gateway for gateway in last.gateways} if last else {}


def require_gateway(gateways: Mapping[str, Remembered], name: str) -> Remembered:
    """Return the gateway of that name; UsageError names what exists."""
    if name not in gateways:
        existing = ", ".join(gateways) or "none"
        raise UsageError(f"no gateway {name!r} is known; there is: {existing}")
    return gateways[name]

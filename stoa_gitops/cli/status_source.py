"""What is known of gateways: asked of the running process, or read from its store where none runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from stoa_gitops.cli.remote import find
from stoa_gitops.errors import UsageError

FORMAT_VERSION: Final = "1.0"


def status(folder: Path) -> dict[str, Any]:
    """Return a document of `schemas/output/status.json`; its `source` says where it is from.

    Raises RemoteFailed for a process that does not answer, StoreError for a store that cannot be read.
    """
    remote = find(folder)
    if remote is not None:
        return remote.get("/v1/status")
    return asyncio.run(_stored_status(folder))


def gateway(folder: Path, name: str) -> dict[str, Any]:
    """Return one gateway with its quarantine and last cycle; UsageError names what exists."""
    remote = find(folder)
    if remote is not None:
        return remote.get(f"/v1/gateways/{quote(name, safe='')}")
    return asyncio.run(_stored_gateway(folder, name))


def has_store(folder: Path) -> bool:
    """Whether anything was ever remembered here: looking must not make a store."""
    from stoa_gitops.store.store import FILE

    return (folder / FILE).exists()


async def _stored_status(folder: Path) -> dict[str, Any]:
    """Nothing that is remembered is well: no process keeps it so."""
    from stoa_gitops import __version__

    items: list[Any] = []
    if has_store(folder):
        from stoa_gitops.operations import stored_gateways as remembered
        from stoa_gitops.operations.workspace import Workspace

        documents = _documents(folder)
        async with Workspace.open(folder) as workspace:
            found = await remembered.everything(workspace.context.store, documents)
        items = [remembered.item(known, documents.get(name)) for name, known in found.items()]
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


def _documents(folder: Path) -> dict[str, Any]:
    """Return, by name, the gateways that the catalog of the last `run` had."""
    from stoa_gitops.state_folder import last_good_file as last_good

    last = last_good.read(folder)
    return {gateway.name: gateway for gateway in last.gateways} if last else {}


async def _stored_gateway(folder: Path, name: str) -> dict[str, Any]:
    from stoa_gitops.operations import stored_gateways as remembered
    from stoa_gitops.operations.workspace import Workspace

    check_store(folder)
    async with Workspace.open(folder) as workspace:
        store = workspace.context.store
        documents = _documents(folder)
        known = one_of(await remembered.everything(store, documents), name)
        return {
            **remembered.item(known, documents.get(name)),
            "objects": known.objects,
            "quarantined": await remembered.quarantined(store, known.scopes),
            "lastCycle": remembered.cycle_tree(known.last),
        }


def check_store(folder: Path) -> None:
    """Raise UsageError where there is nothing to look into."""
    if not has_store(folder):
        raise UsageError(
            f"nothing is known in {folder}: neither `run` nor `apply` was started with this --state"
        )


def one_of(known: dict[str, Any], name: str) -> Any:
    """Return the gateway of that name; UsageError names what exists."""
    if name not in known:
        raise UsageError(f"no gateway {name!r} is known; there is: {', '.join(known) or 'none'}")
    return known[name]

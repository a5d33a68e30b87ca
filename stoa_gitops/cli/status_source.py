"""Status of gateways: asked of the running process, or read from its store where none runs."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stoa_gitops.cli.remote import find
from stoa_gitops.cli.status_text import age_text
from stoa_gitops.model.counts import counted


def status(folder: Path) -> dict[str, Any]:
    """Return a document of `schemas/output/status.json`; its `source` says where it is from.

    Raises RemoteFailed for a process that does not answer, StoreError for a store that cannot be
    read.
    """
    remote = find(folder)
    if remote is not None:
        return remote.get("/v1/status")
    from stoa_gitops.operations.status import stored_status

    return asyncio.run(stored_status(folder)).document()


def memories(document: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return, by gateway, what the store knows and how old that is; none with a process."""
    if document["source"] != "store":
        return {}
    from stoa_gitops.operations.status import remembered
    from stoa_gitops.operations.store_choice import now

    found = asyncio.run(remembered(folder))
    return {name: memory_text(*memory, now()) for name, memory in found.items()}


def memory_text(objects: int, changed: datetime | None, now: datetime) -> str:
    """Return what is remembered of one gateway, as `20 objects, changed 3 h ago`."""
    count = counted(objects, "object")
    if changed is None:
        return f"{count}, never changed from here"
    return f"{count}, changed {age_text((now - changed).total_seconds())}"


def gateway(folder: Path, name: str) -> dict[str, Any]:
    """Return one gateway with its quarantine and last cycle; UsageError names what exists."""
    remote = find(folder)
    if remote is not None:
        return remote.get(f"/v1/gateways/{quote(name, safe='')}")
    from stoa_gitops.operations.status import stored_gateway

    return asyncio.run(stored_gateway(folder, name)).document()

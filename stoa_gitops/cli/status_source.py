"""Status of gateways: asked of the running process, or read from its store where none runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stoa_gitops.cli.remote import find


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


def gateway(folder: Path, name: str) -> dict[str, Any]:
    """Return one gateway with its quarantine and last cycle; UsageError names what exists."""
    remote = find(folder)
    if remote is not None:
        return remote.get(f"/v1/gateways/{quote(name, safe='')}")
    from stoa_gitops.operations.status import stored_gateway

    return asyncio.run(stored_gateway(folder, name)).document()

"""Opens the store of a state folder: the one place that chooses which kind of store it is."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stoa_gitops.store.sqlite import SqliteStore, SqliteUsageLedger

if TYPE_CHECKING:
    from stoa_gitops.store import Store, UsageLedger


def now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


@contextlib.asynccontextmanager
async def open_store(folder: Path, clock: Callable[[], datetime] = now) -> AsyncIterator[Store]:
    """Open a store, made where it is missing, and close it at the end; raises StoreError.

    Reading needs no more than this: the drivers of a Workspace would cost 0.1 s of start.
    """
    store = await SqliteStore.open(folder, clock=clock)
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def open_usage_ledger(folder: Path) -> AsyncIterator[UsageLedger]:
    """Open what registered gateways counted; its file is made with the first report."""
    ledger = SqliteUsageLedger(folder)
    try:
        yield ledger
    finally:
        await ledger.close()

"""What is remembered between cycles and restarts: SQLite in one folder."""

from __future__ import annotations

from stoa_gitops.store.async_store import AsyncStore
from stoa_gitops.store.records import (
    AuditEntry,
    Cycle,
    CycleEntry,
    Lease,
    PastOutcome,
    Quarantined,
    Retention,
    Scope,
)
from stoa_gitops.store.store import Store

__all__ = [
    "AsyncStore",
    "AuditEntry",
    "Cycle",
    "CycleEntry",
    "Lease",
    "PastOutcome",
    "Quarantined",
    "Retention",
    "Scope",
    "Store",
]

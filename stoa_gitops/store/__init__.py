"""What is remembered between cycles and restarts: the protocol of a store, and its values.

Inventory, quarantine, history, audit trail, conditions and leases. Planning with them is
`reconcile`'s; how they are kept is the matter of `store.sqlite`, which only the composition root
may import.
"""

from __future__ import annotations

from stoa_gitops.store.interface import Store, UsageLedger
from stoa_gitops.store.records import (
    AuditEntry,
    Cycle,
    CycleEntry,
    Lease,
    PublishedRecord,
    Quarantined,
    Retention,
    Scope,
    StoredState,
    UsageFilter,
    UsageRow,
    Version,
)

__all__ = [
    "AuditEntry",
    "Cycle",
    "CycleEntry",
    "Lease",
    "PublishedRecord",
    "Quarantined",
    "Retention",
    "Scope",
    "Store",
    "StoredState",
    "UsageFilter",
    "UsageLedger",
    "UsageRow",
    "Version",
]

"""The store in one SQLite file, for one machine: `SqliteStore.open(folder)`.

`store` hands every call to a thread of its own; `blocking_store` is what runs there. The modules
below it hold the SQL of one table group each; `database` is the only one that imports SQLite.
"""

from __future__ import annotations

from stoa_gitops.store.sqlite.blocking_store import BlockingStore
from stoa_gitops.store.sqlite.store import SqliteStore
from stoa_gitops.store.sqlite.usage_ledger import SqliteUsageLedger

__all__ = ["BlockingStore", "SqliteStore", "SqliteUsageLedger"]

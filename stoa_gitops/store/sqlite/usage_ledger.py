"""What registered gateways say that callers used, by the hour: a file of its own.

Gateways report every half minute: in the store's file each report would make planning look for
what has changed there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from stoa_gitops.store.folder import make_state_folder
from stoa_gitops.store.records import UsageFilter, UsageRow
from stoa_gitops.store.sqlite.database import Database, Value

P = ParamSpec("P")
T = TypeVar("T")

FILE_NAME: Final = "reported-usage.db"

_CREATE: Final = """
CREATE TABLE IF NOT EXISTS usage (
    hour INTEGER NOT NULL, gateway TEXT NOT NULL, source TEXT NOT NULL,
    tenant_id TEXT NOT NULL, api_id TEXT NOT NULL, application_id TEXT NOT NULL,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, refused INTEGER NOT NULL,
    received INTEGER NOT NULL, sent INTEGER NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (hour, gateway, source, tenant_id, api_id, application_id)
) WITHOUT ROWID
"""
# Sums only grow: a report that comes twice, or behind a later one, changes nothing.
_TAKE: Final = """
INSERT INTO usage VALUES (
    :hour, :gateway, :source, :tenant_id, :api_id, :application_id, :requests, :errors, :refused,
    :received, :sent, :seconds
) ON CONFLICT DO UPDATE SET
    requests = max(requests, excluded.requests), errors = max(errors, excluded.errors),
    refused = max(refused, excluded.refused), received = max(received, excluded.received),
    sent = max(sent, excluded.sent), seconds = max(seconds, excluded.seconds)
"""
_COUNT: Final = """
SELECT count(*) AS rows FROM (SELECT 1 FROM usage WHERE hour = ? AND gateway = ? LIMIT ?)
"""
_HAS: Final = """
SELECT 1 FROM usage WHERE hour = :hour AND gateway = :gateway AND source = :source
    AND tenant_id = :tenant_id AND api_id = :api_id AND application_id = :application_id
"""
# `total` and not `sum`, which fails beyond 64 bits: what one gateway reports must not keep anybody
# from reading. It is exact up to 2^53, and the cast ends at 2^63.
_READ: Final = """
SELECT CASE WHEN :is_total THEN :start ELSE hour END AS hour, tenant_id, api_id, application_id,
    CAST(total(requests) AS INTEGER) AS requests, CAST(total(errors) AS INTEGER) AS errors,
    CAST(total(refused) AS INTEGER) AS refused, CAST(total(received) AS INTEGER) AS received,
    CAST(total(sent) AS INTEGER) AS sent, total(seconds) AS seconds
FROM usage WHERE hour >= :start AND hour < :end
    AND (:tenant_id IS NULL OR tenant_id = :tenant_id) AND (:api_id IS NULL OR api_id = :api_id)
    AND (:application_id IS NULL OR application_id = :application_id)
    AND (:gateway IS NULL OR gateway = :gateway)
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 LIMIT :limit
"""


class SqliteUsageLedger:
    """Implements `stoa_gitops.store.UsageLedger`: all calls on one thread, which owns the file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="usage")
        self._database: Database | None = None

    async def close(self) -> None:
        """Finish what is running, and close the file."""
        await self._call(self._close)
        self._thread.shutdown()

    async def take(
        self,
        gateway: str,
        source: str,
        rows: Sequence[UsageRow],
        forget_before: int,
        most_of_an_hour: int,
    ) -> int:
        """Keep the sums of a report, and drop hours before `forget_before`.

        Of rows with which a gateway would have more than that of one hour, those that it has are
        kept, and further ones up to the bound; return how many are not.
        """
        return await self._call(self._take, gateway, source, rows, forget_before, most_of_an_hour)

    async def read(self, asked: UsageFilter) -> list[UsageRow]:
        """Return rows in the order of their hour and ids."""
        return await self._call(self._read, asked)

    async def has_rows(self) -> bool:
        """Whether anything is kept."""
        return await self._call(self._has_rows)

    async def _call(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(method, *args, **kwargs))

    def _take(
        self,
        gateway: str,
        source: str,
        rows: Sequence[UsageRow],
        forget_before: int,
        most_of_an_hour: int,
    ) -> int:
        by_hour: dict[int, list[Mapping[str, Value]]] = {}
        for row in rows:
            by_hour.setdefault(row.hour, []).append(
                {"gateway": gateway, "source": source, **row._asdict()}
            )
        left_out = 0
        database = self._opened()
        with database.transaction():
            for hour, found in by_hour.items():
                (counted,) = database.rows(_COUNT, (hour, gateway, most_of_an_hour))
                room = most_of_an_hour - counted["rows"]
                # Only close to the bound is each one looked for.
                is_close = len(found) > room
                for values in found:
                    if is_close and not database.rows(_HAS, values):
                        if not room:
                            left_out += 1
                            continue
                        room -= 1
                    database.execute(_TAKE, values)
            database.execute("DELETE FROM usage WHERE hour < ?", (forget_before,))
        return left_out

    def _read(self, asked: UsageFilter) -> list[UsageRow]:
        if self._database is None and not (self._folder / FILE_NAME).exists():
            return []
        return [UsageRow(**row) for row in self._opened().rows(_READ, asked._asdict())]

    def _has_rows(self) -> bool:
        if self._database is None and not (self._folder / FILE_NAME).exists():
            return False
        return bool(self._opened().rows("SELECT 1 FROM usage LIMIT 1"))

    def _opened(self) -> Database:
        """Return the file, made where it is missing."""
        if self._database is None:
            make_state_folder(self._folder)
            database = Database(self._folder / FILE_NAME)
            try:
                with database.transaction():
                    database.execute(_CREATE)
                database.use_write_ahead_log()
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

"""The database in which usage outlives the process: figures by hour (UTC), API and application.

What was counted is added every second, in one transaction, so a process that is killed loses the
counts of one second at most; one that ends in order loses none. Rows know how much of them the
control plane has, and those that have grown since are read to be reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from stoa_proxy.admin.usage import Row, UsageReport, UsageRequest, usage_document
from stoa_proxy.core.problems import Respond, problem
from stoa_proxy.core.usage import UsageCounters
from stoa_proxy.core.usage_figures import Usage, UsageKey
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.periodic import Periodic
from stoa_proxy.foundation.private_database import Connection, DatabaseError, open_database

_log = logging.getLogger("stoa_proxy.usage")

FILE_NAME: Final = "gateway-usage.db"
HOUR: Final = 3600
KEPT_HOURS: Final = 24 * 92
"""How long figures are kept: a quarter, and the day on which somebody looks."""

MAX_ROWS: Final = 10_000
"""Rows of one answer."""

_PAUSE_SECONDS: Final = 1.0
_CREATE: Final = """
create table if not exists usage (
    hour integer not null, tenant_id text not null, api_id text not null,
    application_id text not null,
    requests integer not null, errors integer not null, refused integer not null,
    received integer not null, sent integer not null, seconds real not null,
    reported integer not null default 0,
    primary key (hour, tenant_id, api_id, application_id)
) without rowid
"""
_COLUMNS: Final = (
    "hour, tenant_id, api_id, application_id, requests, errors, refused, received, sent, seconds"
)
# `reported` is how many requests of a row the control plane has: no row changes without one more.
# Databases of versions that reported nothing lack it.
_ADD_REPORTED: Final = "alter table usage add column reported integer not null default 0"
_INDEX: Final = "create index if not exists unreported on usage (hour) where reported < requests"
# Who counts the hours from one on. Sums of an hour cannot be divided, so who gets another name (a
# container that is made anew, a copied volume) begins with the next hour, or both would have it.
_SOURCES: Final = """
create table if not exists sources (
    from_hour integer primary key, id text not null, gateway text not null
)
"""
_ADD: Final = f"""
insert into usage ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do update set
    requests = requests + excluded.requests, errors = errors + excluded.errors,
    refused = refused + excluded.refused, received = received + excluded.received,
    sent = sent + excluded.sent, seconds = seconds + excluded.seconds
"""  # noqa: S608 - of constants
_OF: Final = """
from usage where hour >= :start and hour < :end
    and (:tenant_id is null or tenant_id = :tenant_id) and (:api_id is null or api_id = :api_id)
    and (:application_id is null or application_id = :application_id)
"""
_READ: Final = f"select {_COLUMNS} {_OF} order by 1, 2, 3, 4 limit {MAX_ROWS}"
_ADD_UP: Final = f"""
select :start, tenant_id, api_id, application_id, sum(requests), sum(errors), sum(refused),
    sum(received), sum(sent), sum(seconds) {_OF}
group by tenant_id, api_id, application_id order by 2, 3, 4 limit {MAX_ROWS}
"""

_GROWN: Final = """
from usage where reported < requests and (:tenant is null or tenant_id = :tenant)
    and hour >= :hour
    and (hour, tenant_id, api_id, application_id) > (:hour, :after_tenant, :api, :application)
"""
_UNREPORTED: Final = f"select {_COLUMNS} {_GROWN} and hour < :end order by 1, 2, 3, 4 limit :limit"
_SPAN: Final = f"select min(hour), max(hour) {_GROWN}"
_MARK: Final = """
update usage set reported = max(reported, ?)
where hour = ? and tenant_id = ? and api_id = ? and application_id = ?
"""


class _Source(NamedTuple):
    """What counts the hours from one on, and for which gateway."""

    from_hour: int
    id: str
    gateway: str


class UsageFile:
    """Keeps the usage of a gateway in a folder of its own.

    `start` it before the first request; `stop` adds what is not added yet.
    """

    def __init__(self, counters: UsageCounters, folder: Path, clock: Clock) -> None:
        self._counters = counters
        self._path = folder / FILE_NAME
        self._clock = clock
        self._periodic = Periodic(self._write, _PAUSE_SECONDS)
        self._writing = asyncio.Lock()
        self._has_failed = False

    def start(self) -> None:
        """Add what is counted from now on."""
        self._periodic.start()

    async def stop(self) -> None:
        """Stop, and add what was counted since the last time."""
        await self._periodic.stop()

    async def show(self, request: UsageRequest) -> Respond:
        """Return the response to a request for usage, what the last second had included."""
        await self._write()
        try:
            rows = await asyncio.to_thread(self._select, request)
        except (DatabaseError, OSError) as error:
            return problem(503, "Usage cannot be read", str(error))
        body = json.dumps(usage_document(rows, MAX_ROWS)).encode()
        return Respond(200, (("Content-Type", "application/json"),), body)

    async def unreported(
        self, limit: int, tenant_id: str | None, gateway: str, after: Row | None
    ) -> UsageReport:
        """Return rows that have grown since they were reported, the oldest first.

        Of one tenant, or of all; `gateway` is the id by which this one is registered; rows `after`
        one that was returned, or from the first. Raises OSError and DatabaseError.
        """
        if after is None:
            await self._write()
        now = int(self._clock.now().timestamp())
        key = (0, "", "", "") if after is None else after[:4]
        names = ("hour", "after_tenant", "api", "application")
        asked = {"limit": limit, "tenant": tenant_id, **dict(zip(names, key, strict=True))}
        next_hour = now - now % HOUR + HOUR
        return await asyncio.to_thread(self._read_unreported, asked, gateway, next_hour)

    async def mark_reported(self, report: UsageReport) -> None:
        """Note that the control plane has a report. Raises OSError and DatabaseError."""
        async with self._writing:
            await asyncio.to_thread(self._mark, report.rows)

    async def _write(self) -> None:
        """Add what was counted; what could not be added is counted again."""
        # Whoever reads must wait for what another call has taken, and not added yet.
        async with self._writing:
            taken = self._counters.take()
            if not taken:
                return
            now = int(self._clock.now().timestamp())
            try:
                await asyncio.to_thread(self._add, now, taken)
            except (DatabaseError, OSError) as error:
                self._counters.put_back(taken)
                if not self._has_failed:
                    _log.warning("usage is not saved path=%s: %s", self._path, error)
                self._has_failed = True
            else:
                self._has_failed = False

    def _add(self, now: int, taken: Mapping[UsageKey, Usage]) -> None:
        hour = now - now % HOUR
        rows = [(hour, *key, *usage.figures()) for key, usage in taken.items()]
        with self._open() as database, database:
            database.executemany(_ADD, rows)
            database.execute("delete from usage where hour < ?", (hour - KEPT_HOURS * HOUR,))

    def _select(self, request: UsageRequest) -> list[Row]:
        if not self._path.exists():
            return []
        with self._open() as database:
            query = _ADD_UP if request.is_total else _READ
            return database.execute(query, request._asdict()).fetchall()

    def _read_unreported(
        self, asked: Mapping[str, object], gateway: str, next_hour: int
    ) -> UsageReport:
        with self._open() as database:
            sources = self._sources(database, gateway, next_hour)
            first, last = database.execute(_SPAN, asked).fetchone()
            if first is None:
                return UsageReport(sources[-1].id, gateway, (), has_more=False)
            # Rows of one source: there is one of hour 0, so one is found.
            place = max(n for n, one in enumerate(sources) if one.from_hour <= first)
            end = sources[place + 1].from_hour if place + 1 < len(sources) else last + 1
            rows = database.execute(_UNREPORTED, {**asked, "end": end}).fetchall()
            has_more = len(rows) == asked["limit"] or last >= end
            return UsageReport(sources[place].id, sources[place].gateway, rows, has_more)

    def _sources(self, database: Connection, gateway: str, next_hour: int) -> Sequence[_Source]:
        """Return who counts from which hour on, this gateway last, and begin what is missing."""
        found = [_Source(*row) for row in database.execute("select * from sources order by 1")]
        if found and found[-1].gateway == gateway:
            return found
        # Another database counts from nothing: its sums come beside those of the old one.
        own = _Source(next_hour if found else 0, secrets.token_hex(16), gateway)
        with database:
            database.execute("delete from sources where from_hour >= ?", (own.from_hour,))
            database.execute("insert into sources values (?, ?, ?)", own)
        return [*(one for one in found if one.from_hour < own.from_hour), own]

    def _mark(self, rows: Sequence[Row]) -> None:
        with self._open() as database, database:
            database.executemany(_MARK, [(row[4], *row[:4]) for row in rows])

    @contextlib.contextmanager
    def _open(self) -> Iterator[Connection]:
        with open_database(self._path, _CREATE) as database:
            columns = database.execute("pragma table_info(usage)").fetchall()
            if all(name != "reported" for _, name, *_ in columns):
                database.execute(_ADD_REPORTED)
            database.execute(_INDEX)
            database.execute(_SOURCES)
            yield database

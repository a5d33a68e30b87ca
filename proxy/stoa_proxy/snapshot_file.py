"""The database in which snapshots of errors outlive the process.

What changed is written every second, in one transaction, so a process that is killed loses those of
one second at most.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

from stoa_proxy.core.snapshots import MAX_SNAPSHOTS, Snapshot, Snapshots
from stoa_proxy.foundation.clock import Clock
from stoa_proxy.foundation.periodic import Periodic
from stoa_proxy.foundation.private_database import DatabaseError, open_database

_log = logging.getLogger("stoa_proxy.snapshots")

FILE_NAME: Final = "gateway-snapshots.db"

_PAUSE_SECONDS: Final = 1.0
_CREATE: Final = """
create table if not exists snapshots (
    id text primary key, time real not null, tenant_id text not null, api_id text not null,
    content text not null
) without rowid
"""
_ADD: Final = "insert or ignore into snapshots values (?, ?, ?, ?, ?)"
# The newest, the oldest of them first.
_READ: Final = """
select * from (select * from snapshots order by time desc, id desc limit ?) order by time, id
"""


class SnapshotFile:
    """Keeps the snapshots of a gateway in a folder: `load` them, `start`, and `stop` at the end."""

    def __init__(self, kept: Snapshots, folder: Path, clock: Clock) -> None:
        self._kept = kept
        self._path = folder / FILE_NAME
        self._clock = clock
        self._periodic = Periodic(self._write, _PAUSE_SECONDS)
        self._stored: frozenset[str] = frozenset()
        self._version = 0
        self._has_failed = False

    def load(self) -> None:
        """Bring back what an earlier process kept; a file that cannot be read is said and left."""
        if not self._path.exists():
            return
        try:
            with open_database(self._path, _CREATE) as database:
                rows = database.execute(_READ, (MAX_SNAPSHOTS,)).fetchall()
            snapshots = [Snapshot(*row) for row in rows]
        except (DatabaseError, OSError, TypeError) as error:
            _log.warning("saved snapshots are not used path=%s: %s", self._path, error)
            return
        self._stored = frozenset(one.id for one in snapshots)
        self._kept.restore(snapshots)
        self._kept.expire(self._clock.now().timestamp())

    def start(self) -> None:
        """Write from now on."""
        self._periodic.start()

    async def stop(self) -> None:
        """Stop, and write what is not written yet."""
        await self._periodic.stop()

    async def _write(self) -> None:
        kept = self._kept
        kept.expire(self._clock.now().timestamp())
        version = kept.version
        if version == self._version:
            return
        current = {one.id: one for one in kept}
        added = [one for name, one in current.items() if name not in self._stored]
        removed = self._stored - current.keys()
        try:
            await asyncio.to_thread(self._change, added, removed)
        except (DatabaseError, OSError) as error:
            if not self._has_failed:
                _log.warning("snapshots are not saved path=%s: %s", self._path, error)
            self._has_failed = True
            return
        self._stored, self._version, self._has_failed = frozenset(current), version, False

    def _change(self, added: list[Snapshot], removed: frozenset[str]) -> None:
        with open_database(self._path, _CREATE) as database, database:
            database.executemany("delete from snapshots where id = ?", [(one,) for one in removed])
            database.executemany(_ADD, added)

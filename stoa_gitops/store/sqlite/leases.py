"""Leases: one writer per gateway, with an expiry and a way to see that the holder died.

A lease is taken in one transaction that holds SQLite's write lock from the start, so two processes
never both have it. A holder that died on this machine is recognised by its process id and the time
at which that process started, and its lease is taken over at once; one elsewhere has to expire.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from stoa_gitops.errors import LeaseHeld
from stoa_gitops.store.records import Lease, time_text
from stoa_gitops.store.sqlite.database import Database, Row


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process as other processes can recognise it.

    host      what people see
    machine   host name, boot and process id name space: only within it does a pid mean anything
    start     when the process began, as the kernel counts; empty where that cannot be read
    """

    host: str
    machine: str
    pid: int
    start: str

    @classmethod
    def current(cls) -> ProcessIdentity:
        """Describe this process."""
        return cls(socket.gethostname(), _machine(), os.getpid(), _start_of(os.getpid()))


@cache
def _machine() -> str:
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        pass
    return "|".join(parts)


def _start_of(pid: int) -> str:
    """Return the start time of a process in clock ticks, empty where /proc does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # proc_pid_stat(5): the command stands in parentheses and may hold spaces and parentheses; the
    # fields after it begin with number 3, so starttime, number 22, is at index 19.
    fields = stat.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _is_dead(row: Row, me: ProcessIdentity) -> bool:
    """Whether the holder has certainly ended; in doubt it counts as running."""
    if row["machine"] != me.machine:
        return False
    try:
        os.kill(row["pid"], 0)  # signal 0 only asks whether the process is there
    except ProcessLookupError:
        return True
    except OSError:  # EPERM: it is there, and another user's
        return False
    # The number may belong to another process by now: only the same start is the same process.
    start = _start_of(row["pid"])
    return bool(start and row["process_start"] and start != row["process_start"])


def acquire_lease(
    database: Database, gateway: str, holder: str, ttl: timedelta, now: datetime
) -> Lease:
    """Take the lease of a gateway for `ttl`; raises LeaseHeld: by whom, since when and where."""
    me = ProcessIdentity.current()
    with database.transaction():
        row = _row(database, gateway)
        if row and datetime.fromisoformat(row["expires_at"]) > now and not _is_dead(row, me):
            raise LeaseHeld(_holder_text(row))
        lease = Lease(gateway, holder, secrets.token_hex(16), me.host, me.pid, now, now + ttl)
        database.execute(
            "INSERT OR REPLACE INTO leases (gateway, holder, token, host, machine, pid, "
            "process_start, acquired_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                gateway,
                holder,
                lease.token,
                me.host,
                me.machine,
                me.pid,
                me.start,
                time_text(now),
                time_text(lease.expires_at),
            ),
        )
    return lease


def renew_lease(database: Database, lease: Lease, ttl: timedelta, now: datetime) -> Lease:
    """Extend a lease; raises LeaseHeld where another holder took it meanwhile, or it was freed."""
    with database.transaction():
        count = database.execute(
            "UPDATE leases SET expires_at = ? WHERE gateway = ? AND token = ?",
            (time_text(now + ttl), lease.gateway, lease.token),
        )
        if not count:
            row = _row(database, lease.gateway)
            lost = f"the lease of {lease.gateway} was lost"
            raise LeaseHeld(
                f"{lost}: {_holder_text(row)}" if row else f"{lost}: somebody has freed it"
            )
    return replace(lease, expires_at=now + ttl)


def release_lease(database: Database, lease: Lease) -> bool:
    """Give a lease back; False where it was lost before, which changes nothing."""
    with database.transaction():
        sql = "DELETE FROM leases WHERE gateway = ? AND token = ?"
        return database.execute(sql, (lease.gateway, lease.token)) > 0


def _row(database: Database, gateway: str) -> Row | None:
    rows = database.rows("SELECT * FROM leases WHERE gateway = ?", (gateway,))
    return rows[0] if rows else None


def _holder_text(row: Row) -> str:
    return (
        f"{row['gateway']} is being written by {row['holder']} (pid {row['pid']} on {row['host']}) "
        f"since {row['acquired_at']}; wait for it to end, or until {row['expires_at']}"
    )

"""Builders for what a store keeps, and child processes that do things to one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import AppliedRecord
from stoa_gitops.store import CycleEntry, Quarantined, Retention, Scope, Store
from stoa_gitops.store.sqlite import SqliteStore

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SCOPE = Scope("default", "kong-prod", "https://kong:8001")
BILLING = Key("api", "acme", "billing")
CRM = Key("api", "acme", "crm")
TTL = timedelta(seconds=30)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, **amount: float) -> None:
        self.now += timedelta(**amount)


async def sqlite_store(folder: Path, clock: Clock, retention: Retention) -> Store:
    return await SqliteStore.open(folder, clock=clock, retention=retention)


STORES: dict[str, Callable[[Path, Clock, Retention], Awaitable[Store]]] = {"sqlite": sqlite_store}
"""How each implementation of the protocol is opened: a new one is added here to be tested."""


def record(key: Key = BILLING, **more: Any) -> AppliedRecord:
    return AppliedRecord(key, Spec.of({"name": key.name}), f"id-{key.name}", "main@1", **more)


def outcome(key: Key = BILLING, status: Status = Status.APPLIED, message: str = "") -> Outcome:
    return Outcome(Change(Action.UPDATE, key), status, message=message, gateway_id="7")


def entry(**more: Any) -> CycleEntry:
    return CycleEntry("run", "main@1", "9c1f0a77", NOW, **more)


def refused(key: Key = BILLING, digest: str = "d1", since: datetime = NOW) -> Quarantined:
    return Quarantined(key, digest, "3.5", "limit too high", since)


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a child that runs this code; its arguments are in `sys.argv[1:]`."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def child(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A child that is killed at the end whatever happens."""
    process = python(code, *arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ran(code: str, *arguments: object) -> str:
    """Run a child to its end and return what it printed; fails on what it wrote to stderr."""
    process = python(code, *arguments)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}

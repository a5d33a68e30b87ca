from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stoa_gitops.errors import StoreError
from stoa_gitops.reconcile.suspension import suspend, suspension_message
from stoa_gitops.store.sqlite import SqliteStore, audit

NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def test_a_suspension_whose_audit_entry_cannot_be_written_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full. Nothing of this step was stored")

    store = await SqliteStore.open(tmp_path / "state")
    try:
        with monkeypatch.context() as patched:
            patched.setattr(audit, "write_entries", full)
            with pytest.raises(StoreError):
                await suspend(store, "local", "ada", NOW)
        assert suspension_message(await store.load_conditions("local")) == ""
        await suspend(store, "local", "ada", NOW)
        assert "ada" in suspension_message(await store.load_conditions("local"))
        assert [entry.action for entry in await store.list_audit("local")] == ["suspend"]
    finally:
        await store.close()


async def test_suspending_again_without_a_reason_keeps_who_did_it_and_why(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state")
    try:
        first = await suspend(store, "local", "ada", NOW, "vendor upgrade")
        assert await suspend(store, "local", "bob", NOW + timedelta(hours=1)) == first
        assert "vendor upgrade" in suspension_message(await store.load_conditions("local"))
        await suspend(store, "local", "bob", NOW + timedelta(hours=2), "it leaks")
        message = suspension_message(await store.load_conditions("local"))
        assert message == "suspended by bob at 2026-03-01T02:00:00+00:00: it leaks"
    finally:
        await store.close()

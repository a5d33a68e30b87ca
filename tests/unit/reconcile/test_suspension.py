from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from stoa_gitops.errors import StoreError
from stoa_gitops.reconcile.suspension import suspend, suspended_in_store
from stoa_gitops.store import AsyncStore, Store, audit

NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def test_a_suspension_whose_audit_entry_cannot_be_written_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full. Nothing of this step was stored")

    store = await AsyncStore.open(lambda: Store.open(tmp_path / "state"))
    try:
        with monkeypatch.context() as patched:
            patched.setattr(audit, "write", full)
            with pytest.raises(StoreError):
                await suspend(store, "local", "ada", NOW)
        assert await store.call(suspended_in_store, "local") == ""
        await suspend(store, "local", "ada", NOW)
        assert "ada" in await store.call(suspended_in_store, "local")
        assert [entry.action for entry in await store.call(Store.audit, "local")] == ["suspend"]
    finally:
        await store.close()

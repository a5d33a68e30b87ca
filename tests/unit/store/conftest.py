"""A clock, a folder, and every store that there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stoa_gitops.store import Retention, Store
from tests.unit.store.world import STORES, Clock

RETENTION = Retention(cycles=3, audit=5)
"""Few of each, so that tests reach the bounds."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, folder: Path, clock: Clock) -> AsyncIterator[Store]:
    """Each implementation of the protocol in turn, empty."""
    opened = await STORES[request.param](folder, clock, RETENTION)
    try:
        yield opened
    finally:
        await opened.close()

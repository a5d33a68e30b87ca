"""A store in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stoa_gitops.store import Retention, Store
from tests.unit.store.world import Clock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(folder: Path, clock: Clock) -> Iterator[Store]:
    with Store.open(folder, clock=clock, retention=Retention(cycles=3, audit=5)) as opened:
        yield opened

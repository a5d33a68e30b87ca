"""The blocking store in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stoa_gitops.store.sqlite import BlockingStore
from tests.unit.store.conftest import RETENTION
from tests.unit.store.world import Clock


@pytest.fixture
def store(folder: Path, clock: Clock) -> Iterator[BlockingStore]:
    with BlockingStore.open(folder, clock=clock, retention=RETENTION) as opened:
        yield opened

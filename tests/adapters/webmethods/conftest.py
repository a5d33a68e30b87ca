from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.adapters.webmethods.beds import Bed, bed


@pytest.fixture
async def old() -> AsyncIterator[Bed]:
    """A 10.15: it refuses updates of what is served."""
    async with bed("10.15") as found:
        yield found


@pytest.fixture
async def new() -> AsyncIterator[Bed]:
    """An 11: it updates what is served."""
    async with bed("11") as found:
        yield found

"""The contract suite's fixture: each test runs once for every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.rigs import RIGS, Rig


@pytest.fixture(params=sorted(RIGS))
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with RIGS[request.param]() as one:
        health = await one.driver.health()
        assert health.success, health.error
        yield one

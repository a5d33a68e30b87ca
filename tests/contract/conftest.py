"""The contract suite's fixture: each test runs once for every rig of every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.rig import Rig
from tests.contract.rigs import EARLIER, FOLDERS, RIGS


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.heavy if name in EARLIER else ())
        for name in sorted(RIGS)
    ]
)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with RIGS[request.param]() as rig:
        # A rig copied from another adapter's would test that one twice and its own never.
        assert rig.driver.info.name == FOLDERS[request.param]
        health = await rig.driver.health()
        assert health.success, health.error
        yield rig

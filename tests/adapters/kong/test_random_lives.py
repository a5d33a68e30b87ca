"""Whatever happens on a node, what is foreign stays as its owner left it, and what is ours
converges.
"""

from __future__ import annotations

import os

import pytest

from tests.adapters.kong.random_lives import RandomLife
from tests.adapters.kong.testbed import kong

LIVES = 20
MANY = 500


async def live(version: str, seed: int) -> None:
    async with kong(version) as testbed:
        life = RandomLife(testbed, version, seed)
        await life.run(steps=6)
        life.check()


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.4.2", "3.9.1"])
@pytest.mark.parametrize("seed", range(LIVES))
async def test_a_life_with_a_second_writer_and_faults_ends_as_both_sides_want(
    version: str, seed: int
) -> None:
    await live(version, seed)


@pytest.mark.heavy
@pytest.mark.parametrize("version", ["3.4.2", "3.9.1"])
async def test_five_hundred_lives_end_as_both_sides_want(version: str) -> None:
    first = int(os.environ.get("KONG_SEED", "1000"))
    for seed in range(first, first + MANY // 2):
        await live(version, seed)

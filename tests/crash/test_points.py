"""A process killed at a named moment: the next start converges without loss or duplicates."""

from __future__ import annotations

import importlib
import json
import signal
from pathlib import Path

import pytest

from stoa_gitops.model.outcomes import Status
from tests.crash.points import POINTS, find_target
from tests.crash.world import SECRETS, World
from tests.e2e.gateways import data_plane


@pytest.mark.parametrize("point", POINTS)
def test_a_point_names_a_function_of_the_program(point: str) -> None:
    holder, name = find_target(POINTS[point])
    assert callable(getattr(holder, name))
    for module, attribute, _ in POINTS[point].settings:
        assert hasattr(importlib.import_module(module), attribute)


# One moment before, while and after writing; `make test-heavy` kills at the others.
FIRST = ("planned", "after-the-first-write", "inventory-written-not-committed")


@pytest.mark.parametrize(
    "point", [pytest.param(p, marks=() if p in FIRST else pytest.mark.heavy) for p in POINTS]
)
async def test_a_second_start_converges_after_a_kill(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    async with data_plane() as gateway:
        world = await World.make(gateway, tmp_path)
        first = await world.apply()
        assert {o.status for r in first.reports for o in r.outcomes} == {Status.APPLIED}
        world.write_second()
        code, said = await world.run("tests.crash.points", point, *world.arguments())
        assert code == -signal.SIGKILL, f"it was not killed at {point}:\n{said}"
        await world.start_again()
        await world.check()


async def test_a_process_that_is_killed_on_a_broken_revision_keeps_what_was_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    async with data_plane() as gateway:
        world = await World.make(gateway, tmp_path)
        await world.apply()
        before = await world.admin("GET", "/apis")
        for name in ("stays", "goes"):
            world.catalog.write(f"tenants/acme/apis/{name}/api.yaml", "kind: API\nspec: [\n")
        await world.run("tests.crash.points", "observed", *world.arguments())
        await world.run("stoa_gitops", *world.arguments())
        assert await world.admin("GET", "/apis") == before
        assert "last-good.json" in {path.name for path in world.state.iterdir()}
        assert json.loads((world.state / "last-good.json").read_text())["owner"] == "crashing"

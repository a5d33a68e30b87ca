"""Edits on the gateway that no field of a document could show: seen as drift, and taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stoa_gitops.model.changes import Direction
from stoa_gitops.model.keys import Key
from tests.adapters.kong.test_adopt import MODES, Database, load
from tests.adapters.kong.testbed import Specs, Testbed, apis, kong, policy

BILLING = Key("api", "acme", "billing")
Entities = dict[str, dict[str, Any]]


def wanted() -> Specs:
    key = policy("billing", "api_key", {"in": "header", "name": "X-API-Key", "hide": True})
    return {**apis("billing"), **dict([key])}


def slower(entities: dict[str, Entities]) -> None:
    next(iter(entities["services"].values()))["connect_timeout"] = 500


def open_door(entities: dict[str, Entities]) -> None:
    """Nobody asks any more which groups a caller has: whoever has a key is let in."""
    plugins = entities["plugins"]
    del plugins[next(ident for ident, one in plugins.items() if one["name"] == "acl")]


def edit(testbed: Testbed, change: Callable[[dict[str, Entities]], None]) -> None:
    entities = testbed.double.entities
    change(entities)
    document = {name: list(held.values()) for name, held in entities.items()}
    load(testbed.double, {"_format_version": "3.0", "_transform": False, **document})


@pytest.mark.parametrize("database", MODES)
@pytest.mark.parametrize(
    ("change", "field"), [(slower, "service.connect_timeout"), (open_door, "plugins.acl")]
)
async def test_an_edit_beyond_the_document_is_drift_and_taken_back(
    database: Database, change: Callable[[dict[str, Entities]], None], field: str
) -> None:
    async with kong(database=database) as testbed:
        await testbed.converge(wanted())
        before = testbed.ours("plugins").keys()
        edit(testbed, change)
        plan = await testbed.plan(wanted())
        (found,) = plan.changes
        assert (found.key, found.direction) == (BILLING, Direction.GATEWAY)
        assert [(one.dotted, field in str(one.before)) for one in found.fields] == [("kong", True)]
        await testbed.execute(plan)
        assert (await testbed.plan(wanted())).is_empty
        assert testbed.ours("plugins").keys() == before
        assert testbed.ours()["acme.billing"]["connect_timeout"] == 30_000

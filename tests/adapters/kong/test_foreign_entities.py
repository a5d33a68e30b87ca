"""What is not ours stays as it was, of every type, with every field, whatever we do."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from stoa_gitops.model.outcomes import Status
from tests.adapters.kong.double import KongDouble
from tests.adapters.kong.foreign_entities import EVERY_TYPE, every_type
from tests.adapters.kong.testbed import MARK, apis, kong, limit, policy

BREAKER = {"failures": 3, "window": "10s", "reset": "1s"}
LIVES: list[dict[Any, Any]] = [
    {
        **apis("billing", "crm"),
        **dict([limit("crm"), policy("billing", "circuit_breaker", BREAKER)]),
    },
    {**apis("billing", description="B"), **apis("crm", active=False), **dict([limit("crm", 7)])},
    {**apis("billing"), **apis("crm", plans=[{"name": "gold", "perMinute": 5}])},
    apis("crm"),
    {},
]  # fmt: skip
"""Created, changed, closed, limited, deleted."""


def node_with_everything(version: str, database: Literal["off", "postgres"]) -> KongDouble:
    """Return a node that holds entities of every type; a database is filled by its own door."""
    off = KongDouble(version)
    off.load(every_type(version))
    if database == "off":
        return off
    double = KongDouble(version, database="postgres")
    double.entities = json.loads(json.dumps(off.entities))
    return double


@pytest.mark.parametrize("database", ["off", "postgres"])
@pytest.mark.parametrize("version", ["3.4.2", "3.9.1"])
async def test_entities_of_every_type_survive_a_whole_life_of_ours(
    version: str, database: Literal["off", "postgres"]
) -> None:
    double = node_with_everything(version, database)
    async with kong(version, database, double) as testbed:
        before = json.dumps(testbed.foreign(), sort_keys=True)
        assert testbed.foreign().keys() == EVERY_TYPE.keys()
        assert len(EVERY_TYPE) == 18
        for specs in LIVES:
            outcomes = await testbed.converge(specs)
            assert {o.status for o in outcomes} <= {Status.APPLIED}
            assert json.dumps(testbed.foreign(), sort_keys=True) == before
            assert (await testbed.plan(specs)).is_empty


@pytest.mark.parametrize("version", ["3.4.2", "3.9.1"])
async def test_entities_of_every_type_survive_a_refusal(version: str) -> None:
    double = node_with_everything(version, "off")
    async with kong(version, "off", double) as testbed:
        before = json.dumps(testbed.foreign(), sort_keys=True)
        double.refuse(lambda document: "no" if "acme.crm" in json.dumps(document) else None)
        outcomes = await testbed.converge(apis("billing", "crm"))
        assert {o.status for o in outcomes} == {Status.APPLIED, Status.QUARANTINED}
        assert json.dumps(testbed.foreign(), sort_keys=True) == before


@pytest.mark.parametrize("database", ["off", "postgres"])
async def test_entities_of_another_catalog_are_named_with_it_and_made_up_names_are_not(
    database: Literal["off", "postgres"],
) -> None:
    double = KongDouble("3.9.1", database=database)
    async with kong("3.9.1", database, double) as testbed:
        await testbed.converge({**apis("billing"), **dict([limit("billing")])})
        held = json.dumps(double.entities)
        for tag, named in (("payments", "payments"), ("Pay `x`", ""), ("", "")):
            double.entities = json.loads(held.replace(MARK, f"stoa-managed-by:{tag}"))
            # A node that reports the hash of before is not read again.
            double.hash = f"{len(tag) + 1:032}"
            seen = await testbed.driver.observe({})
            assert {(one.managed, one.owner) for one in seen.objects} == {(False, named)}
            assert {route.owner for route in seen.routes} == {named}

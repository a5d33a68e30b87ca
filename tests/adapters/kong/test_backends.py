"""The life of several backends on a node: from one to several and back, moved by hand."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from stoa_gitops.model.changes import Direction
from stoa_gitops.model.outcomes import Status
from tests.adapters.kong.testbed import Specs, Testbed, apis, kong, policy

A, B, C = ("http://a.example:8080/v1", "http://b.example:8080/v1", "http://c.example:8080/v1")
CHECKS = {"failures": 3, "window": "1m", "reset": "1m"}
BREAKER = dict([policy("search", "circuit_breaker", CHECKS)])


def one(url: str = A) -> Specs:
    return apis("search", backend={"url": url, "timeout": "30s", "retries": 0})


def several(*weights: int, urls: tuple[str, ...] = (A, B), how: str = "weighted") -> Specs:
    targets = [{"url": url, "weight": weight} for url, weight in zip(urls, weights, strict=True)]
    backend: dict[str, Any] = {
        "url": urls[0], "timeout": "30s", "retries": 0, "targets": targets, "loadBalancing": how,
    }  # fmt: skip
    return apis("search", backend=backend)


def held(testbed: Testbed) -> list[tuple[str, int]]:
    found = testbed.double.entities.get("targets", {}).values()
    return sorted((str(target["target"]), int(target["weight"])) for target in found)


async def settle(testbed: Testbed, specs: Specs) -> None:
    outcomes = await testbed.converge(specs)
    assert {o.status for o in outcomes} == {Status.APPLIED}, outcomes
    assert (await testbed.plan(specs)).is_empty


@pytest.mark.parametrize("database", ["off", "postgres"])
@pytest.mark.parametrize("version", ["3.4.2", "3.9.1"])
async def test_backends_come_and_go_without_a_refusal(
    version: str, database: Literal["off", "postgres"]
) -> None:
    async with kong(version, database) as testbed:
        await settle(testbed, one())
        await settle(testbed, several(9, 1))
        assert held(testbed) == [("a.example:8080", 9), ("b.example:8080", 1)]
        await settle(testbed, several(0, 100))
        assert held(testbed) == [("a.example:8080", 0), ("b.example:8080", 100)]
        await settle(testbed, several(1, 1, urls=(B, C), how="least_connections"))
        (upstream,) = testbed.ours("upstreams").values()
        assert upstream["algorithm"] == "least-connections"
        assert held(testbed) == [("b.example:8080", 1), ("c.example:8080", 1)]
        # With checks of a circuit breaker, for one backend before, and for one after.
        await settle(testbed, {**one(B), **BREAKER})
        await settle(testbed, {**several(1, 2), **BREAKER})
        (upstream,) = testbed.ours("upstreams").values()
        assert upstream["healthchecks"]["passive"]["unhealthy"]["tcp_failures"] == 3
        assert held(testbed) == [("a.example:8080", 1), ("b.example:8080", 2)]
        await settle(testbed, {**one(A), **BREAKER})
        await settle(testbed, one())
        assert testbed.ours("upstreams") == {}


async def test_what_somebody_moved_by_hand_is_taken_back() -> None:
    async with kong("3.9.1", "postgres") as testbed:
        await settle(testbed, several(9, 1))
        (first, second) = sorted(
            testbed.double.entities["targets"].values(), key=lambda target: str(target["target"])
        )
        second["weight"] = 500
        plan = await testbed.plan(several(9, 1))
        assert [change.direction for change in plan.changes] == [Direction.GATEWAY]
        await settle(testbed, several(9, 1))
        assert held(testbed) == [("a.example:8080", 9), ("b.example:8080", 1)]
        (upstream,) = testbed.double.entities["upstreams"].values()
        upstream["algorithm"] = "least-connections"
        assert not (await testbed.plan(several(9, 1))).is_empty
        await settle(testbed, several(9, 1))
        assert first["target"] == "a.example:8080"

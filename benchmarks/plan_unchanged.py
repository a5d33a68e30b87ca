"""Planning 10,000 objects of which none has changed.

Ours: `plan_gateway` with desired, actual and last applied state, in the two ways in which adapters
report (as given, and through a projection). Peer: the plain way to the same answer: both sides
parsed from JSON and compared recursively, path by path, as structural diff libraries do. Each run
must answer "nothing differs"; anything else counts as an error.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.figures import Lane, show
from stoa_gitops.adapter_sdk.contract import ObjectSpec
from stoa_gitops.adapter_sdk.info import Connection
from stoa_gitops.adapters.registry import info_for
from stoa_gitops.drivers.driver import Driver
from stoa_gitops.model.canonical import JsonObject, Spec
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.resources import (
    ActualState,
    AppliedRecord,
    DesiredState,
    Observed,
    Resource,
    SourceRef,
)
from stoa_gitops.planning import GatewayPlanInput, PlanContext, plan_gateway, projection

OBJECTS = 10_000
RUNS = 15
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def spec(number: int) -> Spec:
    """An API as the catalog gives it; made anew for each side, so that no bytes are shared."""
    return Spec.of(
        {
            "displayName": f"API {number}",
            "version": "1.2.0",
            "active": True,
            "backend": {"url": f"https://b{number}.internal/v2", "timeout": "30s", "retries": 0},
            "routes": [
                {"path": f"/apis/t/a{number}", "methods": [], "hosts": [], "stripPath": True}
            ],
            "plans": [{"name": "gold", "perSecond": 10, "perDay": 5000}],
        }
    )


def inputs() -> tuple[DesiredState, ActualState, dict[Key, AppliedRecord]]:
    keys = [Key("api", f"tenant-{number % 50}", f"a{number}") for number in range(OBJECTS)]
    source = SourceRef("a.yaml")
    wanted = {key: Resource(key, spec(n), source) for n, key in enumerate(keys)}
    there = tuple(Observed(key, spec(n), str(n)) for n, key in enumerate(keys))
    last = {key: AppliedRecord(key, spec(n), str(n), "main@0") for n, key in enumerate(keys)}
    return (
        DesiredState("g", "default", "main@1", wanted),
        ActualState("g", NOW, tuple(reversed(there))),
        last,
    )


def plain(desired: DesiredState, actual: ActualState) -> int:
    """Count differences by walking both trees of every object."""
    there = {seen.key: seen for seen in actual.objects}
    return sum(
        sum(1 for _ in walk(json.loads(there[key].spec.raw), json.loads(one.spec.raw), ()))
        for key, one in desired.resources.items()
    )


def walk(before: Any, after: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before.keys() | after.keys():
            yield from walk(before.get(name), after.get(name), (*path, name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from walk(one, other, (*path, index))
    elif before != after:
        yield path


def identity(kind: str, value: JsonObject) -> JsonObject:
    return value


def paired(lanes: Sequence[tuple[Lane, Callable[[], int]]]) -> list[Lane]:
    """Time each lane in turn, RUNS times after one to warm up; each look returns the
    differences.
    """
    for number in range(RUNS + 1):
        for lane, look in lanes:
            start = time.perf_counter()
            found = look()
            seconds = time.perf_counter() - start
            if number:
                lane.seconds.append(seconds)
                lane.errors += found != 0
    return [lane for lane, _ in lanes]


def main() -> None:
    desired, actual, last = inputs()
    context = PlanContext(NOW)

    def ours(target: GatewayPlanInput) -> int:
        made = plan_gateway(target, desired, actual, last, context)
        return len(made.changes) + len(made.skipped) + OBJECTS - made.unchanged

    as_given = GatewayPlanInput("g", "memory")
    projected = GatewayPlanInput("g", "memory", project=projection(identity))
    peer = "parse both, compare recursively"
    title = f"plan of {OBJECTS} unchanged objects"
    show(
        title,
        paired(
            [
                (Lane("plan_gateway"), lambda: ours(as_given)),
                (Lane(peer), lambda: plain(desired, actual)),
            ]
        ),
        "<= 100 ms",
    )
    show(
        f"{title}, through a projection",
        paired(
            [
                (Lane("plan_gateway, projected"), lambda: ours(projected)),
                (Lane(peer), lambda: plain(desired, actual)),
            ]
        ),
        "<= 500 ms",
    )
    asyncio.run(through_the_adapter())


async def through_the_adapter() -> None:
    """Health, observing and planning through the driver and the gateway in memory, with nothing
    kept between two looks.
    """
    desired, _, _ = inputs()
    instance = GatewayInstance("g", "memory", "dev", "memory:", SourceRef("g.yaml"))
    connection = Connection(instance, "memory:", "default")
    info = info_for("memory")
    context, records = PlanContext(NOW), dict[Key, AppliedRecord]()
    lane = Lane("health, observe, plan")
    first = Driver(info, connection, clock=lambda: NOW)
    await first.health()
    plan = plan_gateway(first.plan_input(), desired, await first.observe({}), {}, context)
    async for outcome in first.execute(plan, written, verify=False):
        resource = outcome.change.resource
        if resource is not None and outcome.status is Status.APPLIED:
            key = resource.key
            records[key] = AppliedRecord(key, resource.spec, outcome.gateway_id, "main@0")
    for number in range(RUNS + 1):
        driver = Driver(info, connection, clock=lambda: NOW)
        began = time.process_time()
        await driver.health()
        seen = await driver.observe(records)
        made = plan_gateway(driver.plan_input(), desired, seen, records, context)
        if number:
            lane.seconds.append(time.process_time() - began)
            lane.errors += len(made.changes) + OBJECTS - made.unchanged
    show(
        f"plan of {OBJECTS} unchanged objects against the memory adapter, CPU", [lane], "<= 500 ms"
    )


def written(resource: Resource) -> ObjectSpec:
    value = resource.spec.value
    return ObjectSpec(resource.key, resource.key.identifier("default"), "default", value)


if __name__ == "__main__":
    main()

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from stoa_gitops.adapter_sdk.contract import Write, WriteLimits
from stoa_gitops.adapters.memory.server import Fault, MemoryGateway, drop_gateway, gateway_named
from stoa_gitops.adapters.registry import info_for
from stoa_gitops.drivers.driver import Driver
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.unit.adapter_sdk.scripted import (
    NOW,
    Scripted,
    create,
    delete,
    key_of,
    plan_of,
    resolve,
    run,
)
from tests.unit.adapter_sdk.serving import connection

A, B, C = (key_of(name) for name in "abc")
APP = key_of("m", "application")


def driver(granularity: str, state: str = "memory-tests") -> Driver:
    options = {"granularity": granularity, "state": state}
    link = connection(gateway_type="memory", options=options)
    return Driver(info_for("memory"), link, clock=lambda: NOW)


@pytest.fixture
async def server() -> AsyncIterator[MemoryGateway]:
    yield gateway_named("memory-tests")
    drop_gateway("memory-tests")


def id_of(key: Key) -> str:
    return key.identifier("o")


async def test_a_document_is_written_once_for_a_whole_plan(server: MemoryGateway) -> None:
    outcomes = await run(driver("document"), create(A), create(B), create(APP, A))
    assert [o.status for o in outcomes] == [Status.APPLIED] * 3
    assert (server.calls["read"], server.calls["write"]) == (1, 1)


async def test_a_refused_document_quarantines_the_offender_and_writes_the_rest(
    server: MemoryGateway,
) -> None:
    server.refused = {id_of(A)}
    server.add_foreign(key_of("theirs"), Spec.of({"x": 1}))
    outcomes = await run(driver("document"), create(A), create(B), create(APP, A), create(C))
    assert [o.status for o in outcomes] == [
        Status.QUARANTINED, Status.APPLIED, Status.BLOCKED, Status.APPLIED,
    ]  # fmt: skip
    assert outcomes[0].change.key == A
    assert set(server.objects) == {id_of(B), id_of(C), f"foreign:{key_of('theirs')}"}
    assert server.calls["write"] == 2


async def test_several_offenders_are_found_one_after_another(server: MemoryGateway) -> None:
    server.refused = {id_of(A), id_of(C)}
    outcomes = await run(driver("document"), create(A), create(B), create(C))
    assert [o.status for o in outcomes] == [
        Status.QUARANTINED, Status.APPLIED, Status.QUARANTINED,
    ]  # fmt: skip


async def test_a_document_refused_for_a_foreign_object_fails_the_plan_and_ends(
    server: MemoryGateway,
) -> None:
    server.refused = {server.add_foreign(key_of("theirs"), Spec.of({}))}
    outcomes = await run(driver("document"), create(A), create(B))
    assert {(o.status, o.reason) for o in outcomes} == {(Status.FAILED, "GatewayRefused")}
    assert id_of(A) not in server.objects


async def test_a_document_without_changes_is_not_written(server: MemoryGateway) -> None:
    assert await run(driver("document")) == []
    assert server.calls == {}


async def test_names_share_a_gateway_and_other_names_do_not(server: MemoryGateway) -> None:
    await run(driver("resource"), create(A))
    assert len((await driver("document").observe({})).objects) == 1
    assert (await driver("resource", "another state").observe({})).objects == ()
    drop_gateway("another state")


async def test_the_nth_call_of_an_operation_can_fail(server: MemoryGateway) -> None:
    server.fail(Fault.SERVER_ERROR, "put", nth=2)
    outcomes = await run(driver("resource"), create(A), create(B), create(C), concurrency=1)
    assert [o.status for o in outcomes] == [Status.APPLIED, Status.FAILED, Status.APPLIED]


@pytest.mark.parametrize("granularity", ["resource", "document"])
async def test_half_a_write_is_noticed(server: MemoryGateway, granularity: str) -> None:
    server.fail(Fault.HALF_WRITTEN, "put")
    server.fail(Fault.HALF_WRITTEN, "write")
    outcomes = await run(driver(granularity), create(A), verify=True)
    assert [(o.status, o.reason) for o in outcomes] == [(Status.FAILED, "HalfWritten")]


async def test_the_export_has_everything(server: MemoryGateway) -> None:
    await run(driver("resource"), create(A))
    result = await driver("resource").export_archive()
    assert result.data == {id_of(A): {"name": "a"}}


async def test_apply_alone_writes_in_order_and_blocks_dependants() -> None:
    writes = [Write(create(A), None), Write(create(B, A), resolve(create(B).resource))]  # type: ignore[arg-type]
    writes.append(Write(delete(C), None))
    adapter = Scripted()
    outcomes = [outcome async for outcome in adapter.apply(writes, WriteLimits())]
    assert [o.status for o in outcomes] == [Status.FAILED, Status.BLOCKED, Status.APPLIED]
    assert [o.change for o in outcomes] == [write.change for write in writes]


async def test_a_plan_without_changes_writes_nothing(server: MemoryGateway) -> None:
    one = driver("resource")
    assert [o async for o in one.execute(plan_of(), resolve)] == []
    assert server.calls == {}

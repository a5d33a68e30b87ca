from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapter_sdk.apply_each import GIVE_UP_AFTER, ranks
from stoa_gitops.adapter_sdk.capabilities import Granularity
from stoa_gitops.adapter_sdk.contract import (
    AdapterResult,
    ListItem,
    Methods,
    ObjectSpec,
    Write,
    WriteLimits,
    method_not_supported,
)
from stoa_gitops.adapter_sdk.results import failure
from stoa_gitops.drivers import execution
from stoa_gitops.drivers.driver import Deadlines
from stoa_gitops.drivers.verification import verify
from stoa_gitops.errors import (
    GatewayError,
    GatewayRefused,
    GatewayUnauthorized,
    GatewayUnreachable,
    SecretUnresolved,
)
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.keys import Key
from stoa_gitops.model.kinds import SCOPE
from stoa_gitops.model.outcomes import Outcome, Status
from stoa_gitops.model.resources import AppliedRecord, PlanHints, Resource
from tests.unit.adapter_sdk.scripted import (
    NOW,
    Scripted,
    create,
    delete,
    driver_of,
    item,
    key_of,
    plan_of,
    resolve,
    run,
)

A, B, C, D = (key_of(name) for name in "abcd")
POLICY = key_of("a.cors", "policy")
APP = key_of("m", "application")


def failing(*keys: Key, error: GatewayError | None = None):
    async def behaviour(key: Key) -> AdapterResult:
        if key in keys:
            return failure(error or GatewayRefused("no such thing"))
        return AdapterResult(success=True, resource_id=f"id of {key}")

    return behaviour


async def test_ranks_wait_for_each_other_and_equals_run_side_by_side() -> None:
    adapter = Scripted()

    async def slow(key: Key) -> AdapterResult:
        await asyncio.sleep(0)
        return AdapterResult(success=True)

    adapter.behaviour = slow
    await run(driver_of(adapter), create(POLICY), create(A), create(B), create(APP), delete(C))
    assert adapter.log[:2] == [f"start {POLICY}", f"end {POLICY}"]
    assert adapter.log[2:4] == [f"start {A}", f"start {B}"]
    assert adapter.log[6:8] == [f"start {APP}", f"end {APP}"]
    assert adapter.log[8:] == [f"start {C}", f"end {C}"]


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_never_more_writes_at_once_than_allowed(concurrency: int) -> None:
    async def slow(key: Key) -> AdapterResult:
        for _ in range(5):
            await asyncio.sleep(0)
        return AdapterResult(success=True)

    adapter = Scripted(slow)
    changes = [create(key_of(f"x{number}")) for number in range(10)]
    await run(driver_of(adapter), *changes, concurrency=concurrency)
    assert adapter.most == concurrency


async def test_a_refusal_is_quarantined_in_the_vendors_words_and_others_go_on() -> None:
    outcomes = await run(driver_of(Scripted(failing(A))), create(A), create(B))
    assert [(o.status, o.message) for o in outcomes] == [
        (Status.QUARANTINED, "no such thing"), (Status.APPLIED, ""),
    ]  # fmt: skip


async def test_dependants_of_dependants_are_blocked_and_name_the_root() -> None:
    changes = [create(A), create(B, A), create(C, B), create(D)]
    outcomes = await run(driver_of(Scripted(failing(A))), *changes)
    assert [o.status for o in outcomes] == [
        Status.QUARANTINED, Status.BLOCKED, Status.BLOCKED, Status.APPLIED,
    ]  # fmt: skip
    assert [str(A) in o.message for o in outcomes] == [False, True, True, False]


async def test_a_transient_failure_is_failed() -> None:
    error = GatewayUnreachable("gone")
    outcomes = await run(driver_of(Scripted(failing(A, error=error))), create(A))
    assert [(o.status, o.reason) for o in outcomes] == [(Status.FAILED, "GatewayUnreachable")]


async def test_an_adapter_that_raises_against_its_contract_fails_that_object_alone() -> None:
    async def broken(key: Key) -> AdapterResult:
        if key == A:
            raise RuntimeError("the secret is hunter2")
        return AdapterResult(success=True)

    outcomes = await run(driver_of(Scripted(broken)), create(A), create(B))
    assert [o.status for o in outcomes] == [Status.FAILED, Status.APPLIED]
    assert outcomes[0].reason == "InternalError"
    assert "RuntimeError at test_driver.py" in outcomes[0].message
    assert "hunter2" not in outcomes[0].message


async def test_a_write_without_end_is_given_up() -> None:
    async def never(key: Key) -> AdapterResult:
        await asyncio.Event().wait()
        return AdapterResult(success=True)

    driver = driver_of(Scripted(never), Deadlines(write=0.01))
    outcomes = await run(driver, create(A))
    assert [(o.status, o.reason) for o in outcomes] == [(Status.FAILED, "GatewayUnreachable")]


@pytest.mark.parametrize("error", [GatewayUnreachable("gone"), GatewayUnauthorized("who?")])
async def test_a_gateway_that_is_not_there_is_not_asked_ten_thousand_times(
    error: GatewayError,
) -> None:
    changes = [create(key_of(f"x{number}")) for number in range(50)]
    keys = [change.key for change in changes]
    adapter = Scripted(failing(*keys, error=error))
    outcomes = await run(driver_of(adapter), *changes, create(APP), concurrency=1)
    assert len([line for line in adapter.log if line.startswith("start")]) == GIVE_UP_AFTER
    assert {(o.status, o.reason) for o in outcomes} == {(Status.FAILED, error.reason)}
    assert [o.attempts for o in outcomes].count(0) == 51 - GIVE_UP_AFTER


async def test_an_unresolved_secret_fails_its_object_only() -> None:
    def resolver(wanted: Resource) -> ObjectSpec:
        if wanted.key == A:
            raise SecretUnresolved("env:KEY is not set")
        if wanted.key == B:
            raise KeyError("hunter2")
        return resolve(wanted)

    driver = driver_of(Scripted())
    plan = plan_of(create(A), create(B), create(C))
    outcomes = [o async for o in driver.execute(plan, resolver, verify=False)]
    assert [o.reason for o in outcomes] == ["SecretUnresolved", "InternalError", ""]
    assert outcomes[0].message == "env:KEY is not set"
    assert "hunter2" not in outcomes[1].message


async def test_specs_carry_the_observed_id_and_an_empty_one_for_what_is_new() -> None:
    adapter = Scripted()
    seen = delete(A).observed
    await run(driver_of(adapter), replace(create(A), observed=seen), create(B))
    assert [spec.gateway_id for spec in adapter.specs] == [str(A), ""]


async def test_cancelling_goes_through_and_stops_what_runs() -> None:
    started = asyncio.Event()

    async def never(key: Key) -> AdapterResult:
        started.set()
        await asyncio.Event().wait()
        return AdapterResult(success=True)

    adapter = Scripted(never)
    driver = driver_of(adapter)
    task = asyncio.create_task(run(driver, create(A), create(B)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert adapter.running == 0
    adapter.behaviour = failing()
    assert [o.status for o in await run(driver, create(C))] == [Status.APPLIED]


async def test_a_gateway_has_one_writer_at_a_time() -> None:
    async def slow(key: Key) -> AdapterResult:
        for _ in range(5):
            await asyncio.sleep(0)
        return AdapterResult(success=True)

    adapter = Scripted(slow)
    driver = driver_of(adapter)
    await asyncio.gather(*(run(driver, create(key)) for key in (A, B, C)))
    assert adapter.most == 1


async def test_closing_the_iterator_early_lets_the_next_writer_in() -> None:
    driver = driver_of(Scripted())
    async with aclosing(driver.execute(plan_of(create(A), create(B)), resolve)) as outcomes:
        async for outcome in outcomes:
            assert outcome.change.key == A
            break
    assert [o.status for o in await run(driver, create(C))] == [Status.APPLIED]


async def test_an_unknown_kind_is_not_supported_in_the_documented_words() -> None:
    other = key_of("x", "tool")
    outcomes = await run(driver_of(Scripted()), create(other), delete(other))
    assert {(o.status, o.message) for o in outcomes} == {
        (Status.QUARANTINED, str(method_not_supported("Scripted").error)),
    }


class WithScopes(Scripted):
    """A gateway that can list and delete scopes too, which the documented interface cannot."""

    scopes: list[ListItem]

    def methods(self) -> Mapping[str, Methods]:
        scopes = Methods(self.upsert_scope, self.delete_scope, self.list_scopes)
        return {**super().methods(), SCOPE: scopes}

    async def upsert_scope(self, scope_spec: ObjectSpec) -> AdapterResult:
        return await self._write(scope_spec.key)

    async def delete_scope(self, scope_id: str) -> AdapterResult:
        return await self._write(Key.parse(scope_id))

    async def list_scopes(self) -> list[ListItem]:
        return self.scopes


async def test_an_extended_kind_that_an_adapter_can_list_is_observed_verified_and_deleted() -> None:
    read, write = key_of("read", SCOPE), key_of("write", SCOPE)
    adapter = WithScopes()
    adapter.scopes = [item(read, name="read")]
    driver = driver_of(adapter)
    assert [seen.key for seen in (await driver.observe({})).objects] == [read]
    outcomes = await run(driver, create(read), create(write), delete(write), verify=True)
    assert [o.status for o in outcomes] == [Status.APPLIED, Status.FAILED, Status.APPLIED]
    assert outcomes[1].reason == "HalfWritten"


@pytest.mark.parametrize("kind", ["authserver", "auth_server", "strategy", "scope", "alias"])
async def test_an_extended_kind_that_an_adapter_cannot_list_is_not_observed(kind: str) -> None:
    other = key_of("x", kind)
    driver = driver_of(Scripted())
    assert (await driver.observe({})).is_complete
    outcomes = await run(driver, create(other), delete(other), verify=True)
    assert {o.message for o in outcomes} == {"Not supported by Scripted"}


async def test_half_written_is_a_failure_that_names_fields_and_no_values() -> None:
    adapter = Scripted()
    adapter.items = [item(A, name="another")]
    outcomes = await run(driver_of(adapter), create(A), create(B), verify=True)
    assert [(o.status, o.reason) for o in outcomes] == [(Status.FAILED, "HalfWritten")] * 2
    assert "name" in outcomes[0].message
    assert "another" not in outcomes[0].message
    assert "does not have it" in outcomes[1].message


async def test_half_written_blocks_dependants() -> None:
    outcomes = await run(driver_of(Scripted()), create(A), create(APP, A), verify=True)
    assert [o.status for o in outcomes] == [Status.FAILED, Status.BLOCKED]


async def test_fields_left_to_the_gateway_are_not_half_written() -> None:
    adapter = Scripted()
    adapter.items = [item(A, name="another", more={"x": 1})]
    change = create(A)
    assert change.resource is not None
    wanted = replace(change.resource, hints=PlanHints(ignore_fields=("name", "more.x")))
    outcomes = await run(driver_of(adapter), replace(change, resource=wanted), verify=True)
    assert [o.status for o in outcomes] == [Status.APPLIED]


class Document(Scripted):
    """Writes once; says nothing about keys in `silent`, raises `error` after the first."""

    granularity = Granularity.DOCUMENT

    def __init__(self, silent: Sequence[Key] = (), error: Exception | None = None) -> None:
        super().__init__()
        self.silent, self.error = silent, error
        self.batches: list[int] = []

    async def apply(self, writes: Sequence[Write], limits: WriteLimits) -> AsyncIterator[Outcome]:
        self.batches.append(len(writes))
        for write in writes:
            if write.change.key not in self.silent:
                yield Outcome(write.change, Status.APPLIED)
            if self.error is not None:
                raise self.error


async def test_a_document_gets_the_whole_plan_at_once() -> None:
    adapter = Document()
    outcomes = await run(driver_of(adapter), create(POLICY), create(A), create(APP, A), delete(C))
    assert adapter.batches == [4]
    assert [o.status for o in outcomes] == [Status.APPLIED] * 4


async def test_what_a_document_adapter_is_silent_about_was_not_applied() -> None:
    outcomes = await run(driver_of(Document(silent=[B])), create(A), create(B))
    assert [o.status for o in outcomes] == [Status.APPLIED, Status.FAILED]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("hunter2"), "InternalError"),
        (GatewayUnreachable("gone"), "GatewayUnreachable"),
    ],
)
async def test_a_document_adapter_that_raises_fails_the_rest(error: Exception, reason: str) -> None:
    outcomes = await run(driver_of(Document(error=error)), create(A), create(B))
    assert [(o.status, o.reason) for o in outcomes] == [
        (Status.APPLIED, ""),
        (Status.FAILED, reason),
    ]
    assert "hunter2" not in outcomes[1].message


async def test_held_and_blocked_changes_never_reach_a_document() -> None:
    adapter = Document()
    outcomes = await run(
        driver_of(adapter), create(A), create(B, A), create(C), held=frozenset({A})
    )
    assert adapter.batches == [1]
    assert [o.status for o in outcomes] == [Status.BLOCKED, Status.BLOCKED, Status.APPLIED]


async def test_the_inventory_proves_ownership_where_there_is_no_mark() -> None:
    adapter = Scripted()
    adapter.items = [{**item(key, name=key.name), "managed": False} for key in (A, B)]
    record = AppliedRecord(A, Spec.of({}), f"id of {A}", "main@1")
    other = AppliedRecord(B, Spec.of({}), "another id", "main@1")
    state = await driver_of(adapter).observe({A: record, B: other})
    assert {o.key: o.managed for o in state.objects} == {A: True, B: False}
    assert state.observed_at == NOW


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (GatewayUnauthorized("who?"), "GatewayUnauthorized"),
        (ValueError("hunter2"), "InternalError"),
    ],
)
async def test_a_failed_list_makes_the_state_unknown(error: Exception, reason: str) -> None:
    adapter = Scripted()
    adapter.items = error
    state = await driver_of(adapter).observe({})
    assert (state.is_complete, state.error_reason) == (False, reason)
    assert "hunter2" not in str(state.error)


@pytest.mark.parametrize("broken", [{}, {"kind": "api"}, {**item(A), "spec": {"x": float("nan")}}])
async def test_an_item_that_is_no_object_makes_the_state_unknown(broken: dict) -> None:
    adapter = Scripted()
    adapter.items = [broken]
    state = await driver_of(adapter).observe({})
    assert state.error_reason == "GatewayMalformed"


async def test_a_list_without_end_makes_the_state_unknown() -> None:
    class Endless(Scripted):
        async def list_policies(self):
            await asyncio.Event().wait()

    state = await driver_of(Endless(), Deadlines(observe=0.01)).observe({})
    assert state.error_reason == "GatewayUnreachable"


async def test_health_without_end_and_health_that_raises_are_results() -> None:
    class Endless(Scripted):
        async def health_check(self) -> AdapterResult:
            await asyncio.Event().wait()
            raise AssertionError

    class Broken(Scripted):
        async def connect(self) -> None:
            raise OSError("hunter2")

    endless = await driver_of(Endless(), Deadlines(health=0.01)).health()
    assert (endless.success, endless.reason) == (False, "GatewayUnreachable")
    broken = await driver_of(Broken()).health()
    assert (broken.success, broken.reason) == (False, "InternalError")
    assert "hunter2" not in str(broken.error)


keys = st.sampled_from([A, B, C, D, POLICY, APP])


@given(st.lists(st.tuples(keys, st.booleans(), st.lists(keys, max_size=3)), max_size=12))
def test_ranks_cover_a_plan_in_order_and_never_mix_what_must_wait(changes: list) -> None:
    plan = [(delete if gone else create)(key, *needs) for key, gone, needs in changes]
    cut = list(ranks(plan))
    assert [index for part in cut for index in part] == list(range(len(plan)))
    for part in cut:
        members = [plan[index] for index in part]
        assert len({(m.key.kind, m.resource is None) for m in members}) == 1
        before: set[Key] = set()
        for member in members:
            assert before.isdisjoint(member.depends_on)
            assert member.key not in before
            before.add(member.key)


async def test_what_was_written_is_compared_on_a_thread_so_that_the_loop_has_its_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[threading.Thread] = []

    def noting(*arguments: Any) -> list[Outcome]:
        threads.append(threading.current_thread())
        return verify(*arguments)

    monkeypatch.setattr(execution, "verify", noting)
    await run(driver_of(Scripted()), create(A), create(B), verify=True)
    assert threads
    assert threading.current_thread() not in threads

"""Gateways of one document in one state share a plan, and nothing but that.

Who plans for itself calls the admin API of its own draft; who takes a plan does not. `alone` is a
world in which nobody takes one.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapter_sdk.info import InProcessAdmin
from stoa_gitops.control.process_port import NotReady
from stoa_gitops.daemon.draft_table import Draft
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.operations.gateways import resume_gateway, suspend_gateway
from stoa_gitops.reconcile import shared_plans
from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.reconcile.plan_basis import PlanBasis
from stoa_gitops.reconcile.shared_plans import CAPACITY, Lead, SharedPlans
from stoa_gitops.store import CycleEntry, Lease, Quarantined, Scope
from tests.laws import examples
from tests.scenarios.fleet_world import OURS, FleetWorld, api, document, usual_files
from tests.scenarios.world import START

WITH_SECRET = api("s").replace(
    "backend: {", "backend: {auth: {in: header, name: X-Key, valueRef: {env: ACME_KEY}}, "
)
A = "tenants/acme/apis/a/api.yaml"
B = "tenants/acme/apis/b/api.yaml"
FEW = tuple(name for name in OURS if name != "hosts")


class Alone(SharedPlans):
    """Nobody has a plan for anybody else."""

    def find(self, basis: PlanBasis) -> Lead | None:
        return None


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FleetWorld]:
    monkeypatch.setenv("ACME_KEY", "the-first-key-of-all")
    async with FleetWorld(tmp_path).process() as made:
        yield made


def count_calls(world: FleetWorld) -> Counter[str]:
    """Count the calls of the admin API of each gateway's draft from now on, by id."""
    calls = Counter[str]()

    def counted(instance: GatewayInstance) -> InProcessAdmin | None:
        admin = world.published.admin_of(instance)
        if admin is None:
            return None

        async def call(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Any:
            calls[instance.registration_id] += 1
            return await admin(method, target, headers, body)

        return call

    world.workspace.inside = counted
    return calls


def scope(world: FleetWorld, gateway_id: str) -> Scope:
    catalog = world.statuses.catalog
    assert catalog is not None
    return Scope(catalog.owner, world.name(gateway_id), f"registered:{gateway_id}")


async def pods(world: FleetWorld, *names: str, **fields: Any) -> list[str]:
    return [world.register(name, **fields) for name in names]


@pytest.mark.parametrize("ours", [True, False])
async def test_one_plans_and_the_others_take_what_it_did(world: FleetWorld, *, ours: bool) -> None:
    ids = await pods(world, "pod-1", "pod-2", "pod-3", ours=ours)
    calls = count_calls(world)
    await world.commit(usual_files("a", "b"), *ids)
    assert calls.keys() == {ids[0]}
    for one in ids:
        assert await world.paths(one) == ["/apis/acme/a", "/apis/acme/b"]
    calls.clear()
    await world.commit({B: None, A: api("a", backend="https://other.example")}, *reversed(ids))
    assert calls.keys() == {ids[2]}
    for one in ids:
        assert await world.paths(one) == ["/apis/acme/a"]


async def test_all_at_once_wait_for_the_one_that_plans(world: FleetWorld) -> None:
    ids = await pods(world, *(f"pod-{number}" for number in range(8)))
    calls = count_calls(world)
    world.write(usual_files("a"))
    world.read()
    results = await asyncio.gather(*map(world.cycle, ids))
    assert len(calls) == 1
    assert [len(result.report.outcomes) for result in results] == [1] * 8


async def test_each_has_history_and_inventory_of_its_own(world: FleetWorld) -> None:
    one, two = await pods(world, "pod-1", "pod-2")
    world.write(usual_files("a"))
    world.read()
    await world.cycle(one)
    result = await world.cycle(two)
    store, name = world.workspace.context.store, world.name(two)
    (cycle,) = await store.list_cycles(name)
    plan = result.report.plan
    assert (cycle.scope, cycle.counts) == (scope(world, two), {"applied": 1})
    assert (plan.gateway, cycle.digest) == (name, PlanSet(plan.revision, (plan,)).digest)
    assert [entry.gateway for entry in await store.list_audit(name)] == [name]
    assert (await store.load_records(scope(world, two))).keys() == {Key("api", "acme", "a")}
    await store.forget_gateway(scope(world, one).owner, world.name(one))
    assert await store.load_records(scope(world, two))


async def test_a_cycle_that_finds_nothing_is_shared_and_then_settled(world: FleetWorld) -> None:
    one, two = await pods(world, "pod-1", "pod-2")
    await world.commit(usual_files("a"), one, two)
    calls = count_calls(world)
    assert not (await world.check(one)).is_settled
    assert not (await world.check(two)).is_settled
    assert calls.keys() == {one}
    assert (await world.check(one)).is_settled
    assert (await world.check(two)).is_settled


async def test_who_is_for_one_tenant_never_has_the_plan_of_who_is_for_all(
    world: FleetWorld,
) -> None:
    everything, acme = world.register("pod-1"), world.register("pod-2", tenant_id="acme")
    other, twin = (world.register(name, tenant_id="acme") for name in ("pod-3", "pod-4"))
    globex = world.register("pod-5", tenant_id="globex")
    files = usual_files("a") | usual_files("g", tenant="globex")
    calls = count_calls(world)
    await world.commit(files, everything, acme, other, twin, globex)
    assert calls.keys() == {everything, acme, globex}
    assert await world.paths(everything) == ["/apis/acme/a", "/apis/globex/g"]
    for one in (acme, other, twin):
        assert await world.paths(one) == ["/apis/acme/a"]
        assert b"globex" not in (await world.published.table(one)).body
    assert await world.paths(globex) == ["/apis/globex/g"]


async def test_one_that_is_for_a_tenant_from_now_on_plans_for_itself(world: FleetWorld) -> None:
    one, two = await pods(world, "pod-1", "pod-2")
    files = usual_files("a") | usual_files("g", tenant="globex")
    await world.commit(files, one, two)
    world.register("pod-2", tenant_id="acme")
    calls = count_calls(world)
    await world.commit({A: api("a", backend="https://other.example")}, one, two)
    assert calls.keys() == {one, two}
    assert await world.paths(two) == ["/apis/acme/a"]


async def test_a_suspended_one_takes_nothing_and_stops_nobody(world: FleetWorld) -> None:
    one, two, three = await pods(world, "pod-1", "pod-2", "pod-3")
    await world.commit(usual_files("a"), one, two, three)
    context = world.workspace.context
    await suspend_gateway(context, world.name(two), context.principal, "a try")
    await world.commit({A: api("a", backend="https://other.example")}, two, one, three)
    bodies = [(await world.table(gateway_id))["apis"] for gateway_id in (one, three)]
    assert [routes[0]["backend_url"] for routes in bodies] == ["https://other.example"] * 2
    with pytest.raises(NotReady, match="a try"):
        await world.paths(two)
    await resume_gateway(context, world.name(two), context.principal)
    assert (await world.table(two))["apis"][0]["backend_url"] == "https://b.example"
    await world.cycle(two)
    assert (await world.table(two))["apis"][0]["backend_url"] == "https://other.example"


async def test_a_suspension_that_comes_under_the_lease_is_heeded(
    world: FleetWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await pods(world, "pod-1", "pod-2")
    await world.commit(usual_files("a"), one, two)
    await world.commit({A: api("a", backend="https://other.example")}, one)
    context = world.workspace.context
    acquire = context.store.acquire_lease

    async def suspend_first(*args: Any) -> Any:
        monkeypatch.undo()
        lease = await acquire(*args)
        await suspend_gateway(context, world.name(two), context.principal, "in between")
        return lease

    monkeypatch.setattr(context.store, "acquire_lease", suspend_first)
    result = await world.cycle(two)
    assert "in between" in result.suspended
    assert result.report.outcomes == ()


async def test_what_guards_hold_is_held_for_each_until_somebody_forces_it_there(
    world: FleetWorld,
) -> None:
    names = [f"api-{number}" for number in range(12)]
    one, two, three = await pods(world, "pod-1", "pod-2", "pod-3")
    await world.commit(usual_files(*names), one, two, three)
    gone = {f"tenants/acme/apis/{name}": None for name in names[:6]}
    await world.commit(gone, one, two, three)
    await world.cycle(one, force=True)
    assert len(await world.paths(one)) == 6
    for gateway_id in (two, three):
        result = await world.cycle(gateway_id)
        assert result.report.plan.holds
        assert len(await world.paths(gateway_id)) == 12


async def test_one_that_can_do_less_plans_for_itself(world: FleetWorld) -> None:
    one, less = world.register("pod-1"), world.register("pod-2", extensions=FEW)
    old, same = world.register("pod-3", version="0.0.9"), world.register("pod-4")
    real = world.register("pod-5", ours=False)
    with_host = api("b").replace("{path:", "{hosts: [b.example], path:")
    calls = count_calls(world)
    await world.commit(usual_files("a") | {B: with_host}, one, less, old, same, real)
    assert calls.keys() == {one, less, old, real}
    both = ["/apis/acme/a", "/apis/acme/b"]
    assert [await world.paths(each) for each in (one, less, old, same)] == [
        both, ["/apis/acme/a"], both, both,
    ]  # fmt: skip


async def test_what_is_skipped_is_said_of_each_by_its_name(world: FleetWorld) -> None:
    one, two = (world.register(name, extensions=FEW) for name in ("pod-1", "pod-2"))
    with_host = api("b").replace("{path:", "{hosts: [b.example], path:")
    world.write(usual_files("a") | {B: with_host})
    world.read()
    calls = count_calls(world)
    await world.cycle(one)
    (skip,) = (await world.cycle(two)).report.plan.skipped
    assert calls.keys() == {one}
    assert world.name(two) in skip.message
    assert world.name(one) not in skip.message


async def test_a_rotated_secret_is_read_by_each(
    world: FleetWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await pods(world, "pod-1", "pod-2")
    files = usual_files("a") | {"tenants/acme/apis/s/api.yaml": WITH_SECRET}
    await world.commit(files, one)
    monkeypatch.setenv("ACME_KEY", "the-second-key-of-all")
    world.workspace.context.recent.clock = lambda: float("inf")
    await world.cycle(two)
    keys = [
        {auth["value"] for route in (await world.table(each))["apis"]
         if (auth := route.get("backend_auth"))}
        for each in (one, two)
    ]  # fmt: skip
    assert keys == [{"the-first-key-of-all"}, {"the-second-key-of-all"}]


async def test_one_with_another_past_plans_for_itself(world: FleetWorld) -> None:
    one, two, new = await pods(world, "pod-1", "pod-2", "pod-3")
    await world.commit(usual_files("a"), one, two)
    await world.workspace.context.store.forget_gateway(scope(world, two).owner, world.name(two))
    calls = count_calls(world)
    await world.commit({A: api("a", backend="https://other.example")}, one, two, new)
    assert calls.keys() == {one, two, new}


async def test_one_in_quarantine_plans_for_itself(world: FleetWorld) -> None:
    one, two = await pods(world, "pod-1", "pod-2")
    await world.commit(usual_files("a"), one, two)
    entry = Quarantined(Key("api", "acme", "b"), "digest", "stoa", "no", world.clock())
    cycle = CycleEntry("anna", "r", "", world.clock(), quarantined=(entry,))
    await world.workspace.context.store.record_cycle(scope(world, two), cycle)
    calls = count_calls(world)
    await world.commit({A: api("a", backend="https://other.example")}, one, two)
    assert calls.keys() == {one, two}


async def plan_behind_a_lease(
    world: FleetWorld, one: str
) -> tuple[asyncio.Task[CycleResult], Lease]:
    """Let one plan a change of the catalog while somebody else has its lease."""
    world.write(usual_files("a"))
    world.read()
    store, name = world.workspace.context.store, world.name(one)
    lease = await store.acquire_lease(name, "anna", timedelta(hours=1), world.clock())
    calls = count_calls(world)
    planning = asyncio.create_task(world.cycle(one))
    while not calls[one]:
        await asyncio.sleep(0)
    return planning, lease


async def test_one_whose_lease_another_has_delays_nobody_for_long(
    world: FleetWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_plans, "PATIENCE", 0.05)
    one, two = await pods(world, "pod-1", "pod-2")
    waiting, lease = await plan_behind_a_lease(world, one)
    assert (await world.cycle(two)).report.count(Status.APPLIED) == 1
    assert not waiting.done()
    await world.workspace.context.store.release_lease(lease)
    assert (await waiting).is_ok


async def test_when_the_one_that_plans_is_cancelled_the_others_go_on(world: FleetWorld) -> None:
    one, two = await pods(world, "pod-1", "pod-2")
    planning, lease = await plan_behind_a_lease(world, one)
    following = asyncio.create_task(world.cycle(two))
    planning.cancel()
    assert (await following).report.count(Status.APPLIED) == 1
    await world.workspace.context.store.release_lease(lease)


async def test_what_is_due_meanwhile_is_planned_anew(world: FleetWorld) -> None:
    one, two = await pods(world, "pod-1", "pod-2")
    application = document(
        "Application", "app",
        'subscriptions: [{api: a, expiresAt: "2030-01-01T00:00:00Z"}]\n'
        "credentials: [{type: api_key, keyRef: {env: ACME_KEY}}]",
    )  # fmt: skip
    files = usual_files("a") | {"tenants/acme/applications/app/app.yaml": application}
    await world.commit(files, one)
    world.clock.now = START.replace(year=2031)
    calls = count_calls(world)
    await world.cycle(two)
    assert calls.keys() == {two}


async def test_what_is_kept_for_others_is_bounded(world: FleetWorld) -> None:
    ids = await pods(world, *(f"pod-{number}" for number in range(3)))
    seen: list[weakref.ref[object]] = []
    for number in range(3 * CAPACITY):
        await world.commit(usual_files("a") | {A: api("a", backend=f"https://b{number}.x")}, *ids)
        now = {id(draft_of(world, one).snapshot): draft_of(world, one).snapshot for one in ids}
        assert len(now) == 1
        seen += map(weakref.ref, now.values())
        del now
    gc.collect()
    # What a plan led to is mostly what the next one began with.
    assert sum(one() is not None for one in seen) <= CAPACITY + 1
    assert len({id(await records_of(world, one)) for one in ids}) == 1


def draft_of(world: FleetWorld, gateway_id: str) -> Draft[Any]:
    instance = world.statuses.find(world.name(gateway_id))
    assert instance is not None
    draft = world.published.draft_of(instance)[0]
    assert draft is not None
    return draft


async def records_of(world: FleetWorld, gateway_id: str) -> object:
    """What the session of a gateway holds of its inventory."""
    catalog, instance = world.statuses.catalog, world.statuses.find(world.name(gateway_id))
    assert catalog is not None
    assert instance is not None
    session = await world.workspace.session(catalog, instance)
    assert session.cache.stored is not None
    return session.cache.stored.records


# Shared or alone, the same comes of everything.

APIS = ("a", "b", "c", "d")
PODS: Mapping[str, Mapping[str, Any]] = {
    "pod-1": {}, "pod-2": {}, "pod-3": {}, "acme-1": {"tenant_id": "acme"},
    "acme-2": {"tenant_id": "acme"}, "less-1": {"extensions": FEW}, "less-2": {"extensions": FEW},
}  # fmt: skip
EDITS = st.tuples(st.sampled_from(("acme", "globex")), st.sampled_from(APIS), st.integers(0, 3))
STEPS = st.lists(
    st.tuples(
        st.lists(EDITS, max_size=3),
        st.sampled_from(("", "", "", "suspend", "resume", "forget")),
        st.lists(st.sampled_from(sorted(PODS)), min_size=2, max_size=6),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.slow
@examples(60)
@given(STEPS)
def test_a_shared_plan_is_what_each_would_have_planned_alone(steps: list[Any]) -> None:
    shared, alone = (asyncio.run(what_comes_of(steps, is_alone=one)) for one in (False, True))
    assert shared == alone


async def what_comes_of(steps: list[Any], *, is_alone: bool) -> list[object]:
    """Return results, tables and inventories of a catalog that is edited while gateways come."""
    found: list[object] = []
    with tempfile.TemporaryDirectory() as folder:
        async with FleetWorld(Path(folder)).process() as world:
            if is_alone:
                context = world.workspace.context
                world.workspace.context = replace(context, plans=Alone())
            world.write(usual_files(*APIS) | usual_files(*APIS, tenant="globex"))
            for edits, what, names in steps:
                ids = [world.register(name, **PODS[name]) for name in names]
                files = {
                    f"tenants/{tenant}/apis/{name}/api.yaml": text_of(tenant, name, number)
                    for tenant, name, number in edits
                }
                world.write({path: text for path, text in files.items() if text})
                for path in (path for path, text in files.items() if not text):
                    (world.folder / "catalog" / path).unlink(missing_ok=True)
                world.read()
                await interfere(world, what, ids[0])
                for one in ids:
                    result = await world.cycle(one)
                    found += [result, await seen_of(world, one)]
    return found


def text_of(tenant: str, name: str, number: int) -> str | None:
    return (
        None,
        api(name, tenant),
        api(name, tenant, backend="https://other.example"),
        api(name, tenant).replace("{path:", "{hosts: [b.example], path:"),
    )[number]


async def interfere(world: FleetWorld, what: str, gateway_id: str) -> None:
    context, name = world.workspace.context, world.name(gateway_id)
    if what == "suspend":
        await suspend_gateway(context, name, context.principal, "a try")
    elif what == "resume":
        await resume_gateway(context, name, context.principal)
    elif what == "forget":
        await context.store.forget_gateway(scope(world, gateway_id).owner, name)


async def seen_of(world: FleetWorld, gateway_id: str) -> object:
    store, name = world.workspace.context.store, world.name(gateway_id)
    cycles = [replace(one, id=0) for one in await store.list_cycles(name)]
    records = await store.load_records(scope(world, gateway_id))
    draft = draft_of(world, gateway_id)
    return cycles, records, draft.content({}).lines, draft.registration.id

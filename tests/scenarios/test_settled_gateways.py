"""A gateway whose draft is ours has no cycle at its interval while nothing moved that decides.

Each reason to plan again has a test here; `world.check` does what is done at the interval.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from stoa_gitops.errors import StoreError
from stoa_gitops.model.secret_rights import DEFAULT_RIGHTS
from stoa_gitops.operations.gateways import resume_gateway, suspend_gateway
from stoa_gitops.operations.workspace import Workspace
from stoa_gitops.reconcile.plan_basis import RECENT, RecentSecrets
from stoa_gitops.store import CycleEntry
from tests.scenarios.fleet_world import FleetWorld, api, document, usual_files
from tests.scenarios.world import START

ENDS = START + timedelta(hours=2)
APPLICATION = (
    'subscriptions: [{api: a, expiresAt: "2030-01-01T00:00:00Z"}]\n'
    "credentials: [{type: api_key, keyRef: {env: ACME_KEY}}]"
)


def with_secret(name: str) -> str:
    secret = "auth: {in: header, name: X-Key, valueRef: {env: ACME_KEY}}"
    return api(name).replace("backend: {", f"backend: {{{secret}, ")


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FleetWorld]:
    monkeypatch.setenv("ACME_KEY", "the-first-key-of-all")
    async with FleetWorld(tmp_path).process() as made:
        yield made


async def settled(world: FleetWorld, *, ours: bool = True, files: str = "") -> str:
    """A gateway of which the last check found that nothing has moved."""
    one = world.register("pod-1", ours=ours)
    a = {"tenants/acme/apis/a/api.yaml": files} if files else {}
    await world.commit(usual_files("a") | a, one)
    assert not (await world.check(one)).is_settled
    assert (await world.check(one)).is_settled
    return one


@pytest.mark.parametrize("ours", [True, False])
async def test_where_nothing_moves_the_last_result_stays(world: FleetWorld, *, ours: bool) -> None:
    one = await settled(world, ours=ours)
    again = await world.check(one)
    assert (again.is_settled, again.is_ok, again.report.is_converged) == (True, True, True)
    assert await world.paths(one) == ["/apis/acme/a"]


async def test_one_that_gets_nothing_is_settled_with_its_first_cycle(world: FleetWorld) -> None:
    one = world.register("pod-1", tenant_id="nobodys")
    await world.commit(usual_files("a"), one)
    assert (await world.check(one)).is_settled


async def test_what_is_asked_for_is_a_cycle_though_nothing_moved(world: FleetWorld) -> None:
    one = await settled(world)
    assert not (await world.cycle(one)).is_settled
    assert (await world.check(one)).is_settled


async def test_another_gateway_of_the_document_changes_nothing(world: FleetWorld) -> None:
    one = await settled(world)
    two = world.register("pod-2")
    world.read()
    await world.cycle(two)
    assert (await world.check(one)).is_settled


async def test_an_edited_document_is_applied(world: FleetWorld) -> None:
    one = await settled(world)
    world.write({"tenants/acme/apis/b/api.yaml": api("b")})
    world.read()
    assert not (await world.check(one)).is_settled
    assert await world.paths(one) == ["/apis/acme/a", "/apis/acme/b"]


async def test_an_edited_document_of_the_gateway_is_planned_by(world: FleetWorld) -> None:
    one = await settled(world)
    spec = "gatewayType: stoa_edge_mcp\nenvironment: prod\nregistration: {match: {}}\n"
    world.write({"gateways/edge.yaml": document("GatewayInstance", "edge", spec + "wave: 3")})
    world.read()
    assert not (await world.check(one)).is_settled


async def test_a_rotated_secret_is_written(
    world: FleetWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await settled(world, files=with_secret("a"))
    monkeypatch.setenv("ACME_KEY", "the-second-key-of-all")
    world.workspace.context.recent.clock = lambda: float("inf")
    assert not (await world.check(one)).is_settled
    (route,) = (await world.table(one))["apis"]
    assert route["backend_auth"]["value"] == "the-second-key-of-all"


async def test_a_suspension_by_another_process_is_noticed(
    world: FleetWorld, tmp_path: Path
) -> None:
    one = await settled(world)
    name = world.name(one)
    async with Workspace.open(tmp_path / "state", clock=world.clock) as other:
        await suspend_gateway(other.context, name, other.context.principal, "a try")
        result = await world.check(one)
        assert (result.is_settled, "a try" in result.suspended) == (False, True)
        await resume_gateway(other.context, name, other.context.principal)
    result = await world.check(one)
    assert (result.is_settled, result.suspended) == (False, "")


async def test_what_another_process_stored_of_it_is_noticed(
    world: FleetWorld, tmp_path: Path
) -> None:
    one = await settled(world)
    catalog, instance = world.statuses.catalog, world.statuses.find(world.name(one))
    assert catalog is not None
    assert instance is not None
    async with Workspace.open(tmp_path / "state", clock=world.clock) as other:
        session = await world.workspace.session(catalog, instance)
        assert session.cache.stored is not None
        entry = CycleEntry("anna", "r2", "", world.clock())
        await other.context.store.record_cycle(session.cache.stored.scope, entry)
    assert not (await world.check(one)).is_settled


async def test_an_inventory_that_another_process_dropped_is_noticed(
    world: FleetWorld, tmp_path: Path
) -> None:
    one = await settled(world)
    async with Workspace.open(tmp_path / "state", clock=world.clock) as other:
        assert world.statuses.catalog is not None
        owner = world.statuses.catalog.owner
        await other.context.store.forget_gateway(owner, world.name(one))
    assert not (await world.check(one)).is_settled


async def test_a_gateway_that_says_other_things_of_itself_is_planned_again(
    world: FleetWorld,
) -> None:
    one = await settled(world)
    world.register("pod-1", version="0.2.0")
    world.read()
    assert not (await world.check(one)).is_settled


async def test_a_draft_that_somebody_wrote_to_is_planned_again(world: FleetWorld) -> None:
    one = await settled(world)
    instance = world.statuses.find(world.name(one))
    assert instance is not None
    administer = world.published.admin_of(instance)
    assert administer is not None
    (route,) = (await world.table(one))["apis"]
    status, _, _ = await administer("DELETE", f"/admin/apis/{route['id']}", {}, b"")
    assert status == 204
    result = await world.check(one)
    assert [change.action.value for change in result.report.plan.changes] == ["create"]
    assert await world.paths(one) == ["/apis/acme/a"]


async def test_an_end_that_has_come_is_planned(world: FleetWorld) -> None:
    files = usual_files("a") | {
        "tenants/acme/applications/app.yaml": document(
            "Application", "app", APPLICATION.replace("2030-01-01T00:00:00Z", ENDS.isoformat())
        )
    }
    one = world.register("pod-1")
    await world.commit(files, one)
    await world.check(one)
    assert (await world.check(one)).is_settled
    world.clock.now = ENDS - timedelta(seconds=1)
    assert (await world.check(one)).is_settled
    world.clock.now = ENDS
    result = await world.check(one)
    assert not result.is_settled
    assert [str(change.key) for change in result.report.plan.changes] == ["application/acme/app"]


async def test_a_clock_that_went_backwards_is_a_doubt(world: FleetWorld) -> None:
    one = await settled(world)
    world.clock.turn(hours=-1)
    assert not (await world.check(one)).is_settled


async def test_a_publication_that_failed_is_tried_again(
    world: FleetWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await settled(world)
    store = world.workspace.context.store

    async def refuse(_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(store, "write_published", refuse)
        world.write({"tenants/acme/apis/b/api.yaml": api("b")})
        world.read()
        for _ in range(3):
            with pytest.raises(StoreError):
                await world.check(one)
    await world.check(one)
    assert await world.paths(one) == ["/apis/acme/a", "/apis/acme/b"]


async def test_secrets_of_a_moment_ago_serve_the_other_gateways_of_a_document() -> None:
    seconds, made = [0.0], []
    recent = RecentSecrets(lambda: seconds[0])
    needed = frozenset({("acme", "env:ACME_KEY")})

    async def make() -> dict[str, str | None]:
        made.append(seconds[0])
        return {"env:ACME_KEY": str(seconds[0])}

    for moment in (0.0, RECENT / 2, RECENT, RECENT * 1.5):
        seconds[0] = moment
        await recent.find(needed, DEFAULT_RIGHTS, make)
    assert made == [0.0, RECENT]

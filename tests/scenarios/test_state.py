"""State that is lost, shared, full, or written by a clock that steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from stoa_gitops.adapters.memory.server import Fault, StoredObject
from stoa_gitops.errors import StoreError
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.conditions import Condition, ConditionStatus
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.planning import BrokenScope
from stoa_gitops.reconcile.conditions import cycle_conditions
from stoa_gitops.reconcile.cycle import apply_plan, prepare_plan
from stoa_gitops.reconcile.lease import TTL
from stoa_gitops.reconcile.session import OVERTAKEN
from stoa_gitops.reconcile.suspension import resume, suspend
from stoa_gitops.store import Store
from stoa_gitops.store.sqlite import BlockingStore, SqliteStore
from tests.scenarios.world import START, World, api, statuses, world, writes

THEIRS = Key("api", "acme", "theirs")


async def test_a_lost_store_is_rebuilt_from_the_marks_without_writing_to_the_gateway(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, api("one"), api("two")) as one:
        one.gateway.add_foreign(THEIRS, Spec.of({"displayName": "theirs"}))
        await one.converged()
        written, objects = writes(one.gateway), dict(one.gateway.objects)
        one.folder = tmp_path / "another"
        async with one.begin():
            await one.converged()
            assert await one.inventory() == set(one.wanted())
        assert (writes(one.gateway), one.gateway.objects) == (written, objects)


async def test_after_losing_the_store_what_left_the_catalog_is_still_pruned(tmp_path: Path) -> None:
    async with world(tmp_path, api("one"), api("two")) as one:
        await one.converged()
        one.folder = tmp_path / "another"
        one.want(api("one"))
        async with one.begin():
            await one.converged()
            assert set(one.held()) == {"api/acme/one"}


async def test_two_owners_on_one_gateway_never_touch_each_others_objects(tmp_path: Path) -> None:
    async with world(tmp_path, api("mine"), api("both")) as one:
        other = World(
            tmp_path / "other", one.gateway, one.clock, one.instance, "another", dict(one.resources)
        )
        other.want(api("both", version="2"), api("other"))
        async with other.begin():
            for world_ in (one, other, one, other):
                await world_.cycle()
            # one key has one place on a gateway: the second owner finds it foreign, and says so
            skipped = (await other.cycle()).report.plan.skipped
            assert [(s.key.name, s.reason) for s in skipped] == [("both", SkipReason.UNMANAGED)]
            other.want()
            await other.cycle()
            assert other.held() == {}
        assert one.held() == one.wanted()
        assert not (await one.cycle()).report.outcomes


async def test_another_process_that_applied_meanwhile_is_noticed_even_when_the_clock_went_back(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, api("one")) as one:
        session = await one.workspace.session(_catalog(one), one.instance)
        prepared = await prepare_plan(session, one.assignment)
        one.clock.turn(days=-1)
        async with World(
            one.folder, one.gateway, one.clock, one.instance, resources=dict(one.resources)
        ).begin() as beside:
            await beside.cycle()
        report = await apply_plan(session, prepared, digest="")
        assert report.error == OVERTAKEN
        await one.converged()


@pytest.mark.parametrize("step", [-400.0, 400.0])
async def test_steps_of_the_clock_hold_nothing_up(tmp_path: Path, step: float) -> None:
    async with world(tmp_path, api("one")) as one:
        await one.converged()
        one.clock.turn(days=step)
        one.want(api("one", version="2"))
        await one.converged()
        assert one.held() == one.wanted()
        one.clock.turn(days=-step / 2)
        one.want(api("one", version="3"))
        await one.converged()
        assert one.held() == one.wanted()


async def test_a_refused_object_is_not_forgotten_for_a_year_when_the_clock_goes_back(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, api("bad")) as one:
        one.gateway.refused.add(one.identifier(api("bad").key))
        await one.cycle()
        one.gateway.refused.clear()
        one.clock.turn(days=-365)
        await one.converged()
        assert one.held() == one.wanted()


async def test_a_lease_of_a_holder_elsewhere_runs_out_by_the_clock(tmp_path: Path) -> None:
    async with world(tmp_path, api("one")) as one:
        store = one.workspace.context.store
        lease = await store.acquire_lease("kong", "elsewhere", TTL, one.clock())
        await on_thread(store, _moved_elsewhere)
        one.clock.turn(seconds=TTL.total_seconds() + 1)
        await one.converged()
        assert one.held() == one.wanted()
        assert not await store.release_lease(lease)


async def test_a_subscription_ends_when_its_time_comes_and_once(tmp_path: Path) -> None:
    end = START + timedelta(hours=2)
    subscription = {"api": "one", "expiresAt": end.isoformat()}
    application = replace(
        api("mobile", subscriptions=[subscription]), key=Key("application", "acme", "mobile")
    )
    async with world(tmp_path, api("one"), application) as one:
        first = await one.cycle()
        assert first.next_check == end
        quiet = await one.cycle()
        assert (quiet.next_check, quiet.report.outcomes) == (end, ())
        one.clock.now = end
        last = await one.cycle()
        assert statuses(last) == {"application/acme/mobile": Status.APPLIED}
        ended = {**subscription, "ended": True}
        assert one.held()["application/acme/mobile"]["subscriptions"] == [ended]
        assert last.next_check is None


async def test_a_person_suspends_and_resumes_over_restarts_while_observing_goes_on(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, api("one")) as one:
        store = one.workspace.context.store
        await suspend(store, "kong", "anna@ops", one.clock(), "moving house")
        async with one.begin():
            result = await one.cycle()
            assert "anna@ops" in result.suspended
            assert "moving house" in result.suspended
            assert len(result.report.plan.changes) == 1
            assert one.held() == {}
            assert result.is_ok
        await resume(store, "kong", "anna@ops", one.clock())
        async with one.begin():
            await one.converged()
        assert one.held() == one.wanted()
        trail = await store.list_audit("kong")
        assert [entry.action for entry in trail][-2:] == ["resume", "suspend"]


async def test_a_suspended_gateway_that_does_not_answer_is_suspended_still(tmp_path: Path) -> None:
    async with world(tmp_path, api("one")) as one:
        await suspend(one.workspace.context.store, "kong", "anna@ops", one.clock(), "moving house")
        one.gateway.fail(Fault.REFUSED_CONNECTION, times=99)
        result = await one.cycle()
        assert not result.report.plan.complete
        known = {c.type: c.status for c in cycle_conditions(result, 1, one.clock())}
        assert known["Suspended"] is ConditionStatus.TRUE
        assert known["GatewayReachable"] is ConditionStatus.FALSE


async def test_a_person_who_suspends_while_a_cycle_writes_is_in_its_result(tmp_path: Path) -> None:
    async with world(tmp_path, api("one")) as one:
        store, put = one.workspace.context.store, one.gateway.put
        suspending: list[asyncio.Task[Condition]] = []

        def put_while_somebody_suspends(gateway_id: str, held: StoredObject) -> None:
            put(gateway_id, held)
            words = suspend(store, "kong", "anna@ops", one.clock(), "moving house")
            suspending.append(asyncio.create_task(words))

        one.gateway.put = put_while_somebody_suspends  # type: ignore[method-assign]
        result = await one.cycle()
        await asyncio.gather(*suspending)
        assert result.report.is_converged
        assert "moving house" in result.suspended


async def test_a_document_that_says_suspended_is_obeyed_and_named(tmp_path: Path) -> None:
    async with world(tmp_path, api("one"), suspended=True) as one:
        result = await one.cycle()
        assert "gateways/kong.yaml" in result.suspended
        assert one.held() == {}


async def test_what_is_broken_stays_as_applied_and_follows_when_it_is_fixed(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, api("one"), api("two"), api("calm", tenant="other")) as one:
        await one.converged()
        one.want(api("two", version="2"))
        one.broken = BrokenScope(frozenset({"acme"}))
        async with one.begin():  # a restart on the broken revision
            await one.cycle()
            assert set(one.held()) == {"api/acme/one", "api/acme/two"}
            assert one.held()["api/acme/two"]["version"] == "2"
            one.gateway.objects.clear()
            await one.cycle()
            assert set(one.held()) == {"api/acme/one", "api/acme/two"}
            one.broken = BrokenScope()
            await one.converged()
            assert one.held() == one.wanted()


async def test_a_full_disk_stops_the_cycle_in_words_and_nothing_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    async with world(
        tmp_path, *(api(f"api-{n}", description="d" * 3000) for n in range(60))
    ) as one:
        store = one.workspace.context.store
        await on_thread(store, _limit_pages, 60)
        with pytest.raises(StoreError, match="the disk is full"):
            await one.cycle()
        written = len(one.gateway.objects)
        await on_thread(store, _limit_pages, 1_000_000)
        async with one.begin():
            await one.converged()
            assert await one.inventory() == set(one.wanted())
        assert one.held() == one.wanted()
        assert written == len(one.gateway.objects)


async def test_cycles_that_find_nothing_new_write_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, *(api(f"api-{n}") for n in range(20))) as one:
        await one.converged()
        store = one.workspace.context.store
        version, puts = await store.version(), writes(one.gateway)
        for _ in range(50):
            one.clock.turn(minutes=1)
            assert (await one.cycle()).report.is_converged
        assert await store.version() == version
        assert writes(one.gateway) == puts


async def test_a_cycle_that_is_cancelled_in_the_middle_has_recorded_what_it_did(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, api("a"), api("b", depends_on=[api("a").key])) as one:
        stuck = asyncio.Event()
        original = one.gateway.put

        def put(gateway_id: str, held: object) -> None:
            original(gateway_id, held)  # type: ignore[arg-type]
            stuck.set()

        one.gateway.put = put  # type: ignore[method-assign]
        task = asyncio.create_task(one.cycle())
        await stuck.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await one.converged()
        assert one.held() == one.wanted()
        assert await one.inventory() == set(one.wanted())


async def on_thread(store: Store, method: Callable[..., None], *arguments: int) -> None:
    """Do something to the file that no method of a store does."""
    assert isinstance(store, SqliteStore)
    await store.call(method, *arguments)


def _limit_pages(store: BlockingStore, count: int) -> None:
    """Make the disk full for this database: SQLite answers as it does then."""
    store._database._connection.execute(f"PRAGMA max_page_count={count}")


def _moved_elsewhere(store: BlockingStore) -> None:
    with store._database.transaction() as db:
        db.execute("UPDATE leases SET machine = 'another machine'")


def _catalog(one: World) -> Catalog:
    desired = {one.instance.name: one.assignment.desired}
    return Catalog(one.owner, one.revision, None, (one.instance,), desired, ("acme",))

"""A gateway that refuses, flaps, asks for patience or talks nonsense: for a day, in a moment."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from stoa_gitops.adapters.memory.server import Fault
from stoa_gitops.model.canonical import Spec
from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from stoa_gitops.reconcile.quarantine import RETRY
from stoa_gitops.reconcile.queue import DirtyQueue
from tests.scenarios.world import START, Agenda, api, statuses, world, writes

FOREIGN = Key("api", "other", "theirs")


async def test_a_refused_object_is_quarantined_with_the_gateways_message_and_the_rest_goes_on(
    tmp_path: Path,
) -> None:
    bad, good = api("bad"), api("good")
    waiting = api("waiting", depends_on=[bad.key])
    async with world(tmp_path, bad, good, waiting) as one:
        one.gateway.refused.add(one.identifier(bad.key))
        first = await one.cycle()
        assert statuses(first) == {
            "api/acme/bad": Status.QUARANTINED,
            "api/acme/good": Status.APPLIED,
            "api/acme/waiting": Status.BLOCKED,
        }
        second = await one.cycle()
        skips = {str(skip.key): skip for skip in second.report.plan.skipped}
        assert skips["api/acme/bad"].reason is SkipReason.QUARANTINED
        assert "(400: invalid)" in skips["api/acme/bad"].message
        source = skips["api/acme/bad"].source
        assert source is not None
        assert source.full == "tenants/acme/apis/bad/api.yaml:1:1"
        assert skips["api/acme/waiting"].reason is SkipReason.QUARANTINED
        assert second.report.outcomes == ()
        assert second.is_ok
        assert set(one.held()) == {"api/acme/good"}


async def test_a_refused_object_is_tried_again_when_its_document_changes(tmp_path: Path) -> None:
    async with world(tmp_path, api("bad")) as one:
        one.gateway.refused.add(one.identifier(api("bad").key))
        await one.cycle()
        puts = writes(one.gateway)
        await one.cycle()
        assert writes(one.gateway) == puts
        one.gateway.refused.clear()
        one.want(api("bad", version="2"))
        await one.cycle()
        assert one.held() == one.wanted()
        assert await one.quarantined() == {}


async def test_a_refused_object_is_tried_again_when_the_gateway_is_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, api("bad")) as one:
        one.gateway.refused.add(one.identifier(api("bad").key))
        await one.cycle()
        one.gateway.refused.clear()
        monkeypatch.setattr(one.gateway, "health", lambda: "2.0")
        await one.cycle()
        assert one.held() == one.wanted()


async def test_otherwise_it_is_tried_once_an_hour_and_over_restarts(tmp_path: Path) -> None:
    async with world(tmp_path, api("bad")) as one:
        one.gateway.refused.add(one.identifier(api("bad").key))
        await one.cycle()
        for _ in range(3):
            tries = writes(one.gateway)
            one.clock.turn(minutes=59)
            async with one.begin():
                result = await one.cycle()
                assert writes(one.gateway) == tries
                assert result.next_check == one.clock.now + timedelta(minutes=1)
                one.clock.turn(minutes=1)
                await one.cycle()
            assert writes(one.gateway) == tries + 1
        async with one.begin():
            (entry,) = (await one.quarantined()).values()
        assert entry.since == START
        assert entry.last_try == START + 3 * RETRY
        assert entry.source is not None
        assert entry.source.full == "tenants/acme/apis/bad/api.yaml:1:1"


async def test_a_rotated_secret_of_a_refused_object_is_a_change_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_KEY", "one")
    auth = {"in": "header", "name": "X-Key", "value": {"$secret": "env:ACME_KEY"}}
    async with world(tmp_path, api("bad", backend={"url": "http://b", "auth": auth})) as one:
        one.gateway.refused.add(one.identifier(api("bad").key))
        await one.cycle()
        tries = writes(one.gateway)
        await one.cycle()
        assert writes(one.gateway) == tries
        monkeypatch.setenv("ACME_KEY", "two")
        await one.cycle()
        assert writes(one.gateway) == tries + 1


async def test_what_nobody_asks_for_any_more_leaves_the_quarantine(tmp_path: Path) -> None:
    async with world(tmp_path, api("bad"), api("good")) as one:
        one.gateway.refused.add(one.identifier(api("bad").key))
        await one.cycle()
        one.want(api("good"))
        await one.cycle()
        assert await one.quarantined() == {}


async def test_a_refused_update_leaves_the_object_as_it_was(tmp_path: Path) -> None:
    async with world(tmp_path, api("good")) as one:
        await one.converged()
        before = one.held()
        one.gateway.refused.add(one.identifier(api("good").key))
        one.want(api("good", version="2"))
        await one.cycle()
        await one.cycle()
        assert one.held() == before
        assert await one.inventory() == {"api/acme/good"}


async def test_a_gateway_that_is_down_for_a_day_is_asked_rarely_and_then_converges(
    tmp_path: Path,
) -> None:
    queue, agenda = DirtyQueue(), Agenda()
    async with world(tmp_path, api("one"), api("two")) as one:
        one.gateway.fail(Fault.REFUSED_CONNECTION, times=10**9)
        worker, results = one.worker(queue, agenda)
        await one.pass_time(24, worker, queue, agenda)
        assert all(result.reason == "GatewayUnreachable" for result in results)
        assert 24 * 12 <= len(results) <= 24 * 30  # every 150 to 300 s, after a quick beginning
        assert one.held() == {}
        one.gateway.heal()
        await one.pass_time(0.2, worker, queue, agenda)
        assert one.held() == one.wanted()


async def test_a_gateway_that_talks_nonsense_for_a_day_is_never_taken_for_empty(
    tmp_path: Path,
) -> None:
    queue, agenda = DirtyQueue(), Agenda()
    async with world(tmp_path, api("one"), api("two")) as one:
        one.gateway.add_foreign(FOREIGN, Spec.of({"displayName": "theirs"}))
        await one.converged()
        written, foreign = writes(one.gateway), one.foreign()
        one.gateway.fail(Fault.MALFORMED, "list", times=10**9)
        worker, results = one.worker(queue, agenda)
        await one.pass_time(24, worker, queue, agenda)
        assert {result.reason for result in results} == {"GatewayMalformed"}
        assert writes(one.gateway) == written
        one.gateway.heal()
        await one.pass_time(0.2, worker, queue, agenda)
        assert one.held() == one.wanted()
        assert one.foreign() == foreign
        assert await one.inventory() == set(one.wanted())


async def test_a_gateway_that_limits_rates_for_a_day_is_asked_no_sooner_than_it_says(
    tmp_path: Path,
) -> None:
    queue, agenda = DirtyQueue(), Agenda()
    async with world(tmp_path, api("one")) as one:
        one.gateway.fail(Fault.BUSY, "list", times=10**9)
        worker, results = one.worker(queue, agenda)
        moments = []
        original = one.cycle

        async def noted() -> object:
            moments.append(one.clock.now)
            return await original()

        one.cycle = noted  # type: ignore[method-assign,assignment]
        await one.pass_time(24, worker, queue, agenda)
        gaps = [later - before for before, later in pairwise(moments)]
        assert min(gaps) >= timedelta(seconds=7)
        assert results[0].retry_after == 7.0
        one.gateway.heal()
        await one.pass_time(0.2, worker, queue, agenda)
        assert one.held() == one.wanted()


async def test_patience_that_a_write_is_asked_for_is_honoured_too(tmp_path: Path) -> None:
    async with world(tmp_path, api("one")) as one:
        one.gateway.fail(Fault.BUSY, "put")
        result = await one.cycle()
        assert (result.is_ok, result.retry_after) == (False, 7.0)


async def test_a_gateway_that_flaps_for_a_day_ends_as_the_catalog_says(tmp_path: Path) -> None:
    queue, agenda, dice = DirtyQueue(), Agenda(), random.Random(11)
    faults = [Fault.TIMEOUT, Fault.SERVER_ERROR, Fault.HALF_WRITTEN, Fault.MALFORMED]
    async with world(tmp_path, *(api(f"api-{n}") for n in range(8))) as one:
        one.gateway.add_foreign(FOREIGN, Spec.of({"displayName": "theirs"}))
        foreign = one.foreign()
        worker, results = one.worker(queue, agenda)
        for hour in range(24):
            for _ in range(6):
                one.gateway.fail(dice.choice(faults), nth=dice.randint(1, 200))
            one.want(*(api(f"api-{n}", version=str(hour)) for n in range(dice.randint(1, 8))))
            await one.pass_time(1, worker, queue, agenda)
        one.gateway.heal()
        await one.pass_time(0.2, worker, queue, agenda)
        assert one.held() == one.wanted()
        assert one.foreign() == foreign
        assert await one.inventory() == set(one.wanted())
        assert {r.is_ok for r in results} == {True, False}


async def test_a_half_written_object_is_found_and_written_again(tmp_path: Path) -> None:
    async with world(tmp_path, api("one", version="1", description="d")) as one:
        one.gateway.fail(Fault.HALF_WRITTEN, "put")
        first = await one.cycle()
        assert [o.reason for o in first.report.outcomes] == ["HalfWritten"]
        assert not first.is_ok
        await one.converged()
        assert one.held() == one.wanted()


async def test_a_document_gateway_quarantines_what_spoils_the_document(tmp_path: Path) -> None:
    bad, good = api("bad"), api("good")
    async with world(tmp_path, bad, good, options={"granularity": "document"}) as one:
        one.gateway.refused.add(one.identifier(bad.key))
        one.gateway.add_foreign(FOREIGN, Spec.of({"displayName": "theirs"}))
        await one.cycle()
        result = await one.cycle()
        assert set(one.held()) == {"api/acme/good"}
        assert result.is_ok
        assert len(one.foreign()) == 1


async def test_a_gateway_that_lost_everything_is_given_it_back(tmp_path: Path) -> None:
    async with world(tmp_path, api("one"), api("two")) as one:
        await one.converged()
        one.gateway.objects.clear()
        result = await one.cycle()
        assert one.held() == one.wanted()
        assert {o.change.reason for o in result.report.outcomes} == {"vanished from the gateway"}

"""Documents: one GET while nothing moves, one POST for a plan, and what is foreign as it was."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from stoa_gitops.model.changes import SkipReason
from stoa_gitops.model.keys import Key
from stoa_gitops.model.outcomes import Status
from tests.adapters.kong.double import KongDouble
from tests.adapters.kong.testbed import FOREIGN, apis, foreign_for, kong, limit, statuses

VERSIONS = ("3.4.2", "3.9.1")
BILLING, CRM = Key("api", "acme", "billing"), Key("api", "acme", "crm")


def catalog(*names: str) -> dict[Key, dict[str, object]]:
    return {**apis(*names), **dict(limit(name) for name in names)}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_tick_without_changes_is_one_get_of_the_hash(version: str) -> None:
    async with kong(version) as testbed:
        await testbed.converge(catalog("billing", "crm"))
        start = len(testbed.double.requests)
        for _ in range(3):
            assert (await testbed.plan(catalog("billing", "crm"))).is_empty
        assert testbed.requests_since(start) == ["GET /status"] * 3


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_plan_of_many_changes_is_one_post_whose_hash_is_known(version: str) -> None:
    async with kong(version) as testbed:
        outcomes = await testbed.converge(catalog("billing", "crm", "orders"))
        assert {o.status for o in outcomes} == {Status.APPLIED}
        (text,) = testbed.double.posts
        assert testbed.double.hash == hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_foreign_survives_every_write_as_it_was(version: str) -> None:
    async with kong(version) as testbed:
        testbed.double.load(foreign_for(version))
        before = testbed.foreign()
        assert sum(len(held) for held in before.values()) == 10
        await testbed.converge(catalog("billing", "crm"))
        await testbed.converge(catalog("crm"))
        await testbed.converge({})
        assert testbed.foreign() == before
        assert testbed.double.entities["services"].keys() == {FOREIGN["services"][0]["id"]}


async def test_equal_catalogs_give_equal_texts_whatever_their_order() -> None:
    texts = []
    for names in (("billing", "crm"), ("crm", "billing")):
        async with kong() as testbed:
            await testbed.converge(catalog(*names))
            texts.append(testbed.double.posts[-1])
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["_format_version"] == "3.0"


async def test_a_node_that_lost_its_state_is_noticed_within_a_tick_and_brought_back() -> None:
    async with kong() as testbed:
        await testbed.converge(catalog("billing"))
        text = testbed.double.posts[-1]
        testbed.double.restart("empty")
        plan = await testbed.plan(catalog("billing"))
        assert {change.reason for change in plan.changes} == {"vanished from the gateway"}
        await testbed.execute(plan)
        assert testbed.double.posts[-1] == text


async def test_a_node_that_fell_back_to_its_file_keeps_what_stands_there_and_gets_ours_again() -> (
    None
):
    async with kong() as testbed:
        testbed.double.declarative_file = json.dumps(FOREIGN)
        await testbed.converge(catalog("billing"))
        testbed.double.restart("file")
        await testbed.converge(catalog("billing"))
        assert set(testbed.ours()) == {"acme.billing"}
        assert "them" in {c["username"] for c in testbed.double.entities["consumers"].values()}


async def test_a_second_writer_between_our_read_and_our_post_is_merged() -> None:
    async with kong() as testbed:
        plan = await testbed.plan(catalog("billing"))
        calls: list[int] = []

        def write_between() -> None:
            if not calls:
                calls.append(1)
                testbed.double.load(FOREIGN)

        testbed.double.on_status = write_between
        outcomes = await testbed.execute(plan)
        assert {o.status for o in outcomes} == {Status.APPLIED}
        assert set(testbed.ours()) == {"acme.billing"}
        assert FOREIGN["services"][0]["id"] in testbed.double.entities["services"]


async def test_a_second_writer_right_before_the_post_arrives_is_seen_in_the_next_tick() -> None:
    """Kong has no compare-and-swap.

    What was written within these milliseconds is lost, and nothing else can be.
    """
    async with kong() as testbed:
        await testbed.converge(catalog("billing"))
        testbed.double.load({**FOREIGN, "_transform": False})
        await testbed.converge(catalog("billing"))
        assert (await testbed.plan(catalog("billing"))).is_empty
        assert FOREIGN["services"][0]["id"] in testbed.double.entities["services"]


async def test_who_writes_all_the_time_gets_the_last_word_and_we_say_so() -> None:
    async with kong() as testbed:
        plan = await testbed.plan(catalog("billing"))
        number = 0

        def write_between() -> None:
            nonlocal number
            number += 1
            testbed.double.load({**FOREIGN, "_comment": str(number)})

        testbed.double.on_status = write_between
        outcomes = await testbed.execute(plan)
        assert {(o.status, o.reason) for o in outcomes} == {(Status.FAILED, "GatewayBusy")}
        assert "again and again" in outcomes[0].message


@pytest.mark.parametrize("fault", ["lose_after_commit", "timeout_after_commit", "cut_answers"])
async def test_a_document_that_was_taken_counts_whatever_the_answer_was(fault: str) -> None:
    async with kong() as testbed:
        plan = await testbed.plan(catalog("billing"))
        if fault == "cut_answers":
            testbed.double.cut_answers(1, match="POST /config")
        elif fault == "timeout_after_commit":
            testbed.double.timeout_after_commit(answers_504=True)
        else:
            testbed.double.lose_after_commit()
        outcomes = await testbed.execute(plan)
        assert {o.status for o in outcomes} == {Status.APPLIED}, statuses(outcomes)
        assert len(testbed.double.posts) == 1
        assert (await testbed.plan(catalog("billing"))).is_empty


async def test_a_busy_node_is_left_in_peace_for_as_long_as_it_asks() -> None:
    async with kong() as testbed:
        plan = await testbed.plan(catalog("billing"))
        testbed.double.busy(retry_after=7)
        outcomes = await testbed.execute(plan)
        assert {(o.reason, o.retry_after) for o in outcomes} == {("GatewayBusy", 7.0)}
        await testbed.converge(catalog("billing"))
        assert set(testbed.ours()) == {"acme.billing"}


async def test_a_document_that_is_too_large_is_not_sent_and_the_message_says_what_to_raise() -> (
    None
):
    async with kong(adminBodyLimit="2KiB") as testbed:
        outcomes = await testbed.converge(catalog("billing", "crm", "orders"))
        assert {(o.status, o.reason) for o in outcomes} == {(Status.FAILED, "DocumentTooLarge")}
        assert "nginx_admin_client_max_body_size" in outcomes[0].message
        assert "options.adminBodyLimit" in outcomes[0].message
        assert testbed.double.posts == []


async def test_a_store_that_is_full_keeps_the_old_document_and_names_the_setting() -> None:
    async with kong() as testbed:
        await testbed.converge(catalog("billing"))
        testbed.double.lmdb_limit = 100
        outcomes = await testbed.converge(catalog("billing", "crm"))
        assert {o.reason for o in outcomes} == {"DocumentTooLarge"}
        assert "lmdb_map_size" in outcomes[0].message
        assert set(testbed.ours()) == {"acme.billing"}


async def test_a_body_that_the_proxy_before_the_node_refuses_is_told_apart() -> None:
    async with kong() as testbed:
        testbed.double.body_limit = 1000
        outcomes = await testbed.converge(catalog("billing", "crm"))
        assert {o.reason for o in outcomes} == {"DocumentTooLarge"}
        assert "413" in outcomes[0].message
        assert "nginx_admin_client_max_body_size" in outcomes[0].message


async def test_a_document_is_never_posted_where_the_node_holds_it_already() -> None:
    async with kong() as testbed:
        await testbed.converge(catalog("billing"))
        plan = await testbed.plan(catalog("billing", "crm"))
        await testbed.execute(plan)
        await testbed.execute(plan)
        assert len(testbed.double.posts) == 2


async def test_a_node_that_restarts_in_the_middle_of_a_post_is_read_and_written_again() -> None:
    async with kong() as testbed:
        await testbed.converge(catalog("billing"))
        plan = await testbed.plan(catalog("billing", "crm"))
        testbed.double.answer_500_without_commit()
        testbed.double.before_post = lambda: testbed.double.restart("empty")
        await testbed.execute(plan)
        testbed.double.before_post = None
        await testbed.converge(catalog("billing", "crm"))
        assert set(testbed.ours()) == {"acme.billing", "acme.crm"}
        assert (await testbed.plan(catalog("billing", "crm"))).is_empty


@pytest.mark.parametrize("now", [0, 4102444800])
async def test_a_node_whose_clock_is_far_off_is_no_drift(now: int) -> None:
    async with kong(double=KongDouble("3.9.1", now=lambda: now)) as testbed:
        testbed.double.load(FOREIGN)
        before = testbed.foreign()
        await testbed.converge(catalog("billing"))
        assert (await testbed.plan(catalog("billing"))).is_empty
        assert testbed.foreign() == before


async def test_a_foreign_plugin_on_our_service_is_theirs_until_it_is_adopted() -> None:
    """Which of two counts is undefined (contract R.1, 14), so there must never be two."""
    async with kong() as testbed:
        await testbed.converge(apis("billing"))
        service = testbed.ours()["acme.billing"]["id"]
        theirs = {
            "id": "66666666-0000-4000-8000-000000000001", "name": "rate-limiting",
            "config": {"minute": 1, "policy": "local"}, "service": {"id": service},
        }  # fmt: skip
        ours = {
            name: [{k: v for k, v in e.items() if v is not None} for e in held.values()]
            for name, held in testbed.double.entities.items()
        }
        testbed.double.load(
            {"_format_version": "3.0", "_transform": False, **ours, "plugins": [theirs]}
        )
        plan = await testbed.plan(catalog("billing"))
        (skip,) = plan.skipped
        assert (str(skip.key), skip.reason) == (
            "policy/acme/billing.rate_limit", SkipReason.UNMANAGED,
        )  # fmt: skip
        await testbed.execute(plan)
        (held,) = testbed.double.entities["plugins"].values()
        assert held["config"]["minute"] == 1


async def test_names_and_tags_of_others_may_be_whatever_kong_takes() -> None:
    strange = [
        {
            "id": f"77777777-0000-4000-8000-00000000000{n}",
            "name": name,
            "host": "x.example",
            "tags": ["with space", "Ünïcode", "a:b"],
            "created_at": 1,
        }
        for n, name in enumerate(["Service~One", "dienst-äöü", "n" * 200, "acme.billing.v1"])
    ]
    routes = [
        {"id": "77777777-0000-4000-8000-00000000001a", "snis": ["x.example"],
        "protocols": ["https"],
         "service": {"id": strange[0]["id"]}, "created_at": 1},
        {"id": "77777777-0000-4000-8000-00000000001b", "paths": ["~/v([0-9]+)/x$"],
        "created_at": 1},
    ]  # fmt: skip
    async with kong() as testbed:
        testbed.double.load({"_format_version": "3.0", "services": strange, "routes": routes})
        before = testbed.foreign()
        seen = await testbed.driver.observe({})
        assert seen.is_complete, seen.error
        await testbed.converge(catalog("billing"))
        assert testbed.foreign() == before


async def test_who_writes_after_our_look_and_before_our_post_is_not_overwritten() -> None:
    async with kong() as testbed:
        plan = await testbed.plan(catalog("billing"))
        loop, calls = asyncio.get_running_loop(), 0

        def write_after_this_answer() -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                loop.call_soon(testbed.double.load, FOREIGN)

        testbed.double.on_status = write_after_this_answer
        outcomes = await testbed.execute(plan)
        assert {o.status for o in outcomes} == {Status.APPLIED}
        assert FOREIGN["services"][0]["id"] in testbed.double.entities["services"]
        assert len(testbed.double.posts) == 1


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
async def test_more_than_a_page_of_foreign_entities_is_carried_over(version: str) -> None:
    services = [
        {"id": f"88888888-0000-4000-8000-{n:012}", "name": f"s{n}", "host": "x", "created_at": 1}
        for n in range(2100)
    ]
    async with kong(version) as testbed:
        testbed.double.load({"_format_version": "3.0", "services": services})
        await testbed.converge(catalog("billing"))
        assert len(testbed.double.entities["services"]) == 2101


async def test_what_kong_echoes_in_an_older_form_is_not_sent_back_to_it() -> None:
    async with kong("3.9.1") as testbed:
        testbed.double.load(FOREIGN)
        await testbed.converge(catalog("billing"))
        assert '"redis":{' in testbed.double.posts[-1]
        assert "redis_host" not in testbed.double.posts[-1]

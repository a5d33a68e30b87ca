"""Hooks, faults, limits and restarts of the double."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from tests.adapters.kong.double import KongDouble
from tests.adapters.kong.double.declarative_text import EMPTY_HASH
from tests.adapters.kong.initial_documents import recorded_id
from tests.adapters.kong.payloads import Connect, payload, post, read


async def test_a_second_writer_between_arrival_and_evaluation_is_overwritten(
    connect: Connect,
) -> None:
    double = KongDouble()
    admin = await connect(double.app())
    double.before_post = lambda: void(double.load(payload("theirs")))
    assert (await post(admin, payload("ours")))[0] == 201
    assert [one["name"] for one in (await read(admin, "/services"))["data"]] == ["ours"]


def void(_: object) -> None: ...


async def test_the_hash_can_move_between_two_reads(connect: Connect) -> None:
    double = KongDouble()
    admin = await connect(double.app())
    before = (await read(admin, "/status"))["configuration_hash"]
    double.on_status = lambda: void(double.load(payload("theirs")))
    assert (await read(admin, "/status"))["configuration_hash"] == double.hash != before


async def test_an_answer_can_get_lost_after_the_commit(connect: Connect) -> None:
    double = KongDouble()
    admin = await connect(double.app())
    double.lose_after_commit()
    assert await post(admin, payload("a")) == (500, {"message": "An unexpected error occurred"})
    assert double.hash != EMPTY_HASH
    assert (await post(admin, payload("b")))[0] == 201


async def test_a_timeout_can_follow_the_commit(connect: Connect) -> None:
    double = KongDouble()
    admin = await connect(double.app())
    double.timeout_after_commit()
    posting = asyncio.create_task(post(admin, payload("a")))
    while "services" not in double.entities:
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await posting
    double.timeout_after_commit(answers_504=True)
    assert (await post(admin, payload("b")))[0] == 504
    assert [one["name"] for one in double.entities["services"].values()] == ["b"]


async def test_a_500_can_come_without_a_commit(connect: Connect) -> None:
    double = KongDouble()
    admin = await connect(double.app())
    double.answer_500_without_commit(times=2)
    assert [(await post(admin, payload("a")))[0] for _ in range(3)] == [500, 500, 201]


async def test_busy_answers_429_and_commits_nothing(connect: Connect) -> None:
    double = KongDouble()
    admin = await connect(double.app())
    double.busy(retry_after=7)
    async with admin.post("/config", json={"config": json.dumps(payload("a"))}) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert double.hash == EMPTY_HASH
    assert (await post(admin, payload("a")))[0] == 201


async def test_an_answer_can_be_cut(connect: Connect) -> None:
    double = KongDouble()
    admin = await connect(double.app())
    double.cut_answers(match="GET /services")
    await read(admin, "/status")
    with pytest.raises(aiohttp.ClientPayloadError):
        await read(admin, "/services")
    assert (await read(admin, "/services"))["data"] == []


async def test_a_proxy_before_kong_can_want_credentials(connect: Connect) -> None:
    double = KongDouble()
    admin = await connect(double.app())
    double.nginx_401()
    async with admin.get("/status") as answer:
        assert (answer.status, answer.content_type) == (401, "text/html")
    double.heal()
    assert "configuration_hash" in await read(admin, "/status")


async def test_a_refusal_names_its_cause_only_in_plain_form(connect: Connect) -> None:
    double = KongDouble()
    admin = await connect(double.app())
    double.refuse(lambda document: "no x" if document["services"][0]["name"] == "x" else None)
    status, body = await post(admin, payload("x"), "?flatten_errors=1")
    assert (status, body["fields"], body["flattened_errors"]) == (400, {}, {})
    status, body = await post(admin, payload("x"))
    assert status == 400
    assert "no x" in body["message"]
    assert (await post(admin, payload("y")))[0] == 201
    double.refuse(lambda document: 500)
    assert (await post(admin, payload("y")))[0] == 500


async def test_restarts_keep_drop_or_reread() -> None:
    double = KongDouble(declarative_file=json.dumps(payload("file")))
    of_file = double.hash
    assert of_file != EMPTY_HASH
    double.load(payload("later"))
    double.restart("persisted")
    assert [one["name"] for one in double.entities["services"].values()] == ["later"]
    double.restart("file")
    assert double.hash == of_file
    double.restart("empty")
    assert (double.hash, double.entities) == (EMPTY_HASH, {})


async def test_loading_what_kong_would_refuse_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="required field missing"):
        KongDouble().load({"_format_version": "3.0", "services": [{"name": "a"}]})


async def test_bodies_up_to_the_limit_are_taken(connect: Connect) -> None:
    body = json.dumps({"config": json.dumps(payload("a"))}).encode()
    json_type = {"Content-Type": "application/json"}
    for limit, wanted, kind in ((0, 201, "application/json"), (-1, 413, "text/html")):
        admin = await connect(KongDouble(body_limit=len(body) + limit).app())
        async with admin.post("/config", data=body, headers=json_type) as answer:
            assert (answer.status, answer.content_type) == (wanted, kind)
            assert ("413 Request Entity Too Large" in await answer.text()) == (wanted == 413)


async def test_a_full_map_keeps_the_old_configuration(connect: Connect) -> None:
    double = KongDouble(lmdb_limit=600)
    admin = await connect(double.app())
    assert (await post(admin, payload("a")))[0] == 201
    kept = double.hash
    status, body = await post(admin, payload("a", "b", "c"))
    assert (status, "does not fit in LMDB" in body["message"]) == (413, True)
    assert double.hash == kept


async def test_single_writes_to_a_database_can_get_lost(connect: Connect) -> None:
    double = KongDouble(database="postgres")
    admin = await connect(double.app())
    double.answer_500_without_commit()
    double.lose_after_commit()
    statuses, counts = [], []
    for _ in range(2):
        async with admin.put(f"/services/{recorded_id('s1')}", json={"host": "h"}) as answer:
            statuses.append(answer.status)
            counts.append(len(double.entities.get("services", {})))
    assert (statuses, counts) == ([500, 500], [0, 1])

"""What others rely on and the recordings do not show: hashes, round trips, paging, ages."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import Any

import aiohttp
import pytest

from tests.adapters.kong.double import KongDouble
from tests.adapters.kong.double.declarative_text import EMPTY_HASH
from tests.adapters.kong.initial_documents import recorded_id
from tests.adapters.kong.payloads import Connect, payload, post, read


async def test_the_hash_is_the_md5_of_the_text(connect: Connect) -> None:
    double = KongDouble()
    admin = await connect(double.app())
    assert (await read(admin, "/status"))["configuration_hash"] == EMPTY_HASH
    document = payload("a")
    assert (await post(admin, document))[0] == 201
    wanted = hashlib.md5(json.dumps(document).encode()).hexdigest()
    assert double.hash == (await read(admin, "/status"))["configuration_hash"] == wanted
    assert double.posts == [json.dumps(document)]
    assert double.requests == ["GET /status", "POST /config", "GET /status"]


async def test_the_hash_of_a_bare_document_changes_with_the_second(connect: Connect) -> None:
    seconds = iter(range(100))
    double = KongDouble(now=lambda: next(seconds))
    admin = await connect(double.app())
    hashes = set()
    for _ in range(2):
        async with admin.post("/config?check_hash=1", json=payload("a")) as answer:
            assert answer.status == 201
        hashes.add(double.hash)
    assert len(hashes) == 2


async def test_packed_bodies_are_not_understood(connect: Connect) -> None:
    admin = await connect(KongDouble().app())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    packed = gzip.compress(json.dumps({"config": json.dumps(payload("a"))}).encode())
    async with admin.post("/config", data=packed, headers=headers) as answer:
        assert answer.status == 400


@pytest.mark.parametrize("version", ["3.4.2", "3.9.1"])
async def test_what_get_config_writes_can_be_posted_again(connect: Connect, version: str) -> None:
    double = KongDouble(version)
    admin = await connect(double.app())
    await post(
        admin,
        payload(
            "a",
            plugins=[{"name": "rate-limiting", "service": "a", "config": {"minute": 5}}],
            consumers=[
                {"username": "u", "basicauth_credentials": [{"username": "b", "password": "p"}]}
            ],
            upstreams=[{"name": "up", "targets": [{"target": "10.0.0.2"}]}],
        ),
    )
    first = json.loads(json.dumps(double.entities))
    text = (await read(admin, "/config"))["config"]
    async with admin.post("/config", json={"config": text}) as answer:
        assert answer.status == 201, await answer.text()
    assert without_times(double.entities) == without_times(first)
    assert double.hash == hashlib.md5(text.encode()).hexdigest()


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {n: without_times(v) for n, v in value.items() if n != "updated_at"}
    return value


async def all_pages(admin: aiohttp.ClientSession, path: str) -> list[list[str]]:
    pages, address = [], path
    while address:
        page = await read(admin, address)
        pages.append([one["name"] for one in page["data"]])
        address = page["next"]
    return pages


async def test_since_3_9_tags_filter_after_paging(connect: Connect) -> None:
    double = KongDouble()
    document = payload(*(f"s{n}" for n in range(30)))
    document["services"][7]["tags"] = document["services"][21]["tags"] = ["mine"]
    double.load(document)
    admin = await connect(double.app())
    pages = await all_pages(admin, "/services?tags=mine&size=5")
    assert sorted(name for page in pages for name in page) == ["s21", "s7"]
    assert [] in pages


@pytest.mark.parametrize(("version", "seen"), [("3.4.2", 250), ("3.9.1", 100)])
async def test_nested_lists_lose_children_since_3_9(
    connect: Connect, version: str, seen: int
) -> None:
    routes = [{"name": f"r{n}", "paths": [f"/{n}"], "service": "a"} for n in range(250)]
    double = KongDouble(version)
    double.load(payload("a") | {"routes": routes})
    admin = await connect(double.app())
    names = [name for page in await all_pages(admin, "/services/a/routes") for name in page]
    assert len(set(names)) == seen


async def test_the_root_tells_version_database_and_plugins(connect: Connect) -> None:
    body = await read(await connect(KongDouble(plugins={"cors"}).app()), "/")
    assert (body["version"], body["edition"]) == ("3.9.1", "community")
    assert body["configuration"]["database"] == "off"
    assert list(body["plugins"]["available_on_server"]) == ["cors"]
    older = await read(await connect(KongDouble("3.4.2", database="postgres").app()), "/")
    assert "edition" not in older
    assert older["configuration"]["database"] == "postgres"


async def test_times_of_creation_are_kept_and_times_of_change_are_not(connect: Connect) -> None:
    double = KongDouble(now=lambda: 2000)
    document = payload("a")
    document["services"][0] |= {"created_at": 1000, "updated_at": 1000}
    double.load(document)
    (service,) = double.entities["services"].values()
    assert (service["created_at"], service["updated_at"]) == (1000, 2000)


async def test_a_target_that_is_put_again_keeps_its_age(connect: Connect) -> None:
    seconds = iter(range(100))
    admin = await connect(KongDouble(database="postgres", now=lambda: next(seconds)).app())
    async with admin.post("/upstreams", json={"name": "up"}):
        pass
    target = {"target": "10.0.0.1:80", "weight": 1}
    async with admin.post("/upstreams/up/targets", json=target) as answer:
        seen = [await answer.json()]
    async with admin.put("/upstreams/up/targets/10.0.0.1:80", json={"weight": 2}) as answer:
        seen.append(await answer.json())
    assert seen[0]["id"] == seen[1]["id"]
    assert seen[0]["created_at"] == seen[1]["created_at"]
    assert seen[0]["updated_at"] < seen[1]["updated_at"]


async def test_names_may_point_at_what_is_nested_elsewhere(connect: Connect) -> None:
    double = KongDouble()
    admin = await connect(double.app())
    nested = {"name": "s", "host": "h", "routes": [{"name": "r", "paths": ["/r"]}]}
    plugins = [{"name": "cors", "route": "r"}, {"name": "jwt", "service": {"id": recorded_id("s")}}]
    nested["id"] = recorded_id("s")
    document = {"_format_version": "3.0", "services": [nested], "plugins": plugins}
    status, body = await post(admin, document)
    assert status == 201, body
    (route,) = body["routes"].values()
    assert route["id"] in [(one["route"] or {}).get("id") for one in body["plugins"].values()]


async def test_before_3_2_flatten_errors_is_an_unknown_word(connect: Connect) -> None:
    admin = await connect(KongDouble("3.1.0").app())
    async with admin.post("/config?flatten_errors=1", json=payload("a")) as answer:
        assert (await answer.json())["fields"] == {"flatten_errors": "unknown field"}

"""Replays what Kong 3.4.2 and 3.9.1 answered against the double.

A scene is a run of exchanges on one double, in the order of its file; what was loaded before stands
in `starts.py`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.adapters.front import listening
from tests.adapters.kong.double import KongDouble
from tests.adapters.kong.double.schema import SchemaSet
from tests.adapters.kong.initial_documents import (
    INITIAL_DOCUMENTS,
    INITIAL_WRITES,
    document_with_plugin,
)
from tests.adapters.kong.response_diff import ResponseDiff

Exchange = dict[str, Any]

_HERE = Path(__file__).parent / "recordings"
VERSIONS = ("3.4.2", "3.9.1")
# The recorded 3.9.1 ran without these; its answers to them say "not enabled".
NOT_INSTALLED = {"3.4.2": set[str](), "3.9.1": {"acme", "aws-lambda"}}

LEFT_OUT = {
    "03-get_timers": "callstacks and counters of the timers of one process",
    "03-roundtrip": "the posted text was cut when recorded; test_double.py has one of its own",
    "10-post-10484760": "10 MB of payload; test_double.py tests the limit with a small one",
    "10-post-10485760": "10 MB of payload; test_double.py tests the limit with a small one",
    "10-post-10485761": "10 MB of payload; test_double.py tests the limit with a small one",
    "11-lmdb-full-300": "the payload was cut; test_double.py tests a full map with a small one",
    "11-lmdb-full-600": "the payload was cut; test_double.py tests a full map with a small one",
    "11-lmdb-full-1000": "the payload was cut; test_double.py tests a full map with a small one",
    "11-lmdb-full-2000": "the payload was cut; test_double.py tests a full map with a small one",
}


def _scenes() -> dict[tuple[str, str], list[Exchange]]:
    found: dict[tuple[str, str], list[Exchange]] = {}
    for version in VERSIONS:
        for file in sorted((_HERE / version).glob("*.jsonl")):
            # test_real_behaviour.py replays those: they have another form.
            if file.name.startswith("real-"):
                continue
            for line in file.read_text(encoding="utf-8").splitlines():
                exchange = json.loads(line)
                found.setdefault((version, exchange["scene"]), []).append(exchange)
    return found


SCENES = _scenes()


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[aiohttp.ClientSession]:
    runner, base_url = await listening(app)
    try:
        async with aiohttp.ClientSession(base_url) as session:
            yield session
    finally:
        await runner.cleanup()


async def _started(version: str, scene: str) -> KongDouble:
    plugins = set(SchemaSet(version, "off").plugins) - NOT_INSTALLED[version]
    if not scene.startswith("postgres"):
        double = KongDouble(version, plugins=plugins)
        if scene in INITIAL_DOCUMENTS:
            double.load(INITIAL_DOCUMENTS[scene])
        return double
    double = KongDouble(version, database="postgres", plugins=plugins)
    async with served(double.app()) as session:
        for method, path, body in INITIAL_WRITES[scene]:
            async with session.request(method, path, json=body) as answer:
                assert answer.status in (200, 201), await answer.text()
    return double


def _door(exchange: Exchange) -> str:
    if exchange["scene"].startswith("proxy"):
        return "proxy"
    is_status_port = "-ready" in exchange["name"] and "on-admin" not in exchange["name"]
    return "status" if is_status_port else "admin"


def _sent(exchange: Exchange) -> dict[str, Any]:
    """The body as bytes: texts went as they are, objects as JSON."""
    headers, body = exchange.get("headers", {}), exchange.get("body")
    if isinstance(body, dict):
        body, headers = json.dumps(body), {"content-type": "application/json", **headers}
    is_untyped = "notype" in exchange["name"]
    if not is_untyped and exchange["method"] == "POST" and "content-type" not in headers:
        headers = {**headers, "content-type": "application/json"}
    return {
        "data": body.encode() if isinstance(body, str) else None,
        "headers": headers,
        "skip_auto_headers": ["Content-Type"],
    }


async def _differences(
    session: aiohttp.ClientSession, exchange: Exchange, diff: ResponseDiff
) -> list[str]:
    request = session.request(exchange["method"], exchange["path"], **_sent(exchange))
    async with request as answer:
        text = await answer.text()
        found = []
        if answer.status != exchange["status"]:
            found.append(f"status {exchange['status']} became {answer.status}: {text[:300]}")
        for name, value in exchange.get("answer_headers", {}).items():
            if answer.headers.get(name, "").lower() != value.lower() and name != "retry-after":
                found.append(f"{name}: {value} became {answer.headers.get(name)}")
        if "retry-after" in exchange.get("answer_headers", {}):
            found += [] if "Retry-After" in answer.headers else ["lacks Retry-After"]
        if "part" in exchange:
            return found + _part_differences(exchange["part"], json.loads(text))
        if exchange["scene"] == "proxy-key" and exchange["status"] == 200:
            return found + diff.differences(exchange["answer"]["uri"], json.loads(text)["path"])
        recorded = exchange["answer"]
        seen = text if isinstance(recorded, str) else json.loads(text)
        return found + diff.differences(recorded, seen)


def _part_differences(part: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    """A body that was too long to record: what of it tells something about paging."""
    if "first" in part:
        seen = {**seen, "first": seen["data"][0]["name"]}
    return [f"{n}: {v} became {seen.get(n)}" for n, v in part.items() if seen.get(n) != v]


@pytest.mark.parametrize(("version", "scene"), sorted(SCENES))
async def test_the_double_answers_as_kong_did(version: str, scene: str) -> None:
    double = await _started(version, scene)
    diff = ResponseDiff(is_list_ordered=version == "3.9.1" or scene.startswith("postgres"))
    wrong: dict[str, list[str]] = {}
    async with AsyncExitStack() as stack:
        doors = {
            name: await stack.enter_async_context(served(app))
            for name, app in (
                ("admin", double.app()),
                ("status", double.status_app()),
                ("proxy", double.proxy_app()),
            )
        }
        for exchange in SCENES[version, scene]:
            if "given" in exchange:
                double.load(json.loads(document_with_plugin(exchange["given"])))
            found = await _differences(doors[_door(exchange)], exchange, diff)
            if found:
                wrong[exchange["name"]] = found
    assert not wrong, "\n".join(f"{n}: {d}" for n, many in wrong.items() for d in many)


@pytest.mark.parametrize(("version", "at_least"), [("3.4.2", 400), ("3.9.1", 395)])
def test_nearly_all_exchanges_are_replayed(version: str, at_least: int) -> None:
    names = [one["name"] for (v, _), scene in SCENES.items() if v == version for one in scene]
    assert len(names) == len(set(names)) >= at_least
    assert not LEFT_OUT.keys() & set(names)

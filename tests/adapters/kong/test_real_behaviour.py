"""Replays what nodes did with our own writes and with odd foreign content (contract R.7)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.adapters.kong.double import KongDouble
from tests.adapters.kong.double.schema import SchemaSet
from tests.adapters.kong.response_diff import ResponseDiff
from tests.adapters.kong.test_recordings import NOT_INSTALLED, served

_HERE = Path(__file__).parent / "recordings"
_FILES = (
    ("3.4.2", "off", "real-behaviour.jsonl"),
    ("3.9.1", "off", "real-behaviour.jsonl"),
    ("3.9.1", "off", "real-behaviour-targets.jsonl"),
    ("3.9.1", "postgres", "real-behaviour-postgres.jsonl"),
)

LEFT_OUT = {
    "root": "figures of one process",
    "certificate-with-sni-write": "3.9.1 nests the names in the 201 where they were sent nested",
}


def _exchanges(version: str, file: str) -> list[dict[str, Any]]:
    text = (_HERE / version / file).read_text(encoding="utf-8")
    # Private keys were blanked when it was recorded.
    lines = text.replace("<private key of a test>", "-----BEGIN PRIVATE KEY-----").splitlines()
    return [one for one in map(json.loads, lines) if "request" in one]


async def _differences(
    session: aiohttp.ClientSession, exchange: dict[str, Any], diff: ResponseDiff
) -> list[str]:
    request, response = exchange["request"], exchange["response"]
    body = request["body"]
    async with session.request(request["method"], request["path"], json=body) as answer:
        text = await answer.text()
    found = []
    if answer.status != response["status"]:
        found.append(f"status {response['status']} became {answer.status}: {text[:300]}")
    recorded = response["body"]
    return found + diff.differences(recorded, json.loads(text) if recorded and text else text)


@pytest.mark.parametrize(("version", "database", "file"), _FILES)
async def test_the_double_answers_as_the_node_did(version: str, database: str, file: str) -> None:
    plugins = set(SchemaSet(version, database).plugins) - NOT_INSTALLED[version]
    double = KongDouble(version, database=database, plugins=plugins)  # type: ignore[arg-type]
    diff = ResponseDiff(is_list_ordered=version == "3.9.1")
    wrong: dict[str, list[str]] = {}
    async with served(double.app()) as session:
        for exchange in _exchanges(version, file):
            if exchange["request"]["to"] != "admin":
                continue
            found = await _differences(session, exchange, diff)
            if found and exchange["name"] not in LEFT_OUT:
                wrong[exchange["name"]] = found
    assert not wrong, "\n".join(f"{n}: {d}" for n, many in wrong.items() for d in many)

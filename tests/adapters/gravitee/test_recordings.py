"""Replays what Gravitee 4.10.8 and 4.12.12 answered against the double.

A double that answers otherwise is wrong. Times, generated ids and keys are left out; those that are
computed are compared.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.adapters.front import listening
from tests.adapters.gravitee.double import GraviteeDouble
from tests.adapters.gravitee.sequences import ABSENT, BEFORE, DIFFERENT, SEQUENCES

Exchange = dict[str, Any]

_HERE = Path(__file__).parent / "recordings"
VERSIONS = ("4.10.8", "4.12.12")
KEY = "k" * 40
AUTOMATION = "/automation/organizations/DEFAULT/environments/DEFAULT/apis"
_ADMIN = {"Authorization": "Basic " + base64.b64encode(b"admin:admin").decode()}
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")

VOLATILE = frozenset({
    "createdAt", "updatedAt", "deployedAt", "startingAt", "processedAt", "publishedAt",
    "created_at", "updated_at", "links", "_links", "primaryOwner", "owner", "processedBy",
    "subscribedBy", "parameters", "publisherMessage", "revokedAt", "key", "application",
})  # fmt: skip
"""Fields that differ between any two runs, or that say who ran it."""


def _load(version: str) -> dict[str, Exchange]:
    lines = (_HERE / f"{version}.jsonl").read_text(encoding="utf-8").splitlines()
    return {exchange["name"]: exchange for exchange in map(json.loads, lines)}


RECORDED = {version: _load(version) for version in VERSIONS}


def _cases() -> Iterator[tuple[str, str]]:
    for version in VERSIONS:
        for sequence in SEQUENCES:
            if sequence not in ABSENT[version]:
                yield version, sequence


@asynccontextmanager
async def served(version: str) -> AsyncIterator[aiohttp.ClientSession]:
    runner, base_url = await listening(GraviteeDouble(version).app())
    try:
        async with aiohttp.ClientSession(base_url) as session:
            yield session
    finally:
        await runner.cleanup()


class Player:
    """Sends recorded requests; ids that a server made are those of this double."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._ids: dict[str, str] = {}

    async def play(self, exchange: Exchange) -> tuple[int, Any]:
        sent = self._translated(deepcopy(exchange.get("sent")))
        recorded = exchange.get("headers") or {}
        headers = dict(_ADMIN) if "authorization" in recorded else {}
        headers |= {n: v for n, v in recorded.items() if n in ("origin", "referer", "if-match")}
        kind = recorded.get("content-type", "application/json")
        data = sent if isinstance(sent, str) else (None if sent is None else json.dumps(sent))
        if data is not None:
            headers["Content-Type"] = kind
        path = self._translated(exchange["path"])
        method = exchange["method"]
        async with self._session.request(method, path, data=data, headers=headers) as answer:
            text = await answer.text()
        try:
            body = json.loads(text)
        except ValueError:
            body = text
        self._learn(exchange.get("body"), body)
        return answer.status, body

    def _translated(self, value: Any) -> Any:
        text = json.dumps(value)
        for theirs, ours in self._ids.items():
            text = text.replace(theirs, ours)
        return json.loads(text.replace("<api-key>", KEY))

    def _learn(self, recorded: Any, body: Any) -> None:
        if isinstance(recorded, dict) and isinstance(body, dict):
            theirs, ours = str(recorded.get("id")), str(body.get("id"))
            if _UUID.fullmatch(theirs) and ours != "None":
                self._ids[theirs] = ours


def plain(value: Any) -> Any:
    """What is compared of an answer."""
    if isinstance(value, dict):
        kept = {n: plain(v) for n, v in value.items() if n not in VOLATILE}
        if "details" in kept:
            # Several faults come in any order.
            kept["details"].sort(key=str)
        return kept
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return _UUID.sub("<id>", value.replace(KEY, "<api-key>"))
    return value


def differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where an answer of the double differs from the recorded one; sets in any order."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            one
            for name in sorted(ours.keys() | theirs.keys())
            for one in differences(ours.get(name), theirs.get(name), f"{path}.{name}")
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        texts = [isinstance(item, str) for item in (*ours, *theirs)]
        if texts and all(texts):
            ours, theirs = sorted(ours), sorted(theirs)
        return [
            one
            for index, pair in enumerate(zip(ours, theirs, strict=True))
            for one in differences(*pair, f"{path}.{index}")
        ]
    return [] if ours == theirs else [f"{path}: {ours!r} and not {theirs!r}"]


async def put_like(player: Player, recorded: Exchange, hrid: str, path: str) -> None:
    sent = deepcopy(recorded["sent"])
    sent |= {"hrid": hrid, "name": hrid}
    sent["listeners"][0]["paths"] = [{"path": path}]
    made = {**recorded, "sent": sent, "path": AUTOMATION, "method": "PUT", "body": None}
    status, body = await player.play(made)
    assert status == 200, body


@pytest.mark.parametrize(("version", "sequence"), list(_cases()), ids=str)
async def test_the_double_answers_as_it_was_recorded(version: str, sequence: str) -> None:
    known = RECORDED[version]
    async with served(version) as session:
        player = Player(session)
        for hrid, path, like in BEFORE.get(sequence, ()):
            await put_like(player, known[like], hrid, path)
        if sequence == "chosen keys":
            made = known["app-put-create"]
            sent = {**made["sent"], "hrid": "ak-app"}
            status, _ = await player.play({**made, "sent": sent, "body": None})
            assert status == 200
        for name in SEQUENCES[sequence]:
            if name not in known:
                continue
            exchange = known[name]
            status, body = await player.play(exchange)
            assert (name, status) == (name, exchange["status"]), body
            if "body" in exchange and name not in DIFFERENT:
                assert (name, differences(plain(body), plain(exchange["body"]))) == (name, [])


@pytest.mark.parametrize("version", VERSIONS)
async def test_bad_requests_are_refused_in_the_recorded_words(version: str) -> None:
    known = RECORDED[version]
    for name, exchange in known.items():
        if exchange["file"] != "errors":
            continue
        async with served(version) as session:
            player = Player(session)
            if name.startswith("err-update"):
                hrid = "err-api"
                sent = exchange.get("sent")
                if isinstance(sent, dict) and isinstance(sent.get("hrid"), str):
                    hrid = sent["hrid"] if re.fullmatch("[a-z][a-z-]{2,}", sent["hrid"]) else hrid
                await put_like(player, known["auto-put-create"], hrid, f"/{hrid}/")
            status, body = await player.play(exchange)
            assert (name, status) == (name, exchange["status"]), body
            if "body" in exchange:
                assert (name, differences(plain(body), plain(exchange["body"]))) == (name, [])


@pytest.mark.parametrize("version", VERSIONS)
async def test_policies_are_read_back_as_they_were_recorded(version: str) -> None:
    known = RECORDED[version]
    async with served(version) as session:
        player = Player(session)
        for name, exchange in known.items():
            if exchange["file"] != "policies" or exchange["method"] != "PUT":
                continue
            assert (name, (await player.play(exchange))[0]) == (name, exchange["status"])
            read = known[name.replace("-put-", "-get-")]
            status, body = await player.play(read)
            assert status == read["status"]
            if "body" in read:
                assert (name, differences(plain(body), plain(read["body"]))) == (name, [])

"""The admin API answers as the real gateway was recorded, but for its traps.

`data/recorded_admin.json` holds what was asked and what came back: status and shape.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from tests.proxy.conftest import TOKEN, Api, running

CASES = json.loads((Path(__file__).parent / "data" / "recorded_admin.json").read_text())
AUTH = {
    "right": f"Bearer {TOKEN}",
    "wrong": "Bearer nope",
    "lower case scheme": f"bearer {TOKEN}",
    "basic": "Basic bGFiLWFkbWluLXRva2VuLTE=",
}


@dataclass(frozen=True)
class Deviation:
    """Where we answer otherwise, and why."""

    trap: str
    reason: str
    status: int
    keys: frozenset[str] = frozenset()


_REFUSED = frozenset({"error", "detail"})
_ERRORS = frozenset({"status", "errors"})
DEVIATIONS = {
    "admin-auth-unknown-route-noauth": Deviation(
        "16.1.1 fall-through",
        "unknown paths under /admin must not reach the proxy without a token",
        401,
    ),
    "admin-rate-limited-wrongtoken": Deviation(
        "N17", "requests with a bad token are counted apart and by client address", 401
    ),
    "policy-unknown-type": Deviation(
        "1.4 stored only", "a policy that does nothing would be believed in", 400, _ERRORS
    ),
    "ssrf-cgnat": Deviation("16.1.3", "shared address space is internal", 400, _REFUSED),
    "ssrf-ftp": Deviation("16.1.3", "only http and https can be called", 400, _REFUSED),
    "ssrf-trailingdot": Deviation("16.1.3", "`localhost.` is localhost", 400, _REFUSED),
    "ssrf-userinfo": Deviation("16.1.3", "credentials do not belong in URLs", 400, _REFUSED),
    "ssrf-v6linklocal": Deviation("16.1.3", "fe80::/10 is link-local", 400, _REFUSED),
    "ssrf-v6mapped": Deviation("16.1.3", "a mapped address is its IPv4 address", 400, _REFUSED),
    "ssrf-upstreams-unchecked": Deviation(
        "16.1.3, N5",
        "the addresses of upstreams are checked like that of backend_url",
        400,
        _REFUSED,
    ),
}
_ROUTE = {
    "name": "echo",
    "tenant_id": "acme",
    "path_prefix": "/apis/acme/echo",
    "backend_url": "http://upstream:18190",
    "methods": [],
    "spec_hash": "h1",
    "activated": True,
}
_POLICY = {
    "name": "rl",
    "policy_type": "rate_limit",
    "config": {"maxRequests": 1, "intervalSeconds": 60},
    "priority": 100,
    "api_id": "r1",
}


async def prepare(api: Api, given: list[str]) -> None:
    for state in given:
        kind, _, item_id = state.partition(" ")
        if kind == "route":
            await api.put("apis", {**_ROUTE, "id": item_id})
        elif kind == "policy":
            await api.put("policies", {**_POLICY, "id": item_id})
        elif kind == "three":
            for _ in range(3):
                assert (await api.admin("GET", "/admin/health")).status == 200


async def ask(api: Api, case: dict[str, Any]) -> ClientResponse:
    headers = {"Authorization": AUTH[case["auth"]]} if case["auth"] in AUTH else {}
    if "content_type" in case:
        headers["Content-Type"] = case["content_type"]
    body = case["body"].encode() if "body" in case else None
    return await api.send(
        case["method"], case["path"], headers, data=body, skip_auto_headers=["Content-Type"]
    )


def assert_shape(shape: Any, value: Any, where: str = "body") -> None:
    """`value` has every key of `shape` with the same type; it may have more keys."""
    names = {"string": str, "bool": bool, "int": int, "null": type(None)}
    if isinstance(shape, dict):
        assert isinstance(value, dict), where
        for key, inner in shape.items():
            assert key in value, f"{where} lacks {key}"
            assert_shape(inner, value[key], f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), where
        if shape:
            assert value, f"{where} is empty"
            assert_shape(shape[0], value[0], f"{where}[0]")
    else:
        assert type(value) is names[shape], where


async def assert_answer(case: dict[str, Any], answer: ClientResponse) -> None:
    text = await answer.text()
    assert answer.status == case["status"], text
    if "allow" in case:
        assert answer.headers["Allow"] == case["allow"]
    if case.get("empty"):
        assert text == ""
    elif "text" in case:
        assert (answer.content_type, text) == ("text/plain", case["text"])
    elif "text_begins" in case:
        assert answer.content_type == "text/plain"
        assert text.startswith(case["text_begins"])
        assert case.get("text_names", "") in text
    else:
        assert answer.content_type == "application/json"
        found = json.loads(text)
        if "errors" in case.get("json", {}) or "message" in case.get("json", {}):
            assert found == case["json"]
        else:
            shape = case["shape"] if "shape" in case else dict.fromkeys(case["json"], "string")
            assert_shape(shape, found)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_a_recorded_exchange_is_answered_alike(case: dict[str, Any]) -> None:
    given = case.get("given", [])
    config: dict[str, Any] = {"backends_allow": ()}
    if "no token configured" in given:
        config["admin_api_token"] = None
    if "three requests used up" in given:
        config["admin_rate_limit"] = 3
    async with running(**config) as api:
        await prepare(api, given)
        answer = await ask(api, case)
        deviation = DEVIATIONS.get(case["name"])
        if deviation is None:
            await assert_answer(case, answer)
            return
        assert answer.status == deviation.status != case["status"], deviation.reason
        found = json.loads(await answer.text()) if deviation.keys else {}
        assert set(found) == deviation.keys


def test_every_deviation_is_one_of_a_recorded_case() -> None:
    assert set(DEVIATIONS) <= {case["name"] for case in CASES}
    assert len(CASES) == len({case["name"] for case in CASES}) == 96

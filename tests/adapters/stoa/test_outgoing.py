"""The double of the real gateway's calls, against what the real one was recorded to send."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.adapters.stoa.outgoing import RealGateway, ReloadFailed, State

RECORDED = {
    one["name"]: one
    for one in map(
        json.loads,
        (Path(__file__).parent / "recordings" / "control-plane.jsonl").read_text().splitlines(),
    )
}
ID = "11111111-2222-4333-8444-555555555555"
NAME = "inst-edge-edge-mcp-dev"


@dataclass
class Answering:
    """A control plane that answers what a test says; remembers what was sent."""

    url: str = ""
    answers: dict[str, list[tuple[int, object]]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)

    def answer(self, part: str, *responses: tuple[int, object]) -> None:
        self.answers[part] = list(responses)

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.method, request.path_qs, headers, await request.text()))
        for part, responses in self.answers.items():
            if part in request.path:
                status, body = responses.pop(0) if len(responses) > 1 else responses[0]
                text = body if isinstance(body, str) else json.dumps(body)
                return web.Response(status=status, text=text, content_type="application/json")
        return web.Response(status=404)


@asynccontextmanager
async def answering() -> AsyncIterator[Answering]:
    plane = Answering()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", plane.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    plane.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    plane.answer("register", (201, {"id": ID, "name": NAME, "status": "online"}))
    plane.answer("heartbeat", (204, ""))
    try:
        yield plane
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("cp-edge-mcp-register", {}),
        ("cp-proxy-register", {"hostname": "inst-proxy", "mode": "proxy"}),
        (
            "cp-shadow-register",
            {"hostname": "inst_shadow_1", "mode": "shadow", "environment": "staging"},
        ),
        ("cp-sidecar-register", {"hostname": "inst-side", "mode": "sidecar"}),
    ],
)  # fmt: skip
async def test_it_registers_as_recorded(name: str, fields: dict[str, Any]) -> None:
    recorded = RECORDED[name]["request"]
    body = json.loads(recorded["body"])
    own = ("hostname", "mode", "version", "environment", "capabilities", "admin_url")
    further = {field: value for field, value in body.items() if field not in own}
    async with answering() as plane:
        gateway = RealGateway(
            plane.url, "k", admin_url=body["admin_url"], further=further, **fields
        )
        async with gateway:
            assert await gateway.register() is State.REGISTERED
    ((method, path, headers, sent),) = plane.requests
    assert (method, path, sent) == (recorded["method"], recorded["path"], recorded["body"])
    assert set(headers) == set(recorded["headers"])


async def test_it_starts_with_the_calls_that_were_recorded() -> None:
    async with answering() as plane, RealGateway(plane.url, "k") as gateway:
        await gateway.start()
    assert [(method, path) for method, path, _, _ in plane.requests] == [
        ("GET", "/health"),
        ("POST", "/v1/internal/gateways/register"),
        ("POST", f"/v1/internal/gateways/{ID}/heartbeat"),
        ("GET", "/v1/internal/gateways/tools"),
        ("GET", "/v1/internal/gateways/tools/generated?tenant_id=_default"),
        ("GET", f"/v1/internal/catalog/apis?gateway_id={ID}"),
    ]
    keyed = ["x-gateway-key" in headers for _, _, headers, _ in plane.requests]
    assert keyed == [False, True, True, True, True, False]
    assert json.loads(plane.requests[2][3]) == json.loads(
        RECORDED["cp-edge-mcp-heartbeat"]["request"]["body"]
    )


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_stops_it_for_good(status: int) -> None:
    async with answering() as plane, RealGateway(plane.url, "k") as gateway:
        plane.answer("register", (status, {}))
        assert await gateway.register() is State.STOPPED
        assert gateway.delays == []


@pytest.mark.parametrize(
    "response",
    [
        (404, {}), (409, {}), (422, {}), (500, {}), (503, {}), (201, {"id": ID, "name": NAME}),
        (201, {"id": "x", "name": NAME, "status": "online"}), (201, "nonsense"),
    ],
)  # fmt: skip
async def test_whatever_else_is_wrong_it_tries_again_later_and_later(
    response: tuple[int, object],
) -> None:
    async with answering() as plane, RealGateway(plane.url, "k") as gateway:
        plane.answer("register", response)
        for _ in range(8):
            assert await gateway.register() is State.STARTING
        assert gateway.delays == [5, 10, 20, 40, 80, 160, 300, 300]


async def test_three_misses_in_a_row_make_it_register_and_nothing_else_does() -> None:
    async with answering() as plane, RealGateway(plane.url, "k") as gateway:
        await gateway.register()
        plane.answer("heartbeat", *[(status, {}) for status in (401, 410, 500, 404, 404, 204)])
        for _ in range(6):
            await gateway.beat()
        assert gateway.sent.count(("POST", "/v1/internal/gateways/register")) == 1
        plane.answer("heartbeat", (404, {}))
        for _ in range(3):
            await gateway.beat()
        assert gateway.sent.count(("POST", "/v1/internal/gateways/register")) == 2


ITEM = {
    "id": "r1", "name": "echo", "tenant_id": "acme", "path_prefix": "/apis/acme/echo",
    "backend_url": "http://b.example", "methods": [], "spec_hash": "h", "activated": True,
    "deployment_id": "00000000-0000-4000-8000-000000000001", "gateway_instance_id": ID,
    "generation": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        {"items": []}, "nonsense", [{**ITEM, "name": None}], [{**ITEM, "methods": None}],
        [ITEM, {name: value for name, value in ITEM.items() if name != "path_prefix"}],
        [{**ITEM, "generation": -1}], [1],
    ],
)  # fmt: skip
async def test_one_item_that_it_cannot_read_refuses_the_whole_pull(body: object) -> None:
    async with answering() as plane, RealGateway(plane.url, "k") as gateway:
        gateway.table = {"old": ITEM}
        plane.answer("routes", (200, body))
        with pytest.raises(ReloadFailed, match="malformed"):
            await gateway.pull()
        assert gateway.table == {"old": ITEM}


async def test_a_pull_is_acknowledged_as_recorded_and_an_empty_list_empties_it() -> None:
    recorded = RECORDED["cp-route-sync-ack"]["request"]
    second = {
        **ITEM, "id": "r2", "generation": 2,
        "deployment_id": "00000000-0000-4000-8000-000000000002",
    }  # fmt: skip
    async with answering() as plane, RealGateway(plane.url, "k") as gateway:
        plane.answer("routes", (200, [ITEM, second]), (503, {}), (304, ""), (200, []))
        plane.answer("route-sync-ack", (200, {"processed": 2, "not_found": 0}))
        await gateway.pull()
        assert plane.requests[-1][3] == recorded["body"]
        for _ in range(2):
            with pytest.raises(ReloadFailed):
                await gateway.pull()
            assert set(gateway.table) == {"r1", "r2"}
        await gateway.pull()
        assert gateway.table == {}

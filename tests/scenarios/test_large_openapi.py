"""An OpenAPI document as large as they may be, with circles and links to elsewhere: not fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from stoa_gitops.model.outcomes import Status
from tests.adapters.front import listening
from tests.scenarios.fleet_world import document
from tests.scenarios.makes_world import makes_world
from tests.scenarios.world import statuses


def openapi(megabytes: float, elsewhere: str) -> str:
    """A document of so many MB whose schemas form circles, and refer to another host."""
    schemas: dict[str, Any] = {
        "Node": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}},
        "One": {"$ref": "#/components/schemas/Two"},
        "Two": {"$ref": "#/components/schemas/One"},
        "Far": {"$ref": f"{elsewhere}/common.yaml#/Far"},
    }
    responses = {"200": {"description": "", "content": {"application/json": {
        "schema": {"$ref": f"{elsewhere}/schemas.json#/Order"}}}}}  # fmt: skip
    text = "x" * 100_000
    for number in range(int(megabytes * 10)):
        schemas[f"S{number}"] = {"type": "string", "description": text}
    return json.dumps({
        "openapi": "3.1.0", "info": {"title": "Orders", "version": "1"},
        "paths": {"/orders": {"get": {"responses": responses}}},
        "components": {"schemas": schemas},
    })  # fmt: skip


@pytest.mark.parametrize("megabytes", [1, 19])
async def test_a_document_with_circles_and_far_links_is_applied_and_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, megabytes: int
) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner, elsewhere = await listening(app)
    async with makes_world(tmp_path, ["dev"], monkeypatch) as world:
        spec = (
            'version: "1"\nbackend: {url: https://orders.example}\nopenapi: openapi.json\n'
            "routes: [{path: /apis/acme/orders}]\ngateways: [kong-dev, gravitee-dev]"
        )
        world.write({
            "environments/dev.yaml": document("Environment", "dev"),
            "tenants/acme/tenant.yaml": document("Tenant", "acme"),
            "tenants/acme/apis/orders/api.yaml": document("API", "orders", spec),
            "tenants/acme/apis/orders/openapi.json": openapi(megabytes, elsewhere),
        })  # fmt: skip
        results = await world.cycle()
        for name in ("kong-dev", "gravitee-dev"):
            assert set(statuses(results[name]).values()) == {Status.APPLIED}, results[name].report
        # Neither make serves documents; Gravitee's pages are the portal's people's.
        sent = world.gateways["gravitee-dev"].double.bodies
        assert max(len(body) for _, body in sent) < 100_000
        assert all(plan.is_empty for plan in (await world.plans()).values())
    await runner.cleanup()
    assert asked == []

"""Several backends of a catalog behind the embedded gateway: weights, checks, a token."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from aiohttp import web

from tests.adapters.front import listening
from tests.e2e.catalogs import CatalogFolder, upstream
from tests.e2e.running import Running, running, until


def several(old: str, new: str, weights: tuple[int, int], more: str = "") -> str:
    return f"""\
apiVersion: gostoa.dev/v1alpha1
kind: API
metadata: {{name: search}}
spec:
  version: "1"
  backends:
    - {{url: "{old}", weight: {weights[0]}}}
    - {{url: "{new}", weight: {weights[1]}}}
{more}"""


async def answers(process: Running, count: int) -> Counter[str]:
    async with httpx.AsyncClient(timeout=30) as client:
        url = f"{process.gateway}/apis/acme/search"
        return Counter([(await client.get(url)).text for _ in range(count)])


async def until_weights(process: Running, weights: list[int]) -> None:
    async def look() -> bool | None:
        listed = await process.admin("/backends")
        return [one["weight"] for one in listed] == weights or None

    await until(look, f"the weights {weights}")


async def test_traffic_moves_by_weight_with_one_change_of_the_document(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "catalog")
    async with upstream("a old") as old, upstream("b new") as new:
        # By URL, as the canonical form has them.
        (first, one), (second, two) = sorted([(old, "a old"), (new, "b new")])
        path = "tenants/acme/apis/search/api.yaml"
        catalog.write(path, several(first, second, (9, 1)))
        async with running(catalog.root, tmp_path / "state") as process:
            await until_weights(process, [9, 1])
            assert await answers(process, 20) == {one: 18, two: 2}
            catalog.write(path, several(first, second, (1, 1)))
            await until_weights(process, [1, 1])
            assert await answers(process, 10) == {one: 5, two: 5}
            catalog.write(path, several(first, second, (0, 1)))
            await until_weights(process, [0, 1])
            assert await answers(process, 5) == {two: 5}


@asynccontextmanager
async def token_endpoint() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        form = await request.post()
        assert (form["grant_type"], form["scope"]) == ("client_credentials", "search")
        return web.json_response({"access_token": "tok", "token_type": "Bearer", "expires_in": 600})

    app = web.Application()
    app.router.add_post("/token", answer)
    runner, url = await listening(app)
    try:
        yield f"{url}/token"
    finally:
        await runner.cleanup()


async def test_a_token_of_the_tenants_client_goes_to_its_backend(tmp_path: Path) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=request.headers.get("Authorization", "none"))

    app = web.Application()
    app.router.add_get("/{path:.*}", echo)
    runner, url = await listening(app)
    catalog = CatalogFolder(tmp_path / "catalog")
    try:
        async with token_endpoint() as endpoint:
            auth = f"""\
  backend:
    auth:
      type: oauth2_client_credentials
      tokenUrl: "{endpoint}"
      clientId: gateway
      clientSecretRef: {{env: ACME_SECRET}}
      scopes: [search]
"""
            catalog.write(
                "tenants/acme/apis/search/api.yaml", several(f"{url}/1", f"{url}/2", (1, 1), auth)
            )
            secret = {"ACME_SECRET": "the-secret-of-acme"}
            async with running(catalog.root, tmp_path / "state", **secret) as process:
                await until_weights(process, [1, 1])
                assert await answers(process, 4) == {"Bearer tok": 4}
            log = process.log.read_text()
        kept = b"".join(
            one.read_bytes() for one in (tmp_path / "state").rglob("*") if one.is_file()
        )
        for text in ("the-secret-of-acme", "Bearer tok"):
            assert text not in log
            assert text.encode() not in kept
    finally:
        await runner.cleanup()

"""Who may call what: each route with nothing, and with every kind of wrong credentials."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from stoa_gitops.control.api import ROUTES
from stoa_gitops.control.auth import Access
from stoa_gitops.control.route import Route
from stoa_gitops.control.route_table import INTERNAL, PUBLIC_ROUTES
from tests.unit.control.conftest import KEY, SECRET, TOKEN, Served, serving

BEARER = ("Authorization", f"Bearer {TOKEN}")
GIVEN: dict[str, dict[str, str]] = {
    "nothing": {},
    "the token": dict([BEARER]),
    "a wrong token": {"Authorization": "Bearer wrong"},
    "a part of the token": {"Authorization": f"Bearer {TOKEN[:-1]}"},
    "the token by another scheme": {"Authorization": f"Basic {TOKEN}"},
    "a gateway key": {"X-Gateway-Key": KEY},
    "a wrong gateway key": {"X-Gateway-Key": "gw_dev_wrong"},
    "a part of a gateway key": {"X-Gateway-Key": KEY[:-1]},
    "an empty gateway key": {"X-Gateway-Key": ""},
    "the token as a gateway key": {"X-Gateway-Key": TOKEN},
    "a gateway key as the token": {"Authorization": f"Bearer {KEY}"},
    "the webhook secret as the token": {"Authorization": f"Bearer {SECRET}"},
    "the webhook secret as a gateway key": {"X-Gateway-Key": SECRET},
    "a wrong signature": {"X-Hub-Signature-256": "sha256=00"},
    "a signature": {"X-Gitlab-Token": SECRET},
}
OPENS = {
    Access.OPEN: set(GIVEN),
    Access.OPTIONAL_KEY: set(GIVEN),
    Access.BEARER: {"the token"},
    Access.TENANT: {"the token"},
    Access.GATEWAY_KEY: {"a gateway key"},
    Access.SIGNATURE: {"a signature"},
}
"""What lets a request in, by the access of its route."""


async def ask(served: Served, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    async with httpx.AsyncClient(timeout=30, verify=False) as stranger:
        return await stranger.request(
            method, f"http://127.0.0.1:{served.port}{path}", headers=headers
        )


def path_of(route: Route) -> str:
    return route.path.replace("{name}", "a").replace("{id}", "0").replace("{tenant}", "acme")


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
async def test_a_route_lets_in_whom_its_access_names(served: Served, route: Route) -> None:
    for given, headers in GIVEN.items():
        asked = list(served.operations.asked)
        response = await ask(served, route.method, path_of(route), headers)
        assert (response.status_code != 401) == (given in OPENS[route.access]), given
        if response.status_code == 401:
            assert served.operations.asked == asked
            assert response.headers["www-authenticate"]
            for secret in (TOKEN, KEY, SECRET):
                assert secret not in response.text


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
async def test_a_method_that_a_path_lacks_is_asked_for_what_the_path_is(
    served: Served, route: Route
) -> None:
    response = await ask(served, "PATCH", path_of(route), {})
    closed = route.access in (Access.BEARER, Access.TENANT, Access.GATEWAY_KEY)
    assert response.status_code == (401 if closed else 405)


@pytest.mark.parametrize("path", ["/v2", "/v1", "/v1/internals", "/health/x", "/v1/Internal/x"])
async def test_a_path_that_does_not_exist_is_404_to_those_with_the_token_only(
    served: Served, path: str
) -> None:
    for given, headers in GIVEN.items():
        response = await ask(served, "GET", path, headers)
        assert response.status_code == (404 if given == "the token" else 401), given


@pytest.mark.parametrize("slash", ["", "/", "//", "/api", "/v1/"])
@pytest.mark.parametrize(
    "path", ["nope", "gateways/x/nope", "gateways/x/heartbeat/y", "%2e%2e%2fx"]
)
async def test_an_internal_path_that_does_not_exist_is_404_to_everybody(
    served: Served, path: str, slash: str
) -> None:
    for headers in GIVEN.values():
        response = await ask(served, "POST", f"{slash}{INTERNAL}{path}", headers)
        assert response.status_code == 404, headers
        assert response.headers["content-type"].startswith("application/problem+json")


async def test_a_public_listener_has_all_but_internal_paths() -> None:
    assert {route.path for route in ROUTES} >= {"/health", "/v1/status", "/v1/webhooks/git"}
    async with serving(routes=PUBLIC_ROUTES) as served:
        for route in ROUTES:
            response = await ask(served, route.method, path_of(route), dict([BEARER]))
            is_there = not route.path.startswith(INTERNAL)
            assert (response.status_code != 404) == is_there or "secret" in response.text
        described = (await served.get("/openapi.json")).json()["paths"]
        assert set(described) == {route.path for route in PUBLIC_ROUTES}


SPELLINGS = (
    "/v1/internal", "//v1/internal", "///v1/internal", "/v1//internal", "/v1/./internal",
    "/v1/status/../internal", "/v1/%69nternal", "/v1%2finternal", "/v1/%2e/internal",
    "/v1/%252e/internal", "/V1/INTERNAL", "/v1/internal;a=b", "/v1/status;/../internal",
    "/v1\\internal", "http://127.0.0.1/v1/internal", "//127.0.0.1/v1/internal",
    "/health?/v1/internal", "/health#/v1/internal", "v1/internal", "/v1/internal%00",
)  # fmt: skip


async def test_no_spelling_of_a_path_registers_on_a_public_listener() -> None:
    body = '{"hostname": "a", "mode": "proxy", "version": "1", "admin_url": "http://192.0.2.1"}'
    async with serving(routes=PUBLIC_ROUTES) as served:
        for spelling in SPELLINGS:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(
                f"POST {spelling}/gateways/register HTTP/1.1\r\nHost: localhost\r\n"
                f"X-Gateway-Key: {KEY}\r\nAuthorization: Bearer {TOKEN}\r\n"
                "X-Original-URL: /v1/internal/gateways/register\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            async with asyncio.timeout(30):
                status = (await reader.readline()).split()[1]
            assert status in (b"400", b"404", b"405"), (spelling, status)
            writer.close()
        assert len(served.fleet.fleet) == 0

"""Routes that ask for headers, as clients and the admin API meet them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from stoa_proxy.admin.route_headers import UNUSABLE
from stoa_proxy.http.heads import HOP_BY_HOP

from stoa_gitops.catalog.evaluation.route_headers import UNUSABLE as UNUSABLE_IN_CATALOGS
from tests.proxy.conftest import Api, Upstream, route_body, running
from tests.proxy.raw import exchange

Start = Callable[..., Awaitable[Upstream]]


async def two_routes(api: Api, plain: str, blue: str, **fields: Any) -> None:
    """`r1` at /a for everybody, `r2` there for those with `X-Env: blue`."""
    await api.route(plain)
    await api.put("apis", route_body(blue, id="r2", headers={"X-Env": ["Blue"]}, **fields))


async def served(api: Api, *lines: str, path: str = "/a") -> str:
    """The part behind /base of the path that the backend got, by one raw request."""
    text = "\r\n".join((f"GET {path} HTTP/1.1", "Host: h.test", *lines, "Connection: close"))
    answer = await exchange(api.gateway.port, f"{text}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return "blue" if b"/blue" in answer else "plain"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), "plain"),
        (("X-Env: blue",), "blue"),
        (("x-env:   BLUE \t",), "blue"),
        (("X_Env: blue",), "blue"),
        (("X-Env: blue", "X-Env: blue"), "plain"),
        (("X-Env: blue", "X-Env: green"), "plain"),
        (("X-Env: green", "X-Env: blue"), "plain"),
        (("X-Env: blue, green",), "plain"),
        (("X-Env: blue", "X_Env: green"), "plain"),
        (("X-Env:",), "plain"),
        # What `Connection` names does not reach the backend, so it decides nothing either.
        (("X-Env: blue", "Connection: x-env"), "plain"),
    ],
)
async def test_both_engines_read_headers_alike(
    api: Api, upstream: Upstream, lines: tuple[str, ...], expected: str
) -> None:
    await two_routes(api, f"{upstream.url}/plain", f"{upstream.url}/blue")
    assert await served(api, *lines) == expected
    # What was compared is what the backend gets.
    got = [value for _, value in upstream.seen[-1].headers]
    for line in lines:
        name, _, value = line.partition(":")
        if name != "Connection" and "Connection: x-env" not in lines:
            assert value.strip() in got


async def test_equal_requests_of_one_connection_go_where_their_headers_say(
    api: Api, upstream: Upstream
) -> None:
    await two_routes(api, f"{upstream.url}/plain", f"{upstream.url}/blue")
    for env in ("blue", "green", "blue", None, "blue", "green", None, "blue"):
        answer = await api.get("/a/x", {"X-Env": env} if env else None)
        expected = "/blue/x" if env == "blue" else "/plain/x"
        assert (await answer.json())["url"] == expected
    await api.admin("DELETE", "/admin/apis/r2")
    assert (await (await api.get("/a/x", {"X-Env": "blue"})).json())["url"] == "/plain/x"


async def test_each_route_has_the_policies_of_its_own_api(api: Api, upstream: Upstream) -> None:
    await two_routes(api, f"{upstream.url}/plain", f"{upstream.url}/blue")
    await api.policy("api_key", {}, "r2")
    await api.consumer("k1")
    for _ in range(3):
        assert (await api.get("/a")).status == 200
        assert (await api.get("/a", {"X-Env": "blue"})).status == 401
        assert (await api.get("/a", {"X-Env": "blue", "X-API-Key": "k1"})).status == 200


async def test_what_one_route_keeps_is_not_served_by_the_other(
    api: Api, upstream: Upstream
) -> None:
    await api.route(f"{upstream.url}/plain", api_id="shared")
    blue = route_body(f"{upstream.url}/blue", id="r2", api_id="shared", headers={"X-Env": ["blue"]})
    await api.put("apis", blue)
    await api.policy("caching", {"ttl": "1m"}, "shared")
    for _ in range(2):
        assert (await (await api.get("/a/x")).json())["url"] == "/plain/x"
        assert (await (await api.get("/a/x", {"X-Env": "blue"})).json())["url"] == "/blue/x"
    assert len(upstream.seen) == 2


async def test_a_path_without_a_route_for_the_headers_is_not_there(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url, headers={"X-Env": ["blue"]})
    assert (await api.get("/a")).status == 404
    assert (await api.get("/a", {"X-Env": "blue"})).status == 200


async def test_a_listing_shows_the_headers_and_other_routes_have_no_such_field(
    api: Api, upstream: Upstream
) -> None:
    await two_routes(api, upstream.url, upstream.url)
    listed = await (await api.admin("GET", "/admin/apis")).json()
    assert {one["id"]: one.get("headers") for one in listed} == {
        "r1": None, "r2": {"X-Env": ["Blue"]},
    }  # fmt: skip
    health = await (await api.admin("GET", "/admin/health")).json()
    assert "route_headers" in health["extensions"]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Host": ["h.test"]}, "headers.Host is not for routes"),
        ({"Content-Length": ["1"]}, "headers.Content-Length is not for routes"),
        ({"X-Consumer-Id": ["c1"]}, "headers.X-Consumer-Id is not for routes"),
        ({"X-Forwarded-For": ["::1"]}, "headers.X-Forwarded-For is not for routes"),
        ({"traceparent": ["00"]}, "headers.traceparent is not for routes"),
        ({"Connection": ["close"]}, "headers.Connection is not for routes"),
        ({"X_Env": ["a"]}, "'X_Env', which is not a name of a header"),
        ({"X-Env": ["a"], "x-env": ["b"]}, "stands there twice"),
        ({"X-Env": []}, "headers.X-Env must hold values"),
        ({"X-Env": [""]}, "headers.X-Env must hold values"),
        ({"X-Env": ["a\r\nX: 1"]}, "headers.X-Env must hold values"),
        ({"X-Env": ["~*a"]}, "headers.X-Env must hold values"),
        ({"X-Env": ["ä"]}, "headers.X-Env must hold values"),
        ({f"X-{n}": ["a"] for n in range(9)}, "at most 8 names"),
        ({f"X-{n}": [str(i) for i in range(17)] for n in range(2)}, "256 combinations"),
    ],
)
async def test_headers_that_no_request_could_have_are_refused(
    api: Api, headers: dict[str, list[str]], reason: str
) -> None:
    body = route_body("http://127.0.0.1:1", headers=headers)
    answer = await api.admin("POST", "/admin/apis", body)
    assert answer.status in (400, 422)
    assert reason in await answer.text()


async def test_another_tenant_gets_no_route_that_only_ids_would_decide_about(
    api: Api, upstream: Upstream
) -> None:
    await two_routes(api, upstream.url, upstream.url)

    async def status(**headers: list[str]) -> int:
        asked = {name.replace("_", "-"): values for name, values in headers.items()}
        body = route_body(upstream.url, id="r9", tenant_id="globex", headers=asked)
        answer = await api.admin("POST", "/admin/apis", body)
        await api.admin("DELETE", "/admin/apis/r9")
        return answer.status

    assert await status(X_Env=["green", "blue"]) == 409
    assert await status(X_Other=["blue"]) == 409
    assert await status() == 409
    # An order that is known beforehand, as with a longer path; the catalog decides about those.
    assert await status(X_Env=["green"]) == 201
    assert await status(X_Env=["blue"], X_Other=["1"]) == 201


async def test_a_sidecar_goes_by_the_headers_that_it_is_told() -> None:
    async with running(mode="sidecar", backends_allow=()) as sidecar:
        backend = "http://10.9.8.7:4711"
        await two_routes(sidecar, backend, backend)
        await sidecar.policy("api_key", {}, "r2")
        asked = {"Host": "h.test", "X-Forwarded-For": "198.51.100.7"}
        for _ in range(2):
            assert (await sidecar.get("/authz/a", asked)).status == 200
            assert (await sidecar.get("/authz/a", {**asked, "X-Env": "blue"})).status == 401
            named = {
                "X-Original-Method": "GET", "X-Original-URI": "/a", "X-Original-Host": "h.test",
                "X-Forwarded-For": "198.51.100.7",
            }  # fmt: skip
            assert (await sidecar.get("/authz", named)).status == 200
            assert (await sidecar.get("/authz", {**named, "X-Env": "blue"})).status == 401


async def test_a_trace_names_the_headers_of_its_route(api: Api, upstream: Upstream) -> None:
    await two_routes(api, upstream.url, upstream.url)
    body = {"method": "GET", "target": "/a", "headers": [["X-Env", "blue"]]}
    found = await (await api.admin("POST", "/admin/trace", body)).json()
    assert found["route"]["id"] == "r2"
    assert found["route"]["headers"] == {"x-env": ["blue"]}


def test_the_catalog_refuses_each_name_that_the_data_plane_refuses() -> None:
    examples = {"x-forwarded-host", "x-consumer-id", "x-credential-id", "x-authenticated-scope"}
    examples |= {"forwarded", "x-real-ip", "x-tenant-id", "x-user-id", "proxy"}
    names = HOP_BY_HOP | UNUSABLE | examples
    assert {name for name in names if not UNUSABLE_IN_CATALOGS.fullmatch(name)} == {"host"}

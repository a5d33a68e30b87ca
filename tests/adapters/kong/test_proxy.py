"""The proxy behind the double: what it needs to tell that something is live."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.adapters.kong.double import KongDouble
from tests.adapters.kong.initial_documents import recorded_id
from tests.adapters.kong.payloads import Connect, payload
from tests.adapters.kong.testbed import apis, kong, policy


async def served(proxy: aiohttp.ClientSession, path: str, **headers: str) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with proxy.get(path, headers=named) as answer:
        return answer.status, await answer.json()


ROUTES = [
    {"name": "short", "paths": ["/a"], "service": "s"},
    {"name": "long", "paths": ["/a/b"], "service": "s"},
    {"name": "regex", "paths": ["~/a/b/\\d+"], "service": "s", "strip_path": False},
    {"name": "hosted", "paths": ["/"], "hosts": ["*.example.test"], "service": "s"},
]


@pytest.mark.parametrize(
    ("path", "route", "upstream"),
    [
        ("/a", "short", "/v1"),
        ("/a/x", "short", "/v1/x"),
        ("/ab", "short", "/v1/b"),
        ("/a/bc", "long", "/v1/c"),
        ("/a/b/12/x", "regex", "/v1/a/b/12/x"),
    ],
)
async def test_the_proxy_routes_as_kong_does(
    connect: Connect, path: str, route: str, upstream: str
) -> None:
    double = KongDouble()
    services = [{"name": "s", "host": "h", "path": "/v1"}]
    double.load({"_format_version": "3.0", "services": services, "routes": ROUTES})
    proxy = await connect(double.proxy_app())
    status, body = await served(proxy, path)
    assert (status, body["route"]["name"], body["path"]) == (200, route, upstream)
    assert body["service"]["name"] == "s"
    assert (await served(proxy, "/none"))[0] == 404
    assert (await served(proxy, "/none", Host="x.example.test"))[1]["route"]["name"] == "hosted"


async def test_the_proxy_asks_for_keys_and_groups(connect: Connect) -> None:
    double = KongDouble()
    people = [
        {
            "username": name,
            "keyauth_credentials": [{"key": f"key-{name}"}],
            "acls": [{"group": name}],
        }
        for name in ("in", "out")
    ]
    plugins: list[dict[str, Any]] = [
        {"name": "key-auth", "service": "a"},
        {"name": "acl", "service": "a", "config": {"allow": ["in"]}},
    ]
    double.load(payload("a", consumers=people, plugins=plugins))
    proxy = await connect(double.proxy_app())
    assert (await served(proxy, "/a"))[0] == 401
    assert (await served(proxy, "/a", apikey="wrong"))[0] == 401
    assert (await served(proxy, "/a", apikey="key-out"))[0] == 403
    status, body = await served(proxy, "/a", apikey="key-in")
    assert (status, body["consumer"]) == (200, "in")


async def test_of_two_plugins_of_a_kind_the_highest_id_wins(connect: Connect) -> None:
    double = KongDouble()
    ids = sorted(recorded_id(f"p{n}") for n in range(3))
    order = (ids[1], ids[2], ids[0])
    plugins: list[dict[str, Any]] = [
        {"id": one, "name": "request-termination", "service": "a", "config": {"message": one}}
        for one in order
    ]
    double.load(payload("a", plugins=plugins))
    proxy = await connect(double.proxy_app())
    assert await served(proxy, "/a") == (503, {"message": ids[2]})


async def test_workers_switch_one_after_the_other(connect: Connect) -> None:
    double = KongDouble()
    proxy = await connect(double.proxy_app(lag=4))
    assert (await served(proxy, "/a"))[0] == 404
    double.load(payload("a"))
    assert [(await served(proxy, "/a"))[0] for _ in range(6)] == [404, 200, 404, 200, 200, 200]


async def test_the_proxy_runs_a_plugin_of_consumer_and_service_for_that_consumer(
    connect: Connect,
) -> None:
    double = KongDouble()
    people = [
        {"username": name, "keyauth_credentials": [{"key": f"key-{name}"}]} for name in ("a", "b")
    ]
    closed = {
        "name": "request-termination",
        "consumer": "a",
        "service": "s",
        "config": {"status_code": 403},
    }
    services = [{"name": "s", "host": "h", "plugins": [{"name": "key-auth"}]}]
    routes = [{"name": "r", "paths": ["/a"], "service": "s"}]
    document = {"services": services, "routes": routes, "consumers": people, "plugins": [closed]}
    double.load({"_format_version": "3.0", **document})
    proxy = await connect(double.proxy_app())
    found = [(await served(proxy, "/a", apikey=f"key-{name}"))[0] for name in ("a", "b")]
    assert found == [403, 200]


async def test_a_preflight_is_answered_where_a_route_takes_options(connect: Connect) -> None:
    """As recorded (`preflight-methods-GET`, `preflight-star-and-one`)."""
    double = KongDouble()
    cors = [{"name": "cors", "config": {"origins": ["https://a.example"]}}]
    services = [
        {"name": name, "host": "h", "plugins": cors,
         "routes": [{"paths": [f"/{name}"], **methods}]}
        for name, methods in (("pf", {"methods": ["GET"]}), ("pg", {}))
    ]  # fmt: skip
    double.load({"_format_version": "3.0", "services": services})
    proxy = await connect(double.proxy_app())
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    async with proxy.options("/pf", headers=asked) as answer:
        assert answer.status == 404
    async with proxy.options("/pg", headers=asked) as answer:
        assert (answer.status, await answer.text()) == (200, "")
        allowed = answer.headers["Access-Control-Allow-Methods"]
        assert allowed == "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT"


@pytest.mark.parametrize("methods", [[], ["GET"]])
async def test_cors_of_the_catalog_answers_preflights_and_other_options_reach_the_backend(
    connect: Connect, methods: list[str]
) -> None:
    route = {"path": "/apis/acme/a", "methods": methods, "hosts": [], "stripPath": True}
    cors = policy("a", "cors", {"origins": ["https://a.example"], "credentials": False})
    async with kong() as testbed:
        specs = {**apis("a", routes=[route]), **dict([cors])}
        plan = await testbed.plan(specs)
        assert any("OPTIONS" in warning for warning in plan.warnings) == bool(methods)
        await testbed.execute(plan)
        assert (await testbed.plan(specs)).is_empty
        proxy = await connect(testbed.double.proxy_app())
        asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
        async with proxy.options("/apis/acme/a", headers=asked) as answer:
            assert (answer.status, await answer.text()) == (200, "")
        async with proxy.options("/apis/acme/a") as answer:
            assert (await answer.json())["service"]["name"] == "acme.a"
        async with proxy.delete("/apis/acme/a") as answer:
            assert answer.status == (404 if methods else 200)

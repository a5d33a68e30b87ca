"""Routes whose paths have parameters, as clients and the admin API meet them."""

from __future__ import annotations

import asyncio
import random
import re

import pytest

from tests.proxy.conftest import Api, Upstream, route_body, running
from tests.proxy.raw import exchange, serving

PATHS = {
    "items": "/orders/{orderId}/items",
    "new": "/orders/new/items",
    "order": "/orders/{id}",
    "orders": "/orders",
    "any": "/{shop}/{order}/items",
}


async def all_routes(api: Api, url: str, **fields: object) -> None:
    for name, path in PATHS.items():
        body = route_body(f"{url}/{name}", path, id=name, strip_path=False, **fields)
        await api.put("apis", body)


async def served(api: Api, target: str) -> str:
    """`<status> <path that the backend got>` of one raw request."""
    text = f"GET {target} HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n"
    answer = (await exchange(api.gateway.port, text.encode())).decode()
    status = answer.split(" ")[1]
    found = re.search(r'"url": ?"([^"]*)"', answer)
    return status if found is None else f"{status} {found[1]}"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/orders/5/items", "items"),
        ("/orders/5/items/9?q=1", "items"),
        ("/orders/5/items/", "items"),
        ("/orders/new/items", "new"),
        ("/orders/new", "order"),
        ("/orders/5", "order"),
        ("/orders/5/", "order"),
        ("/orders/5/item", "order"),
        ("/orders/", "orders"),
        ("/orders", "orders"),
        ("/shop/5/items", "any"),
        ("/shop/5", None),
        ("/shop//items", None),
        # A name in braces is a segment like all others.
        ("/orders/{orderId}/items", "items"),
        ("/orders/a%20b/items", "items"),
        ("/ord%65rs/n%65w/items", "new"),
        # What somebody may read as a path of another route goes nowhere.
        ("/orders/a%2Fb/items", "400"),
        ("/orders/new;v=1/items", "400"),
        ("/orders//items", "400"),
        ("/orders/%2e%2e/items", "400"),
        ("/orders/..%2Fnew/items", "400"),
    ],
)
async def test_both_engines_choose_the_same_route(
    api: Api, upstream: Upstream, target: str, expected: str | None
) -> None:
    await all_routes(api, upstream.url)
    for _ in range(2):
        answer = await served(api, target)
        if expected == "400":
            assert answer == "400"
        elif expected is None:
            assert answer == "404"
        else:
            assert answer == f"200 /{expected}{target}"


async def test_an_encoded_slash_stays_inside_a_parameter(api: Api, upstream: Upstream) -> None:
    """Names of projects have slashes; where only one route may be meant there is no doubt."""
    await api.route(f"{upstream.url}/b", "/projects/{id}/issues", strip_path=False)
    target = "/projects/group%2Fname/issues/1"
    assert await served(api, target) == f"200 /b{target}"
    assert await served(api, "/projects/group/name/issues/1") == "404"


async def test_the_matched_segments_are_stripped(api: Api, upstream: Upstream) -> None:
    await api.route(f"{upstream.url}/b", "/orders/{id}/items")
    for number in (5, 71234, 5):
        assert await served(api, f"/orders/{number}/items/9?q=1") == "200 /b/9?q=1"
        assert await served(api, f"/orders/{number}/items") == "200 /b"


async def test_each_route_has_the_policies_of_its_own_api(api: Api, upstream: Upstream) -> None:
    await all_routes(api, upstream.url)
    await api.policy("api_key", {}, "items")
    await api.policy("caching", {"ttl": "1m"}, "order")
    for _ in range(2):
        for number in range(3):
            assert (await api.get(f"/orders/{number}/items")).status == 401
            answer = await (await api.get(f"/orders/{number}")).json()
            assert answer["url"] == f"/order/orders/{number}"
        assert (await api.get("/orders/new/items")).status == 200
    # Each order once, for then it was kept, and the other route each time.
    assert len(upstream.seen) == 3 + 2


async def test_a_trace_and_a_listing_show_the_path_as_it_is_written(
    api: Api, upstream: Upstream
) -> None:
    await all_routes(api, upstream.url)
    asked = {"method": "GET", "target": "/orders/5/items/9"}
    found = await (await api.admin("POST", "/admin/trace", asked)).json()
    assert found["route"]["path"] == "/orders/{orderId}/items"
    listed = await (await api.admin("GET", "/admin/apis")).json()
    assert {one["id"]: one["path_prefix"] for one in listed} == PATHS
    health = await (await api.admin("GET", "/admin/health")).json()
    assert "path_parameters" in health["extensions"]


async def test_another_tenant_gets_no_path_that_differs_in_names_alone(
    api: Api, upstream: Upstream
) -> None:
    await all_routes(api, upstream.url)

    async def status(path: str) -> int:
        body = route_body(upstream.url, path, id="r9", tenant_id="globex")
        answer = await api.admin("POST", "/admin/apis", body)
        await api.admin("DELETE", "/admin/apis/r9")
        return answer.status

    assert await status("/orders/{x}") == await status("/{a}/{b}/items") == 409
    assert await status("/orders/{x}/{y}") == 201


async def test_a_change_of_routes_moves_the_requests_at_once(api: Api, upstream: Upstream) -> None:
    await all_routes(api, upstream.url)
    assert await served(api, "/orders/new/items") == "200 /new/orders/new/items"
    await api.admin("DELETE", "/admin/apis/new")
    assert await served(api, "/orders/new/items") == "200 /items/orders/new/items"
    await api.admin("DELETE", "/admin/apis/items")
    assert await served(api, "/orders/new/items") == "200 /any/orders/new/items"


async def test_the_shortest_way_and_the_long_one_lead_to_the_same_place() -> None:
    """Plain paths on one kept connection, against the complete engine; half of them come twice."""
    rng = random.Random(47)
    parts = ("orders", "shop", "new", "5", "items", "x")
    targets = ["/" + "/".join(rng.choices(parts, k=rng.randint(1, 4))) for _ in range(60)]
    targets += ["/orders/5/items/x", "/orders/new/items", "/shop/5/items", "/orders/5/items/x"]
    targets += rng.sample(targets, 30)
    found: dict[str, list[str]] = {}
    for engine in ("aiohttp", "fast"):
        async with serving(_echo) as url, running(engine=engine) as api:
            await all_routes(api, url)
            reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
            answers = found[engine] = []
            for target in targets:
                writer.write(f"GET {target} HTTP/1.1\r\nHost: h.test\r\n\r\n".encode())
                async with asyncio.timeout(30):
                    head = await reader.readuntil(b"\r\n\r\n")
                    size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                    body = await reader.readexactly(size)
                status = head.split(b" ")[1].decode()
                answers.append(f"{status} {body.decode() if status == '200' else ''}")
            writer.close()
            await writer.wait_closed()
    assert found["fast"] == found["aiohttp"]
    assert len({one.split("/")[1] for one in found["fast"] if one.startswith("200")}) == len(PATHS)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request with its target."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ")[1]
        writer.write(
            b"HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2028 00:00:00 GMT\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(target), target)
        )

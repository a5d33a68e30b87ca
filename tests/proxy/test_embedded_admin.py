"""The admin API from inside the process: the responses of the listener, without the listener."""

from __future__ import annotations

import json
from io import BytesIO

import pytest

from tests.proxy.conftest import TOKEN, Api

ROUTE = {
    "id": "r", "name": "r", "tenant_id": "acme", "path_prefix": "/a",
    "backend_url": "http://127.0.0.1:9/", "methods": [], "spec_hash": "h", "activated": True,
}  # fmt: skip
JSON = {"Content-Type": "application/json"}
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
Asked = tuple[str, str, dict[str, str], bytes]
SCRIPT: list[Asked] = [
    ("GET", "/admin/apis", {}, b""),
    ("GET", "/admin/apis", {"Authorization": "Bearer other"}, b""),
    ("GET", "/admin/nothing", RIGHT, b""),
    ("PUT", "/admin/apis", RIGHT, b""),
    ("POST", "/admin/apis", {**RIGHT, **JSON}, b"{"),
    ("POST", "/admin/apis", {**RIGHT, **JSON}, b'{"id": "r"}'),
    ("POST", "/admin/apis", {**RIGHT, "Content-Type": "text/plain"}, json.dumps(ROUTE).encode()),
    ("POST", "/admin/policies", {**RIGHT, **JSON}, b'{"text": "' + b"x" * 5_000_000 + b'"}'),
    ("GET", "/admin/apis/none", RIGHT, b""),
    ("DELETE", "/admin/apis/none", RIGHT, b""),
    ("GET", "/admin/apis", {**RIGHT, "If-None-Match": "*"}, b""),
]


async def over_the_listener(api: Api, asked: Asked) -> tuple[int, str, str, bytes]:
    method, target, headers, body = asked
    answer = await api.session.request(
        method, api.gateway.base_url + target, headers=headers, data=BytesIO(body) if body else None
    )
    found = answer.headers
    return (
        answer.status,
        found.get("Content-Type", ""),
        found.get("ETag", ""),
        await answer.read(),
    )


async def inside(api: Api, asked: Asked) -> tuple[int, str, str, bytes]:
    status, found, pieces = await api.gateway.administer(*asked)
    body = b"".join([piece async for piece in pieces])
    return status, found.get("content-type", ""), found.get("etag", ""), body


@pytest.mark.parametrize("asked", SCRIPT, ids=lambda asked: f"{asked[0]} {asked[1]}")
async def test_the_embedded_admin_api_responds_as_the_listener_does(api: Api, asked: Asked) -> None:
    assert await inside(api, asked) == await over_the_listener(api, asked)


async def test_what_is_written_inside_is_what_everybody_reads(api: Api) -> None:
    for number in range(2000):
        body = json.dumps({**ROUTE, "id": f"r{number}", "name": "n" * 500}).encode()
        status, _, _ = await api.gateway.administer("POST", "/admin/apis", {**RIGHT, **JSON}, body)
        assert status == 201
    listing: Asked = ("GET", "/admin/apis", RIGHT, b"")
    _, _, pieces = await api.gateway.administer(*listing)
    assert len([piece async for piece in pieces]) > 1, "others have their turn meanwhile"
    assert await inside(api, listing) == await over_the_listener(api, listing)
    assert len(json.loads((await inside(api, listing))[3])) == 2000


async def test_a_fault_of_ours_is_a_500_of_that_request_alone(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a defect")

    asked: Asked = ("POST", "/admin/apis", {**RIGHT, **JSON}, json.dumps(ROUTE).encode())
    with monkeypatch.context() as patched:
        patched.setattr(api.gateway.store, "put_route", fail)
        assert await inside(api, asked) == await over_the_listener(api, asked)
    assert len([one for one in caplog.records if one.exc_info]) == 2
    assert (await inside(api, asked))[0] == 201

"""The published table: taken as a whole, or not at all; and what each response of `/table` does."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from stoa_proxy.table_file import FILE_NAME

from tests.proxy.conftest import Api, Upstream, policy_body, route_body
from tests.proxy.control_plane.conftest import Join, Timer
from tests.proxy.control_plane.double import Answer, ControlPlane, document, reply, serving
from tests.proxy.test_table_file import wait_for_table


def consumer_body(consumer_id: str = "c1", tenant: str = "acme", key: str = "ab") -> dict[str, Any]:
    return {
        "id": consumer_id, "name": "mobile", "tenant_id": tenant,
        "credentials": [{"type": "api_key", "key_sha256": key * 32}], "subscriptions": [],
    }  # fmt: skip


async def ids(api: Api, kind: str = "apis") -> list[str]:
    return [one["id"] for one in await (await api.admin("GET", f"/admin/{kind}")).json()]


async def looked(plane: ControlPlane, times: int) -> None:
    await plane.until(lambda: len(plane.of("table")) == times)


async def test_a_published_table_serves_and_is_acknowledged(
    plane: ControlPlane, join: Join, upstream: Upstream
) -> None:
    auth = {"in": "header", "name": "X-Backend", "value": "s3cret"}
    plane.publish(
        ("apis", route_body(upstream.url, backend_auth=auth)),
        ("policies", policy_body("r1.key", "r1", "api_key", {})),
        ("consumers", consumer_body()),
        generation=7,
    )
    async with join(plane.url) as api:
        await plane.until(lambda: bool(plane.acks))
        (ack,) = plane.acks
        assert (ack["generation"], ack["status"], ack["error"], ack["objects"]) == (
            7, "applied", None, [],
        )  # fmt: skip
        assert ack["etag"].startswith('"')
        assert (await api.get("/a")).status == 401
        await api.admin("DELETE", "/admin/policies/r1.key")
        assert (await api.get("/a")).status == 200
        assert upstream.seen[-1].all("X-Backend") == ["s3cret"]


async def test_the_next_table_is_one_change_that_also_removes(
    plane: ControlPlane, join: Join, timer: Timer
) -> None:
    plane.publish(
        ("apis", route_body("builtin:echo", "/a")),
        ("apis", route_body("builtin:echo", "/b", id="r2")),
        ("policies", policy_body("p1", "r2", "mock", {"status": 299})),
        ("consumers", consumer_body()),
    )
    async with join(plane.url) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        changes = 0

        def count() -> None:
            nonlocal changes
            changes += 1

        api.gateway.store.on_change["count"] = count
        plane.publish(
            ("apis", route_body("builtin:echo", "/c")),
            ("apis", route_body("builtin:echo", "/b", id="r2")),
            generation=2,
        )
        await timer.next(waiting=2)
        await looked(plane, 2)
        await plane.until(lambda: len(plane.acks) == 2)
        assert changes == 1
        assert [await ids(api, kind) for kind in ("apis", "policies", "consumers")] == [
            ["r1", "r2"], [], [],
        ]  # fmt: skip
        assert [(await api.get(path)).status for path in ("/a", "/b", "/c")] == [404, 200, 200]


async def test_an_unchanged_table_is_asked_for_by_its_entity_tag(
    plane: ControlPlane, join: Join, timer: Timer
) -> None:
    plane.publish(("apis", route_body("builtin:echo")))
    async with join(plane.url) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        await timer.next(waiting=2)
        await looked(plane, 2)
        assert plane.of("table")[1].headers["if-none-match"] == plane.acks[0]["etag"]
        metrics = await (await api.get("/metrics")).text()
        assert "\nstoa_control_plane_registered 1\n" in metrics
        assert 'stoa_route_reload_total{status="applied"} 1\n' in metrics
        assert timer.ended == [28.5], "never later than the interval, and not all together"
        # Somebody writes beside the control plane: the tag is not true any more.
        await api.route("builtin:echo", "/other", id="other")
        await timer.next(waiting=2)
        await timer.next(waiting=2)
        await looked(plane, 3)
        await plane.until(lambda: len(plane.acks) == 2)
        assert "if-none-match" not in plane.of("table")[2].headers
        assert await ids(api) == ["r1"]


ONE = document([("apis", route_body("builtin:echo", "/z"))])
KEPT: dict[str, Answer] = {
    "304": reply(304), "401": reply(401), "403": reply(403), "404": reply(404),
    "409": reply(409, {"title": "pushed"}), "429": reply(429), "500": reply(500, b"<html>"),
    "502": reply(502), "503": reply(503, Retry_After="1"), "204": reply(204), "302": reply(302),
    "html": reply(200, b"<html>login</html>"),
    "empty": reply(200, b""),
    "list": reply(200, b"[]\n"),
    "nan": reply(200, b'{"stoa_proxy_table": NaN}\n'),
    "deep": reply(200, b"[" * 100_000 + b"\n"),
    "version": reply(200, document([]).replace(b": 1,", b": 2,")),
    "cut": reply(200, ONE[:-40]),
    "no-end": reply(200, ONE.partition(b'{"sha')[0]),
    "other-hash": reply(200, ONE.replace(b'"sha256": "', b'"sha256": "0')),
    "odd-line": reply(200, ONE.replace(b'"/z"', b"/z")),
    "open-api": reply(200, document([("policies", {"id": "p9"})])),
    "kept-policy": reply(200, document([("policies", {"id": "p9", "keep": True})])),
    "long-line": reply(200, document([]) + b"x" * (5 << 20)),
    "50-mb": reply(200, b"x" * (50 << 20)),
}  # fmt: skip


@pytest.mark.parametrize("answer", KEPT)
async def test_whatever_else_comes_the_table_stays(
    plane: ControlPlane, join: Join, timer: Timer, answer: str
) -> None:
    plane.publish(("apis", route_body("builtin:echo")))
    async with join(plane.url) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        before = api.gateway.store.table
        plane.on("table", KEPT[answer])
        await timer.next(waiting=2)
        await looked(plane, 2)
        await timer.next(waiting=2)  # so that the look is over
        assert api.gateway.store.table is before
        assert all(ack["status"] == "failed" and ack["error"] for ack in plane.acks[1:])
        plane.publish(("apis", route_body("builtin:echo", "/new")), generation=2)
        while await timer.next(waiting=2) == 30.0:
            pass
        await plane.until(lambda: plane.acks[-1]["generation"] == 2)
        assert (await api.get("/new")).status == 200


async def test_a_document_whose_connection_breaks_changes_nothing_and_is_acknowledged_as_failed(
    plane: ControlPlane, join: Join, timer: Timer
) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        content = document(
            [("apis", route_body("builtin:echo", f"/{n}", id=f"r{n}")) for n in range(500)]
        )
        response = web.StreamResponse(
            headers={"ETag": '"half"', "Content-Length": str(len(content))}
        )
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    plane.publish(("apis", route_body("builtin:echo")))
    async with join(plane.url) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        plane.on("table", breaks)
        await timer.next(waiting=2)
        await plane.until(lambda: len(plane.acks) == 2)
        assert (plane.acks[1]["status"], plane.acks[1]["etag"]) == ("failed", '"half"')
        assert await ids(api) == ["r1"]


async def test_one_bad_object_does_not_hold_up_the_others_and_is_named(
    plane: ControlPlane, join: Join, timer: Timer, caplog: pytest.LogCaptureFixture
) -> None:
    plane.publish(
        ("apis", route_body("builtin:echo", "/old", id="stays")),
        ("consumers", consumer_body("c1")),
    )
    async with join(plane.url) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        plane.publish(
            ("apis", route_body("http://10.0.0.1", "/new", id="stays")),
            ("apis", route_body("http://10.0.0.2", "/bad", id="bad")),
            ("apis", route_body("builtin:echo", "/open", id="open")),
            ("policies", policy_body("p1", "open", "ip_filter", {"deny": ["nonsense"]})),
            ("consumers", {**consumer_body("c1"), "credentials": [{"type": "mtls"}]}),
            ("apis", route_body("builtin:echo", "/good", id="good")),
            ("apis", route_body("builtin:echo", "/twice", id="good")),
            ("tools", {"id": "t"}),
            generation=2,
        )  # fmt: skip
        await timer.next(waiting=2)
        await plane.until(lambda: len(plane.acks) == 2)
        ack = plane.acks[1]
        assert ack["status"] == "applied"
        assert [(one["kind"], one["id"]) for one in ack["objects"]] == [
            ("apis", "stays"), ("apis", "bad"), ("policies", "p1"), ("consumers", "c1"),
            ("apis", "good"), ("tools", "t"),
        ]  # fmt: skip
        assert "private" in ack["objects"][0]["error"]
        paths = ("/old", "/new", "/bad", "/open", "/good", "/twice")
        assert [(await api.get(path)).status for path in paths] == [200, 404, 404, 503, 200, 404]
        assert await ids(api, "consumers") == []
        assert "6 objects of the control plane's table are not taken" in caplog.text
        # The same objects again are not taken for known ones.
        plane.publish(
            ("apis", route_body("http://10.0.0.1", "/new", id="stays")),
            ("apis", route_body("builtin:echo", "/good", id="good")),
            generation=3,
        )
        await timer.next(waiting=2)
        await timer.next(waiting=2)
        await plane.until(lambda: len(plane.acks) == 3)
        assert [one["id"] for one in plane.acks[2]["objects"]] == ["stays"]


async def test_objects_that_contradict_each_other_are_refused_and_no_others(
    plane: ControlPlane, join: Join, timer: Timer
) -> None:
    rival = {"tenant_id": "rival", "id": "r9"}
    plane.publish(
        ("apis", route_body("builtin:echo", "/a")),
        ("apis", route_body("builtin:echo", "/a", **rival)),
        ("apis", route_body("builtin:echo", "/b", id="r2")),
        ("consumers", consumer_body("c1")),
        ("consumers", consumer_body("c2")),
    )
    async with join(plane.url) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        assert await ids(api) == ["r1", "r2"]
        assert [one["id"] for one in plane.acks[0]["objects"]] == ["r9", "c2"]
        # The place passes from one tenant to the other, and the key from one consumer to another.
        plane.publish(
            ("apis", route_body("builtin:echo", "/a", **rival)),
            ("apis", route_body("builtin:echo", "/b", id="r2")),
            ("consumers", consumer_body("c2")),
            generation=2,
        )
        await timer.next(waiting=2)
        await plane.until(lambda: len(plane.acks) == 2)
        assert plane.acks[1]["objects"] == []
        assert await ids(api) == ["r2", "r9"]
        assert await ids(api, "consumers") == ["c2"]


async def test_objects_to_keep_stay_as_they_are_here(
    plane: ControlPlane, join: Join, timer: Timer, upstream: Upstream
) -> None:
    auth = {"in": "header", "name": "X-Backend", "value": "s3cret"}
    edits = {"request": {"set": {"X-Sent": "s3cret-2"}}}
    plane.publish(
        ("apis", route_body(upstream.url, backend_auth=auth)),
        ("policies", policy_body("p1", "r1", "headers", edits)),
    )
    async with join(plane.url) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        plane.publish(
            ("apis", {"id": "r1", "keep": True}),
            ("policies", {"id": "p1", "keep": True}),
            ("apis", {"id": "never", "keep": True}),
            ("apis", route_body("builtin:echo", "/b", id="r2")),
            ("policies", {"id": "p2", "api_id": "r2", "keep": True}),
            generation=2,
        )
        await timer.next(waiting=2)
        await plane.until(lambda: len(plane.acks) == 2)
        assert [one["id"] for one in plane.acks[1]["objects"]] == ["never", "p2"]
        assert [(await api.get(path)).status for path in ("/a", "/b")] == [200, 503]
        assert upstream.seen[-1].all("X-Backend") == ["s3cret"]
        assert upstream.seen[-1].all("X-Sent") == ["s3cret-2"]


async def test_objects_of_other_tenants_are_refused_where_one_is_served(
    plane: ControlPlane, join: Join
) -> None:
    plane.publish(
        ("apis", route_body("builtin:echo", "/a")),
        ("apis", route_body("builtin:echo", "/b", id="r2", tenant_id="rival")),
        ("consumers", consumer_body("c2", tenant="rival")),
    )
    async with join(plane.url, config={"tenant_id": "acme"}) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        assert [one["id"] for one in plane.acks[0]["objects"]] == ["r2", "c2"]
        assert await ids(api) == ["r1"]
        assert await ids(api, "consumers") == []


async def test_503_is_asked_again_when_it_says_so_and_less_often_each_time(
    plane: ControlPlane, join: Join, timer: Timer
) -> None:
    async with join(plane.url, heartbeat_seconds=3600) as api:
        assert [await timer.next(waiting=2) for _ in range(4)] == [5.0, 10.0, 20.0, 28.5]
        assert (await api.get("/ready")).status == 503
        metrics = await (await api.get("/metrics")).text()
        assert 'stoa_route_reload_total{status="failed"}' in metrics
        await looked(plane, 5)
        plane.publish(("apis", route_body("builtin:echo")))
        await timer.next(waiting=2)
        await plane.until(lambda: len(plane.acks) == 1)
        assert (await api.get("/ready")).status == 200
        plane.tables.clear()
        assert [await timer.next(waiting=2) for _ in range(2)] == [28.5, 5.0]


async def test_why_there_is_no_table_is_said_as_the_control_plane_says_it(
    plane: ControlPlane, join: Join, timer: Timer, caplog: pytest.LogCaptureFixture
) -> None:
    detail = {"title": "Service unavailable", "detail": "no document\nnames this gateway"}
    plane.on("table", reply(503, detail, Content_Type="application/problem+json"))
    plane.on("table", reply(403, b"x" * 9000, Content_Type="application/problem+json"))
    with caplog.at_level(logging.INFO, "stoa_proxy"):
        async with join(plane.url):
            await timer.next(waiting=2)
            await looked(plane, 2)
            await timer.next(waiting=2)
    lines = [(one.levelname, one.getMessage()) for one in caplog.records]
    what = "getting the table from the control plane failed: status"
    assert ("INFO", f"{what} 503: 'no document\\nnames this gateway'") in lines
    assert ("WARNING", f"{what} 403") in lines


async def test_an_acknowledgement_that_is_lost_is_sent_again(
    plane: ControlPlane, join: Join, timer: Timer
) -> None:
    plane.on("table-ack", reply(503))
    plane.publish(("apis", route_body("builtin:echo")))
    async with join(plane.url):
        await plane.until(lambda: len(plane.of("table-ack")) == 1)
        await timer.next(waiting=2)
        await plane.until(lambda: len(plane.acks) == 1)
        assert len(plane.of("table")) == 2


async def test_a_gateway_that_only_beats_asks_for_nothing(
    plane: ControlPlane, join: Join, timer: Timer
) -> None:
    async with join(plane.url, pulls=False) as api:
        await timer.next()
        await plane.until(lambda: len(plane.of("heartbeat")) == 2)
        assert (await api.get("/ready")).status == 200
    assert {call.path.rpartition("/")[2] for call in plane.calls} & {"table", "routes"} == set()


async def test_a_restart_without_the_control_plane_serves_the_last_table(
    join: Join, tmp_path: Path, closed_url: str
) -> None:
    port = int(closed_url.rpartition(":")[2])
    state = {"state_dir": str(tmp_path)}
    plane = ControlPlane()
    plane.publish(("apis", route_body("builtin:echo")), ("consumers", consumer_body()))
    async with serving(plane, port), join(plane.url, config=state):
        await plane.until(lambda: len(plane.acks) == 1)
    content = (tmp_path / FILE_NAME).read_text()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert json.loads(content.splitlines()[-2])["source"]["generation"] == 1
    async with join(closed_url, config=state) as api:
        assert (await api.get("/a")).status == 200
        assert await (await api.get("/ready")).text() == "NOT READY: Control Plane unreachable"
    async with serving(plane, port), join(plane.url, config=state) as api:
        await looked(plane, 2)
        assert plane.of("table")[1].headers["if-none-match"] == plane.acks[0]["etag"]


async def test_a_table_that_lost_its_credentials_is_asked_for_as_a_whole(
    plane: ControlPlane, join: Join, tmp_path: Path, upstream: Upstream
) -> None:
    auth = {"in": "header", "name": "X-Backend", "value": "s3cret"}
    state = {"state_dir": str(tmp_path)}
    plane.publish(("apis", route_body(upstream.url, backend_auth=auth)))
    async with join(plane.url, config=state):
        await plane.until(lambda: len(plane.acks) == 1)
        assert b"s3cret" not in await wait_for_table(tmp_path)
    async with join(plane.url, config=state) as api:
        await plane.until(lambda: len(plane.acks) == 2)
        assert "if-none-match" not in plane.of("table")[1].headers
        assert (await api.get("/a")).status == 200
        assert upstream.seen[-1].all("X-Backend") == ["s3cret"]


async def test_what_was_refused_is_asked_for_again_after_a_restart_with_other_rules(
    plane: ControlPlane, join: Join, tmp_path: Path, upstream: Upstream
) -> None:
    plane.publish(
        ("apis", route_body(upstream.url)), ("apis", route_body("builtin:echo", "/b", id="r2"))
    )
    state = {"state_dir": str(tmp_path)}
    async with join(plane.url, config={**state, "backends_allow": ()}) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        assert [one["id"] for one in plane.acks[0]["objects"]] == ["r1"]
        await wait_for_table(tmp_path)
    async with join(plane.url, config=state) as api:
        await plane.until(lambda: len(plane.acks) == 2)
        assert plane.acks[1]["objects"] == []
        assert (await api.get("/a")).status == 200


async def test_a_disk_that_takes_nothing_keeps_no_table_from_serving(
    plane: ControlPlane, join: Join, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    plane.publish(("apis", route_body("builtin:echo")))
    async with join(plane.url, config={"state_dir": str(tmp_path / "file" / "below")}) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        assert (await api.get("/a")).status == 200
    assert "the table is not saved" in caplog.text


async def test_a_control_plane_that_restarts_without_its_store_is_joined_again(
    plane: ControlPlane, join: Join, timer: Timer
) -> None:
    plane.publish(("apis", route_body("builtin:echo")))
    async with join(plane.url) as api:
        await plane.until(lambda: len(plane.acks) == 1)
        plane.loses_registrations()
        plane.tables.clear()
        while len(plane.of("register")) == 1:
            await timer.next(waiting=2)
        await plane.until(lambda: len(plane.of("register")) == 2)
        assert (await api.get("/a")).status == 200
        assert len([one for one in timer.ended if one == 28.5]) <= 2


async def test_a_control_plane_that_goes_and_comes_finds_the_gateway_serving(
    join: Join, timer: Timer, closed_url: str
) -> None:
    port = int(closed_url.rpartition(":")[2])
    plane = ControlPlane()
    plane.publish(("apis", route_body("builtin:echo")))
    async with join(closed_url) as api:
        async with serving(plane, port):
            await timer.next()
            await plane.until(lambda: len(plane.acks) == 1)
        for _ in range(6):
            await timer.next(waiting=2)
            assert (await api.get("/a")).status == 200
        plane.publish(("apis", route_body("builtin:echo", "/new")), generation=2)
        async with serving(plane, port):
            while len(plane.acks) == 1:
                await timer.next(waiting=2)
                await asyncio.sleep(0.02)
            assert (await api.get("/new")).status == 200
        assert len(plane.of("register")) == 1


async def test_the_loop_turns_while_a_large_table_is_taken(plane: ControlPlane, join: Join) -> None:
    plane.publish(*(
        ("apis", route_body("builtin:echo", f"/{n}", id=f"r{n}", api_id=f"a{n}"))
        for n in range(2000)
    ))  # fmt: skip
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while not plane.acks:
            turns += 1
            await asyncio.sleep(0)

    async with join(plane.url) as api:
        before = api.gateway.store.table
        turning = asyncio.create_task(turn())
        while not plane.acks:
            # No part of the table is ever seen.
            assert len(api.gateway.store.table.routes) in (0, 2000)
            await asyncio.sleep(0)
        await turning
        assert before is not api.gateway.store.table
    assert turns > 50

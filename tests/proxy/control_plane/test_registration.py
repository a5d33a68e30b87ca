"""Registering and beating: what is sent, and every reaction of STOA gateway 0.9.25."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from stoa_proxy.config import ProxyConfig, config_from_env
from stoa_proxy.control_plane.client import ControlPlaneClient
from stoa_proxy.control_plane.gateway_key import GatewayKey
from stoa_proxy.control_plane.membership import Membership
from stoa_proxy.control_plane.registration import make_registration
from stoa_proxy.control_plane_config import ControlPlaneConfig
from stoa_proxy.errors import ControlPlaneFailed

from tests.ports import own_port
from tests.proxy.conftest import FakeClock, Upstream
from tests.proxy.control_plane.conftest import Join, Timer
from tests.proxy.control_plane.double import KEY, PREFIX, ControlPlane, document, reply, serving

FIGURES = {
    "uptime_seconds", "routes_count", "policies_count", "discovered_apis", "requests_total",
    "error_rate",
}  # fmt: skip


def beats(plane: ControlPlane) -> list[dict[str, Any]]:
    return [beat for beats in plane.beats.values() for beat in beats]


async def test_a_gateway_registers_with_the_documented_fields(
    plane: ControlPlane, join: Join
) -> None:
    async with join(plane.url, config={"tenant_id": "acme"}) as api:
        await plane.until(lambda: bool(beats(plane)))
        (call,) = plane.of("register")
        assert call.headers["x-gateway-key"] == KEY
        assert call.headers["user-agent"].startswith("stoa_proxy/")
        assert {name: call.body[name] for name in ("hostname", "mode", "environment")} == {
            "hostname": "edge", "mode": "proxy", "environment": "dev",
        }  # fmt: skip
        assert call.body["admin_url"] == api.gateway.base_url
        assert call.body["tenant_id"] == "acme"
        assert call.body["capabilities"] == ["rest", "metering", "rate_limiting", "policy"]
        assert {"table", "batch", "policy:rate_limit"} <= set(call.body["extensions"])


@pytest.mark.parametrize(
    ("host", "name", "port", "url"),
    [
        ("0.0.0.0", "edge-1", 8080, "http://edge-1:8080"),
        ("::", "edge-1", 8080, "http://edge-1:8080"),
        ("127.0.0.1", "edge-1", 8080, "http://127.0.0.1:8080"),
        ("::1", "edge-1", 8080, "http://[::1]:8080"),
        ("0.0.0.0", "<script>", 8080, f"http://{socket.gethostname()}:8080"),
        ("0.0.0.0", "../é", 8080, f"http://{socket.gethostname()}:8080"),
    ],
)
def test_the_admin_url_is_where_this_gateway_listens(
    host: str, name: str, port: int, url: str
) -> None:
    settings = ControlPlaneConfig(url="http://cp", key=KEY, instance_name=name)
    body = make_registration(ProxyConfig(host=host, port=port), settings, port, "1", ())
    assert body["admin_url"] == url
    assert body["hostname"] == name
    given = replace(settings, advertise_url="https://gw.test/admin")
    body = make_registration(ProxyConfig(host=host), given, port, "1", ())
    assert body["admin_url"] == "https://gw.test/admin"


async def test_a_slash_at_the_end_of_the_url_makes_no_double_one(
    plane: ControlPlane, join: Join
) -> None:
    config = config_from_env(
        {"STOA_CONTROL_PLANE_URL": f"{plane.url}//", "STOA_CONTROL_PLANE_API_KEY": f" {KEY}\n"}
    ).control_plane
    assert config is not None
    async with join(config.url, key=config.key):
        await plane.until(lambda: bool(beats(plane)))
    assert {call.path for call in plane.calls if "//" in call.path} == set()


async def test_beats_are_sent_at_once_and_then_at_the_interval_with_real_figures(
    plane: ControlPlane, join: Join, timer: Timer, upstream: Upstream
) -> None:
    async with join(plane.url, pulls=False) as api:
        await plane.until(lambda: len(beats(plane)) == 1)
        assert beats(plane)[0] == dict.fromkeys(FIGURES, 0)
        await api.route(upstream.url)
        await api.route(upstream.url, prefix="/b", id="r2", api_id="r1")
        await api.policy("mock", {"status": 503})
        assert [(await api.get(path)).status for path in ("/a", "/b", "/none")] == [503, 503, 404]
        assert (await api.get("/health")).status == 200
        assert await timer.next() == 30.0
        await plane.until(lambda: len(beats(plane)) == 2)
        assert beats(plane)[1] == {
            "uptime_seconds": 30, "routes_count": 2, "policies_count": 1, "discovered_apis": 1,
            "requests_total": 3, "error_rate": 0.666667,
        }  # fmt: skip


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_ends_registration_for_good_and_serving_goes_on(
    plane: ControlPlane, join: Join, upstream: Upstream, status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    plane.on("register", reply(status))
    async with join(plane.url) as api:
        await plane.until(lambda: "Will not retry" in caplog.text)
        metrics = await (await api.get("/metrics")).text()
        assert "\nstoa_control_plane_registered 0\n" in metrics
        await api.route(upstream.url)
        assert (await api.get("/a")).status == 200
        assert (await api.get("/ready")).status == 200
    assert [call.path for call in plane.calls] == [f"{PREFIX}/register", "/health"]
    (line,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert "registration refused" in line.getMessage()
    assert "STOA_CONTROL_PLANE_API_KEY" in line.getMessage()
    assert KEY not in caplog.text


async def test_another_key_in_the_file_is_used_without_a_restart(
    plane: ControlPlane, join: Join, timer: Timer, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("gw_dev_old\n")
    async with join(plane.url, key=None, key_file=str(file), pulls=False):
        assert await timer.next() == 30.0
        file.write_text(f"{KEY}\n")
        await timer.next()
        await plane.until(lambda: len(beats(plane)) == 1)
        # Rotated again, while it is a member: the old one is withdrawn.
        plane.keys = ("gw_dev_new",)
        file.write_text("gw_dev_new")
        await timer.next()
        await plane.until(lambda: len(beats(plane)) == 2)


async def drop(request: web.Request) -> web.StreamResponse:
    """Close the connection without a response."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


BAD_REGISTRATIONS = {
    "dropped": drop,
    "404": reply(404, {"detail": "Not Found"}),
    "409": reply(409),
    "422": reply(422, {"detail": []}),
    "500": reply(500, b"<html>"),
    "503": reply(503, {"detail": "disabled"}),
    "html": reply(200, b"<html>login</html>", Content_Type="text/html"),
    "no-status": reply(201, {"id": "11111111-2222-4333-8444-555555555555", "name": "x"}),
    "no-uuid": reply(201, {"id": "../../admin", "name": "x", "status": "online"}),
    "number": reply(201, {"id": 7, "name": "x", "status": "online"}),
    "list": reply(201, []),
    "nan": reply(201, b'{"id": NaN}'),
    "deep": reply(201, b"[" * 100_000),
    "gzip": reply(201, b"\x1f\x8b" + b"\x00" * 100, Content_Encoding="gzip"),
}


@pytest.mark.parametrize("answer", BAD_REGISTRATIONS)
async def test_a_registration_that_fails_is_tried_again_with_growing_pauses(
    plane: ControlPlane, join: Join, timer: Timer, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    plane.on("register", *[BAD_REGISTRATIONS[answer]] * 2)
    async with join(plane.url, pulls=False):
        assert [await timer.next(), await timer.next()] == [5.0, 10.0]
        await plane.until(lambda: len(beats(plane)) == 1)
    assert "registration failed" in caplog.text


async def test_the_words_of_a_problem_are_in_the_log_and_no_others(
    plane: ControlPlane, join: Join, timer: Timer, caplog: pytest.LogCaptureFixture
) -> None:
    problem = reply(422, {"detail": "mode: no such\nmode"}, Content_Type="application/problem+json")
    plane.on("register", problem, reply(422, {"detail": "a page"}, Content_Type="text/html"))
    async with join(plane.url, pulls=False):
        await timer.next()
        await timer.next()
        await plane.until(lambda: len(beats(plane)) == 1)
    assert r"registration failed: status 422: 'mode: no such\nmode'; next try" in caplog.text
    assert "a page" not in caplog.text


async def test_a_url_that_is_no_control_plane_s_is_said_by_its_variable(
    plane: ControlPlane, join: Join, timer: Timer, caplog: pytest.LogCaptureFixture
) -> None:
    paths = reply(404, {"detail": "no such path"}, Content_Type="application/problem+json")
    plane.on("register", paths)
    async with join(plane.url, pulls=False):
        await timer.next()
        await plane.until(lambda: len(beats(plane)) == 1)
    assert (
        f"registration failed: status 404: nothing at {plane.url} registers gateways;"
        " STOA_CONTROL_PLANE_URL is the address of a control plane; next try" in caplog.text
    )
    assert "no such path" not in caplog.text


async def call_once(url: str) -> str:
    """Return why a call to a control plane at this URL fails."""
    config = ControlPlaneConfig(url=url, key=KEY)
    client = ControlPlaneClient(config, GatewayKey(config), FakeClock(), agent="test")
    await client.open()
    try:
        with pytest.raises(ControlPlaneFailed) as failed:
            await client.call("POST", f"{PREFIX}/register", {})
    finally:
        await client.close()
    return str(failed.value)


async def test_a_port_where_nobody_listens_is_told_in_plain_words() -> None:
    with own_port() as port:
        why = await call_once(f"http://127.0.0.1:{port}")
    assert why == f"no connection to 127.0.0.1:{port}: {os.strerror(errno.ECONNREFUSED)}"


async def test_https_to_a_control_plane_of_http_is_told_as_such(plane: ControlPlane) -> None:
    why = await call_once(plane.url.replace("http://", "https://"))
    where = plane.url.removeprefix("http://")
    assert why.startswith(f"no connection to {where}: no TLS there (")


async def test_a_call_without_a_response_ends_in_time(plane: ControlPlane) -> None:
    never = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    plane.on("register", silent, slow)
    config = ControlPlaneConfig(url=plane.url, key=KEY)
    client = ControlPlaneClient(config, GatewayKey(config), FakeClock(), agent="test")
    await client.open()
    for _ in range(2):
        with pytest.raises(ControlPlaneFailed, match="no response in time"):
            await client.call("POST", f"{PREFIX}/register", {}, seconds=0.2)
    await client.close()
    with pytest.raises(ControlPlaneFailed, match="closed"):
        await client.call("POST", f"{PREFIX}/register", {})


async def test_a_pause_that_the_control_plane_asks_for_is_kept(
    plane: ControlPlane, join: Join, timer: Timer
) -> None:
    plane.on("register", reply(503, Retry_After="60"), reply(503, Retry_After="never"))
    async with join(plane.url, pulls=False):
        assert [await timer.next(), await timer.next()] == [60.0, 10.0]
        await plane.until(lambda: len(beats(plane)) == 1)


async def test_a_response_without_an_end_is_cut(
    plane: ControlPlane, join: Join, timer: Timer
) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(800):  # 50 MiB
            await response.write(b"x" * 65536)
            sent += 65536
        return response

    plane.on("register", endless)
    async with join(plane.url, pulls=False):
        assert await timer.next() == 5.0
        await plane.until(lambda: len(beats(plane)) == 1)
    assert sent < 20 << 20


async def test_a_redirect_is_not_followed_so_that_the_key_stays_here(
    plane: ControlPlane, join: Join, timer: Timer, upstream: Upstream
) -> None:
    for what in ("register", "heartbeat", "health"):
        plane.on(what, reply(307, Location=f"{upstream.url}/steal"))
    async with join(plane.url) as api:
        await timer.next()
        await plane.until(lambda: len(plane.of("heartbeat")) == 1)
        assert (await api.get("/ready")).status == 503
    assert upstream.seen == []


async def test_a_control_plane_that_starts_later_is_found(
    join: Join, timer: Timer, closed_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    plane = ControlPlane()
    async with join(closed_url, pulls=False):
        assert [await timer.next() for _ in range(8)] == [5, 10, 20, 40, 80, 160, 300, 300]
        await asyncio.sleep(0)
        async with serving(plane, port=int(closed_url.rpartition(":")[2])):
            await timer.next()
            await plane.until(lambda: len(beats(plane)) == 1)


async def test_three_404_in_a_row_register_again_at_once(
    plane: ControlPlane, join: Join, timer: Timer, caplog: pytest.LogCaptureFixture
) -> None:
    async with join(plane.url, pulls=False):
        await plane.until(lambda: len(beats(plane)) == 1)
        plane.on("heartbeat", reply(404), reply(404), reply(204), reply(404))
        for _ in range(4):
            await timer.next()
        await plane.until(lambda: len(plane.of("heartbeat")) == 5)
        assert len(plane.of("register")) == 1
        plane.loses_registrations()
        for _ in range(2):
            await timer.next()
        await plane.until(lambda: len(plane.of("register")) == 2)
        await plane.until(lambda: len(beats(plane)) == 2)
    assert "does not know this gateway" in caplog.text


async def test_a_control_plane_that_forgets_at_once_is_not_flooded(
    plane: ControlPlane, join: Join, timer: Timer
) -> None:
    plane.on("heartbeat", *[reply(404)] * 12)
    async with join(plane.url, pulls=False):
        for _ in range(3):
            await timer.next()
            await timer.next()
            await timer.next()
        await plane.until(lambda: len(plane.of("register")) == 4)
    assert [one for one in timer.ended if one != 30.0] == [5.0, 10.0, 20.0]


IGNORED = [
    reply(401), reply(409), reply(410), reply(500), reply(200, {"commands": ["stop"]}),
    reply(503, b"<html>"), reply(301, Location="/"),
]  # fmt: skip


async def test_other_responses_to_a_beat_change_nothing(
    plane: ControlPlane, join: Join, timer: Timer, caplog: pytest.LogCaptureFixture
) -> None:
    async with join(plane.url, pulls=False):
        await plane.until(lambda: len(beats(plane)) == 1)
        plane.on("heartbeat", *IGNORED)
        for _ in range(len(IGNORED) + 1):
            await timer.next()
        await plane.until(lambda: len(beats(plane)) == 2)
        assert len(plane.of("register")) == 1
        assert set(timer.ended) == {30.0}
    reasons = [one.getMessage() for one in caplog.records if "heartbeat failed" in one.getMessage()]
    assert len(reasons) == 6, "one warning for each status that is no success"


async def test_a_control_plane_that_flaps_is_neither_flooded_nor_left(
    plane: ControlPlane, join: Join, timer: Timer, caplog: pytest.LogCaptureFixture
) -> None:
    plane.publish()
    async with join(plane.url):
        await plane.until(lambda: len(beats(plane)) == 1 and len(plane.acks) == 1)
        for _ in range(40):
            plane.on("heartbeat", reply(503))
            plane.on("table", reply(502), reply(304))
            await timer.next(waiting=2)
            await timer.next(waiting=2)
        await timer.next(waiting=2)
        assert len(plane.of("register")) == 1
        assert len(plane.of("heartbeat")) <= 42
        assert len(plane.of("table")) <= 42
    warnings = [one for one in caplog.records if one.levelname == "WARNING"]
    assert len(warnings) <= 40, "one for each time that it goes, at most"


async def test_a_bug_ends_neither_the_heartbeats_nor_the_serving(
    plane: ControlPlane, join: Join, timer: Timer, caplog: pytest.LogCaptureFixture
) -> None:
    async with join(plane.url, pulls=False) as api:
        await plane.until(lambda: len(beats(plane)) == 1)
        metrics = api.gateway.pipeline.metrics
        totals, metrics.totals = metrics.totals, None  # type: ignore[method-assign, assignment]
        assert await timer.next() == 30.0
        assert await timer.next() == 5.0
        metrics.totals = totals  # type: ignore[method-assign]
        while len(beats(plane)) == 1:
            await timer.next()
            await asyncio.sleep(0.01)
    assert "unexpected error in the session" in caplog.text
    plane.calls.clear()


async def test_the_end_is_said_to_the_control_plane_which_may_not_have_that(
    plane: ControlPlane, join: Join
) -> None:
    async with join(plane.url):
        await plane.until(lambda: len(beats(plane)) == 1)
    assert plane.members == {}
    assert plane.calls[-1].method == "DELETE"
    plane.on("delete", reply(405))
    async with join(plane.url):
        await plane.until(lambda: len(beats(plane)) == 2)
    assert plane.calls[-1].method == "DELETE"


async def test_an_end_while_the_control_plane_is_silent_is_bounded(
    plane: ControlPlane, join: Join
) -> None:
    never = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    plane.on("delete", silent)
    async with asyncio.timeout(30):
        async with join(plane.url):
            await plane.until(lambda: len(beats(plane)) == 1)


async def test_beats_are_logged_at_debug_and_registrations_above(
    plane: ControlPlane, join: Join, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "stoa_proxy"):
        async with join(plane.url):
            await plane.until(lambda: "heartbeat sent" in caplog.text)
    levels = {
        word: {one.levelname for one in caplog.records if word in one.getMessage()}
        for word in ("heartbeat", "registered name")
    }
    assert levels == {"heartbeat": {"DEBUG"}, "registered name": {"INFO"}}
    assert KEY not in caplog.text


def test_pauses_are_spread_by_a_quarter_and_bounded() -> None:
    for jitter, first, last in ((0.0, 3.75, 225.0), (1.0, 6.25, 300.0)):
        state = Membership(lambda jitter=jitter: jitter)  # type: ignore[misc]
        pauses = [state.note_failure() for _ in range(2000)]
        assert (pauses[0], pauses[-1]) == (first, last)
    assert Membership(lambda: 0.5).note_failure(at_least=60.0) == 60.0
    assert Membership(lambda: 0.5).note_failure(at_least=1e9) == 300.0
    assert document([])

"""A gateway of several processes, as its callers and its operator see it."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from stoa_proxy.errors import ConfigInvalid, ListenFailed
from stoa_proxy.foundation.server_certificates import TlsFiles

from tests.proxy.conftest import (
    LOOPBACK,
    TOKEN,
    FakeClock,
    Upstream,
    policy_body,
    route_body,
    running,
)
from tests.proxy.workers.world import Several, is_alive, kill, several, until

ECHO = "builtin:echo"


async def count_allowed(api: Several, path: str, requests: int) -> int:
    """Send requests from several clients at once; return how many were let through."""

    async def send(share: int) -> int:
        return sum([(await api.ask(path))[0] == 200 for _ in range(share)])

    return sum(await asyncio.gather(*(send(requests // 8) for _ in range(8))))


async def test_what_is_written_holds_in_all_workers_when_the_answer_is_there() -> None:
    async with several() as api:
        await api.route(ECHO)
        assert set(await api.ask_all("/a")) == {200}
        await api.policy("mock", {"status": 299, "body": "from the policy"})
        assert set(await api.ask_all("/a")) == {299}
        batch = {"apis": [route_body(ECHO, "/b", id="r2")], "delete": {"policies": ["r1.mock"]}}
        assert (await api.admin("POST", "/admin/batch", batch)).status == 200
        assert set(await api.ask_all("/b")) == set(await api.ask_all("/a")) == {200}
        assert (await api.admin("DELETE", "/admin/apis/r2")).status == 204
        assert set(await api.ask_all("/b")) == {404}


async def test_a_write_that_is_refused_changes_no_worker() -> None:
    async with several() as api:
        await api.route(ECHO)
        wrong = [route_body(ECHO, "/b", id="r2"), route_body(ECHO, "/a", id="r3", tenant_id="evil")]
        assert (await api.admin("POST", "/admin/batch", {"apis": wrong})).status in (400, 409)
        assert set(await api.ask_all("/b")) == {404}


async def test_a_revoked_key_is_refused_by_all_workers_at_once() -> None:
    async with several() as api:
        await api.route(ECHO)
        await api.policy("api_key", {})
        await api.consumer("k1")
        assert set(await api.ask_all("/a", {"X-API-Key": "k1"})) == {200}
        assert (await api.admin("DELETE", "/admin/consumers/c1")).status == 204
        assert set(await api.ask_all("/a", {"X-API-Key": "k1"})) == {401}


@pytest.mark.heavy
async def test_errors_of_all_workers_are_kept_in_one_place(closed_url: str, tmp_path: Path) -> None:
    async with several(state_dir=str(tmp_path)) as api:
        await api.route(closed_url)
        asked = await api.ask_all("/a")
        page = await api.administer("GET", "/admin/snapshots?limit=500")
        skipped = await api.metric("stoa_snapshots_skipped_total")
        assert page["total"] + skipped == asked[502] == sum(asked.values())
        token = {"Authorization": f"Bearer {TOKEN}"}
        for _ in range(4):  # whichever worker hands it on
            shown = await api.ask("/admin/snapshots?limit=500", token)
            assert json.loads(shown[2]) == page
    async with running(state_dir=str(tmp_path)) as one:
        answer = await one.admin("GET", "/admin/snapshots?limit=500")
        assert (await answer.json())["snapshots"] == page["snapshots"]


@pytest.mark.heavy
async def test_every_worker_shows_the_admin_face_of_the_whole() -> None:
    async with several() as api:
        await api.route(ECHO)
        await api.ask_all("/a")
        token = {"Authorization": f"Bearer {TOKEN}"}
        total = sum(one["requests"] for one in await api.workers())
        # More connections than one worker would get by chance.
        for _ in range(12):
            assert (await api.ask("/health"))[2] == b"OK"
            assert (await api.ask("/ready"))[0] == 200
            assert (await api.ask("/admin/apis"))[0] == 401
            status, _, content = await api.ask("/admin/apis/r1", token)
            assert (status, b'"id":"r1"' in content) == (200, True)
            assert await api.metric("stoa_http_requests_total{") == total
        assert await api.metric("stoa_workers ") == 2
        assert await api.metric("stoa_route_reload_routes_loaded ") == 1
        assert await api.metric("stoa_api_requests_total{") == total


async def test_readiness_and_its_reason_are_the_parents() -> None:
    async with several() as api:
        api.gateway.set_ready(False)
        for _ in range(4):
            assert (await api.ask("/ready"))[2] == b"NOT READY: not configured yet"


@pytest.mark.heavy
async def test_wrong_tokens_are_counted_over_all_workers(clock: FakeClock) -> None:
    # The parent's, which counts them: their minute does not pass, however long this takes.
    async with several(clock=clock) as api:
        statuses = [
            (await api.ask("/admin/apis", {"Authorization": "Bearer wrong"}))[0] for _ in range(64)
        ]
        assert statuses == [401] * 60 + [429] * 4


@pytest.mark.parametrize(
    "policy",
    [
        ("quota", {"requests": 40, "period": "month", "by": "ip"}),
        ("rate_limit", {"requests": 40, "window": "1h", "by": "ip"}),
        ("rate_limit", {"requests": 40, "window": "1h", "algorithm": "sliding_window", "by": "ip"}),
    ],
)
async def test_limits_are_exact_over_all_workers(policy: tuple[str, Any]) -> None:
    async with several() as api:
        await api.route(ECHO)
        await api.policy(*policy)
        assert await count_allowed(api, "/a", 80) == 40
        assert all(one["requests"] for one in await api.workers()), "one worker had all requests"


@pytest.mark.heavy
async def test_a_killed_worker_takes_no_count_along_and_is_started_again() -> None:
    async with several() as api:
        await api.route(ECHO)
        await api.policy("quota", {"requests": 40, "period": "month", "by": "ip"})
        await api.policy("rate_limit", {"requests": 60, "window": "1h", "by": "ip"})
        before = await api.pids()
        allowed = await count_allowed(api, "/a", 24)
        seen = await api.metric("stoa_http_requests_total{")
        kill(before[0], signal.SIGKILL)
        allowed += await count_allowed(api, "/a", 8)

        async def is_replaced() -> bool:
            # Its end may not have been noticed yet.
            return before[0] not in await api.pids() and await api.are_listening()

        await until(is_replaced)
        after = await api.pids()
        assert (after[0] != before[0], after[1]) == (True, before[1])
        # The new one has the table, and goes on with what the old one has counted.
        allowed += await count_allowed(api, "/a", 40)
        # A request that the killed worker had counted and not answered was sent again.
        assert 40 - 8 <= allowed <= 40
        assert (await api.ask("/a"))[0] == 429
        assert await api.metric("stoa_http_requests_total{") >= seen
        assert await api.metric("stoa_worker_restarts_total ") == 1
        assert sum(one["restarts"] for one in await api.workers()) == 1


@pytest.mark.heavy
async def test_a_worker_that_hangs_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    async with several() as api:
        await api.route(ECHO)
        engine: Any = api.gateway._engine
        engine._missed_beats = 3
        (hanging, _) = await api.pids()
        kill(hanging, signal.SIGSTOP)

        async def is_replaced() -> bool:
            return hanging not in await api.pids() and await api.are_listening()

        await until(is_replaced)
        engine._missed_beats = 1000  # a busy machine may keep a good one waiting, too
        await until(api.are_listening)
        assert set(await api.ask_all("/a")) == {200}
        assert "a worker does not respond and is killed worker=1" in caplog.text


@pytest.mark.heavy
async def test_a_write_does_not_wait_for_a_worker_that_hangs_for_ever() -> None:
    async with several() as api:
        engine: Any = api.gateway._engine
        engine._links.settle_seconds = 0.5
        (hanging, _) = await api.pids()
        kill(hanging, signal.SIGSTOP)
        await api.administer("POST", "/admin/apis", route_body(ECHO))
        assert not is_alive(hanging), "it would go on to serve the old table"
        engine._links.settle_seconds = 60
        await until(api.are_listening)
        assert set(await api.ask_all("/a")) == {200}


@pytest.mark.heavy
async def test_counts_outlive_a_restart_in_order(tmp_path: Path) -> None:
    quota = ("quota", {"requests": 20, "period": "month", "by": "ip"})
    async with several(state_dir=str(tmp_path)) as api:
        await api.route(ECHO)
        await api.policy(*quota)
        assert await count_allowed(api, "/a", 16) == 16
    async with several(state_dir=str(tmp_path)) as api:
        # The table was kept, too.
        assert await count_allowed(api, "/a", 16) == 4
        rows = (await api.administer("GET", "/admin/usage"))["usage"]
        assert sum(row["requests"] for row in rows) == 32
    async with running(state_dir=str(tmp_path)) as alone:
        assert (await alone.get("/a")).status == 429


@pytest.mark.heavy
async def test_requests_in_flight_are_answered_while_it_stops(upstream: Upstream) -> None:
    arrived, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def wait(request: web.BaseRequest) -> web.StreamResponse:
        arrived.release()
        await go_on.wait()
        return web.Response(text="late")

    async with several() as api:
        await api.route(upstream.url)
        upstream.answer = wait
        sent = [asyncio.create_task(api.ask("/a")) for _ in range(6)]
        for _ in sent:
            await arrived.acquire()
        pids, port = await api.pids(), api.gateway.port
        stopping = asyncio.create_task(api.gateway.stop(30))
        await asyncio.sleep(0)
        go_on.set()
        answers = await asyncio.gather(*sent)
        assert [(status, content) for status, _, content in answers] == [(200, b"late")] * 6
        await stopping
        assert not any(map(is_alive, pids))
        with pytest.raises(OSError, match="onnect"):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_port_that_another_program_has_is_not_shared() -> None:
    async with running() as alone:
        gateway = Gateway(ProxyConfig(port=alone.gateway.port, workers=2))
        with pytest.raises(ListenFailed, match="cannot listen on"):
            await gateway.start()
    async with several() as api:
        for workers in (1, 2):
            other = Gateway(ProxyConfig(port=api.gateway.port, workers=workers))
            with pytest.raises(ListenFailed, match="cannot listen on"):
                await other.start()


@pytest.mark.heavy
async def test_it_can_be_started_again() -> None:
    async with several() as api:
        await api.route(ECHO)
        await api.ask_all("/a")
        served = await api.metric("stoa_http_requests_total{")
        await api.gateway.stop(1)
        await api.gateway.start()
        assert set(await api.ask_all("/a")) == {200}
        assert await api.metric("stoa_http_requests_total{") > served


def test_settings_that_no_worker_could_have_are_refused_before_any_starts() -> None:
    with pytest.raises(ConfigInvalid, match="STOA_MAX_CONNECTIONS is 100000000"):
        Gateway(ProxyConfig(workers=2, max_connections=100_000_000))
    with pytest.raises(ConfigInvalid, match="must be 1 in mode shadow"):
        ProxyConfig(workers=2, mode="shadow")
    for workers in (0, 129):
        with pytest.raises(ConfigInvalid, match="STOA_PROXY_WORKERS must be between 1 and 128"):
            ProxyConfig(workers=workers)


async def test_what_keeps_a_worker_from_listening_keeps_the_gateway_from_it(tmp_path: Path) -> None:
    tls = TlsFiles(certificate=tmp_path / "none.pem", key=tmp_path / "none.key")
    with pytest.raises(ListenFailed, match="certificates of the listener"):
        await Gateway(ProxyConfig(port=0, workers=2, tls=tls)).start()


@pytest.mark.heavy
async def test_figures_of_workers_are_asked_of_all(closed_url: str) -> None:
    async with several() as api:
        await api.route(closed_url, upstreams=[{"url": closed_url}, {"url": closed_url + "/x"}])
        await api.policy("circuit_breaker", {"failures": 1, "window": "1h", "reset": "1h"})
        await api.ask_all("/a")
        (breaker,) = await api.administer("GET", "/admin/circuit-breakers")
        assert breaker["state"] == "open"
        assert breaker["open_count"] == 2
        stats = await api.administer("GET", "/admin/circuit-breaker/stats")
        assert (stats["state"], stats["open_count"]) == ("open", 2)
        name = breaker["name"].replace(" ", "%20").replace("/", "%2F")
        reset = await api.administer("POST", f"/admin/circuit-breakers/{name}/reset")
        assert reset["previous_state"] == "open"
        (breaker,) = await api.administer("GET", "/admin/circuit-breakers")
        assert breaker["state"] == "closed"
        backends = await api.administer("GET", "/admin/backends")
        assert len(backends) == 2
        assert sum(one["selections"] for one in backends) > 0


@pytest.mark.heavy
async def test_a_request_is_traced_by_a_worker() -> None:
    async with several() as api:
        await api.route(ECHO)
        trace = {"method": "GET", "target": "/a", "host": "x", "send": True}
        found = await api.administer("POST", "/admin/trace", trace)
        assert (found["route"]["id"], found["answer"]["status"]) == ("r1", 200)


@pytest.mark.heavy
async def test_rules_for_backends_hold_in_all_workers(upstream: Upstream) -> None:
    async with several() as api:
        await api.route(upstream.url)
        assert set(await api.ask_all("/a")) == {200}
        await api.gateway.update_backends(allow=())
        assert set(await api.ask_all("/a")) == {502}
        kill((await api.pids())[0], signal.SIGKILL)
        await until(api.are_listening)
        assert set(await api.ask_all("/a")) == {502}, "a new worker does not have the rules"
        await api.gateway.update_backends(allow=LOOPBACK)
        assert set(await api.ask_all("/a")) == {200}


@pytest.mark.heavy
async def test_backend_credentials_and_withheld_policies_reach_workers(
    upstream: Upstream, tmp_path: Path
) -> None:
    auth = {"in": "header", "name": "X-Secret", "value": "s3"}
    edits = {"request": {"set": {"X-Set": "1"}}}
    async with several(state_dir=str(tmp_path)) as api:
        await api.route(upstream.url, backend_auth=auth)
        await api.put("policies", policy_body("p", "r1", "headers", edits))
        assert set(await api.ask_all("/a")) == {200}
        assert {tuple(seen.all("X-Secret") + seen.all("X-Set")) for seen in upstream.seen} == {
            ("s3", "1")
        }
    async with several(state_dir=str(tmp_path)) as api:
        assert set(await api.ask_all("/a")) == {503}


async def test_one_worker_is_this_process() -> None:
    async with running(workers=1) as api:
        assert (await api.admin("GET", "/admin/workers")).status == 404
        assert "stoa_workers" not in await (await api.get("/metrics")).text()


async def test_a_sidecar_decides_and_counts_in_all_workers() -> None:
    async with several(mode="sidecar") as api:
        await api.route("https://backend.test")
        await api.policy("rate_limit", {"requests": 30, "window": "1h", "by": "tenant"})
        assert await count_allowed(api, "/authz/a", 48) == 30
        assert await api.metric("stoa_authz_decisions_total{") == 48
        assert await api.metric("stoa_api_request_duration_seconds_count{") == 48
        assert all(one["requests"] for one in await api.workers())


async def test_several_processes_serve_over_the_fast_engine() -> None:
    async with several(engine="fast") as api:
        await api.route(ECHO)
        await api.policy("quota", {"requests": 30, "period": "month", "by": "ip"})
        assert await count_allowed(api, "/a", 48) == 30
        assert await api.metric("stoa_api_request_duration_seconds_count{") == 48
        (_, other) = await api.pids()
        kill(other, signal.SIGTERM)

        async def is_replaced() -> bool:
            return other not in await api.pids() and await api.are_listening()

        await until(is_replaced)
        assert set(await api.ask_all("/a")) == {429}

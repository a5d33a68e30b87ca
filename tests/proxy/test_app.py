"""Starting, stopping, settings, and what the listener itself refuses."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from stoa_proxy.__main__ import main, with_state_dir
from stoa_proxy.app import Gateway
from stoa_proxy.config import VARIABLES, ProxyConfig, config_from_env, unknown_variables
from stoa_proxy.control_plane_config import start_warnings
from stoa_proxy.errors import ConfigInvalid, ListenFailed

from tests.proxy.conftest import Api, Upstream, running


async def raw_exchange(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(30):
        found = await reader.read()
    writer.close()
    await writer.wait_closed()
    return found


async def test_health_and_ready_are_served_on_the_gateway_listener(api: Api) -> None:
    assert await (await api.get("/health")).text() == "OK"
    assert (await api.get("/ready")).status == 200
    assert (await api.send("POST", "/health")).status == 405


async def test_only_the_given_address_is_bound(api: Api) -> None:
    with pytest.raises(OSError, match="onnect"):
        await asyncio.open_connection("127.0.0.2", api.gateway.port)


async def test_a_request_in_flight_is_answered_while_the_gateway_stops(
    api: Api, upstream: Upstream
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def wait(request: web.BaseRequest) -> web.StreamResponse:
        arrived.set()
        await go_on.wait()
        return web.Response()

    upstream.answer = wait
    await api.route(upstream.url)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    await arrived.wait()
    stopping = asyncio.create_task(api.gateway.stop(60))
    await asyncio.sleep(0)
    go_on.set()
    async with asyncio.timeout(30):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await stopping
    writer.close()
    await writer.wait_closed()


async def test_a_port_in_use_is_named(api: Api) -> None:
    second = Gateway(ProxyConfig(port=api.gateway.port))
    with pytest.raises(ListenFailed, match=rf"127\.0\.0\.1:{api.gateway.port}"):
        await second.start()


async def test_a_gateway_keeps_its_state_over_a_stop(upstream: Upstream) -> None:
    gateway = Gateway(ProxyConfig(port=0))
    await gateway.start()
    await gateway.stop()
    await gateway.stop()
    with pytest.raises(RuntimeError):
        _ = gateway.port
    await gateway.start()
    assert gateway.base_url == f"http://127.0.0.1:{gateway.port}"
    await gateway.stop()


async def test_stopping_waits_for_a_request_and_ends_a_stream_that_never_ends(
    upstream: Upstream,
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path == "/stream":
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"x")
            await asyncio.Event().wait()
        arrived.set()
        await go_on.wait()
        return web.Response(text="finished")

    upstream.answer = answer
    async with running() as api:
        await api.route(upstream.url)
        stream = await api.session.get(api.gateway.base_url + "/a/stream")
        assert await stream.content.readany() == b"x"
        slow = asyncio.create_task(api.get("/a/slow"))
        await arrived.wait()
        stopping = asyncio.create_task(api.gateway.stop(2.0))
        go_on.set()
        assert await (await slow).text() == "finished"
        async with asyncio.timeout(30):
            await stopping
        with pytest.raises(aiohttp.ClientError):
            await stream.content.read()
        stream.close()


async def test_a_request_that_is_ended_by_a_stop_is_no_fault_of_ours(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    arrived = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    upstream.answer = answer
    async with running() as api:
        await api.route(upstream.url)
        waiting = asyncio.create_task(api.get("/a"))
        await arrived.wait()
        await api.gateway.stop(0.05)
        with pytest.raises(aiohttp.ClientError):
            await waiting
    assert not [one for one in caplog.records if one.exc_info]


@pytest.mark.parametrize(
    "head",
    [
        (
            b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n folded\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx",
        b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n",
    ],
)  # fmt: skip
async def test_framing_that_two_readers_could_read_differently_is_refused(
    api: Api, upstream: Upstream, head: bytes
) -> None:
    await api.route(upstream.url)
    answer = await raw_exchange(api.gateway.port, head)
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert b"application/problem+json" in answer
    assert upstream.seen == []


async def test_repeated_headers_are_all_forwarded_whatever_their_spelling(
    api: Api, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await raw_exchange(
        api.gateway.port,
        b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: 2\r\nConnection: close\r\n\r\n",
    )
    assert upstream.seen[0].all("X-A") == ["1", "2"]


async def test_a_client_that_waits_for_leave_to_send_gets_it(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
    writer.write(
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
        b"Connection: close\r\n\r\n"
    )
    async with asyncio.timeout(30):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()
    assert upstream.seen[0].body == b"hi"
    assert upstream.seen[0].all("Expect") == []


async def test_a_client_that_goes_away_ends_the_call_upstream(api: Api, upstream: Upstream) -> None:
    gone = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        assert request.transport is not None
        while not request.transport.is_closing():
            await asyncio.sleep(0)
        gone.set()
        return response

    upstream.answer = answer
    await api.route(upstream.url)
    stream = await api.session.get(api.gateway.base_url + "/a")
    assert await stream.content.readany() == b"x"
    stream.close()
    async with asyncio.timeout(30):
        await gone.wait()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STOA_PORT", "http"),
        ("STOA_PORT", "70000"),
        ("STOA_BACKENDS_ALLOW", "10.0.0.0/8,nonsense"),
        ("STOA_BACKENDS_DENY", "10.0.0.1/8"),
        ("STOA_ENVIRONMENT", "live"),
        ("STOA_ADMIN_API_TOKEN", "two words"),
        ("STOA_HOST", "a b"),
        ("STOA_DRAIN_SECONDS", "-1"),
        ("STOA_GATEWAY_MODE", "edge_mcp"),
        ("STOA_GATEWAY_MODE", "nonsense"),
        ("STOA_CONTROL_PLANE_URL", "ftp://cp.test"),
        ("STOA_CONTROL_PLANE_URL", "cp.test:8000"),
        ("STOA_CONTROL_PLANE_URL", "http://"),
        ("STOA_CONTROL_PLANE_URL", "http://user:s3cret@cp.test"),
        ("STOA_CONTROL_PLANE_URL", "http://cp.test/?x"),
        ("STOA_CONTROL_PLANE_URL", "http://[::1"),
        ("STOA_CONTROL_PLANE_API_KEY", "two words"),
        ("STOA_CONTROL_PLANE_API_KEY", "clé"),
        ("STOA_ADVERTISE_URL", "edge:8080"),
        ("STOA_HEARTBEAT_INTERVAL_SECS", "0"),
        ("STOA_HEARTBEAT_INTERVAL_SECS", "nan"),
        ("STOA_ROUTE_RELOAD_INTERVAL_SECS", "0"),
        ("STOA_ROUTE_RELOAD_INTERVAL_SECS", "999999"),
        ("STOA_ROUTE_RELOAD_ENABLED", "perhaps"),
        ("STOA_INSTANCE_NAME", "x" * 256),
        ("STOA_LOG_LEVEL", "loud"),
        ("STOA_KEYCLOAK_URL", "kc"),
        ("STOA_KEYCLOAK_URL", "http://user:s3cret@kc"),
        ("STOA_KEYCLOAK_INTERNAL_URL", "http://kc:8080"),
    ],
)
def test_a_setting_that_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigInvalid, match=name) as raised:
        config_from_env({name: value})
    assert "s3cret" not in str(raised.value)


def test_settings_are_read_and_the_token_is_never_shown() -> None:
    config = config_from_env(
        {
            "STOA_ADMIN_API_TOKEN": " 12345\n",
            "STOA_BACKENDS_ALLOW": "127.0.0.0/8, 10.0.0.0/8",
            "STOA_ENVIRONMENT": "PRODUCTION",
            "STOA_PORT": "",
        }
    )
    assert config.admin_api_token == "12345"
    assert config.backends_allow == ("127.0.0.0/8", "10.0.0.0/8")
    assert (config.environment, config.port, config.host) == ("prod", 8080, "127.0.0.1")
    assert "12345" not in repr(config)


class Asked(dict[str, str]):
    """An environment that notes which variables it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return default


def test_all_variables_that_are_read_are_known() -> None:
    asked = Asked()
    config_from_env(asked)
    assert {name for name in asked.names if not name.startswith("OTEL_")} == VARIABLES


JOINED = {"STOA_CONTROL_PLANE_URL": "http://cp", "STOA_CONTROL_PLANE_API_KEY": "gw_dev_1"}


def test_variables_without_an_effect_are_named_and_no_others() -> None:
    env = dict.fromkeys(VARIABLES, "1") | JOINED | {
        "STOA_CONTROL_PLANE_API_KEY_FILE": "",
        "STOA_MTLS_ENABLED": "true", "STOA_AUTO_REGISTER": "true",
        "STOA_QUOTA_ENABLED": "", "STOA_GITOPS_STATE": "/s", "STOA_GIT_TOKEN_FILE": "/t",
        "PATH": "/bin", "STOAX": "1",
    }  # fmt: skip
    assert unknown_variables(env) == ["STOA_AUTO_REGISTER", "STOA_MTLS_ENABLED"]


def test_what_is_for_a_control_plane_has_no_effect_without_one() -> None:
    env = {"STOA_ADVERTISE_URL": "http://x", "STOA_INSTANCE_NAME": "x", "STOA_PORT": "1"}
    assert unknown_variables(env) == ["STOA_ADVERTISE_URL", "STOA_INSTANCE_NAME"]
    assert unknown_variables({**env, **JOINED}) == []


@pytest.mark.parametrize("missing", JOINED)
@pytest.mark.parametrize("value", ["", "  \n"])
def test_without_url_or_key_a_gateway_is_standalone_and_says_so(missing: str, value: str) -> None:
    env = {**JOINED, missing: value}
    assert config_from_env(env).control_plane is None
    (warning,) = start_warnings(env)
    assert "standalone" in warning
    assert missing in warning


def test_a_gateway_that_nobody_wanted_to_register_says_nothing() -> None:
    assert start_warnings({}) == []
    assert start_warnings(JOINED) == []


def test_a_key_in_a_file_wins_and_one_without_a_key_is_no_key(tmp_path: Path) -> None:
    file = tmp_path / "key"
    env = {**JOINED, "STOA_CONTROL_PLANE_API_KEY_FILE": str(file)}
    assert config_from_env(env).control_plane is None
    assert "API_KEY_FILE" in start_warnings(env)[0]
    file.write_text("gw_dev_2\n")
    config = config_from_env(env)
    assert config.control_plane is not None
    assert config.control_plane.key is None
    assert "both set" in start_warnings(env)[0]
    Gateway(config)
    file.write_text("two keys")
    with pytest.raises(ConfigInvalid, match="API_KEY_FILE"):
        Gateway(config)


def test_the_key_is_never_shown() -> None:
    assert "gw_dev_1" not in repr(config_from_env(JOINED))


def test_what_a_control_plane_cannot_know_is_said() -> None:
    env = {**JOINED, "STOA_KEYCLOAK_URL": "http://kc", "STOA_HEARTBEAT_INTERVAL_SECS": "90"}
    (slow,) = start_warnings(env)
    assert "OFFLINE" in slow


def test_two_variables_are_enough_for_a_table_on_disk(tmp_path: Path) -> None:
    config = config_from_env({**JOINED, "STOA_PORT": "8081"})
    env = {"XDG_STATE_HOME": str(tmp_path)}
    assert with_state_dir(config, env).state_dir == str(tmp_path / "stoa-gateway" / "8081")
    assert with_state_dir(config, {"HOME": "/h"}).state_dir == "/h/.local/state/stoa-gateway/8081"
    assert with_state_dir(config, {}).state_dir is None
    assert with_state_dir(config_from_env({}), env).state_dir is None
    kept = config_from_env({**JOINED, "STOA_STATE_DIR": "/s"})
    assert with_state_dir(kept, env).state_dir == "/s"


async def start_process(**env: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stoa_proxy",
        env={**os.environ, **env},
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_module_serves_until_sigterm() -> None:
    process = await start_process(
        STOA_PORT="0", STOA_ADMIN_API_TOKEN="s3cret", STOA_INSTANCE_NAME="x"
    )
    assert process.stderr is not None
    async with asyncio.timeout(30):
        warning = (await process.stderr.readline()).decode()
        assert "level=WARNING" in warning
        assert "without an effect on this gateway: STOA_INSTANCE_NAME" in warning
        line = (await process.stderr.readline()).decode()
        url = line.partition("url=")[2].split()[0]
        async with aiohttp.ClientSession() as session, session.get(url + "/health") as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        rest = (await process.stderr.read()).decode()
        assert await process.wait() == 0
    assert "s3cret" not in line + rest


async def test_the_module_says_why_it_cannot_start(api: Api) -> None:
    process = await start_process(STOA_PORT=str(api.gateway.port))
    async with asyncio.timeout(30):
        _, stderr = await process.communicate()
    assert process.returncode == 1
    shown = stderr.decode()
    assert f"cannot listen on 127.0.0.1:{api.gateway.port}" in shown
    assert "STOA_HOST and STOA_PORT choose another" in shown
    assert "Traceback" not in shown


async def test_no_secret_gets_into_the_log(
    api: Api, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="stoa_proxy")
    auth: Any = {"in": "header", "name": "X-Backend-Key", "value": "sekret"}
    await api.route(upstream.url, backend_auth=auth)
    await api.policy("api_key", {"in": "query", "name": "key"})
    await api.consumer("k1-secret")
    assert (await api.get("/a?key=k1-secret")).status == 200
    assert any(record.name == "stoa_proxy.access" for record in caplog.records)
    text = json.dumps([record.getMessage() for record in caplog.records])
    assert not [one for one in ("sekret", "k1-secret", "admin-token-1") if one in text]


async def test_what_is_cut_off_has_no_second_term(upstream: Upstream) -> None:
    arrived = asyncio.Event()

    async def hang(request: web.BaseRequest) -> web.StreamResponse:
        arrived.set()
        await asyncio.Event().wait()
        return web.Response()

    upstream.answer = hang
    async with running() as api:
        await api.route(upstream.url)
        call = asyncio.create_task(api.get("/a"))
        await arrived.wait()
        # A second term would end after six seconds; the rest is for machines that are busy.
        async with asyncio.timeout(5.8):
            await api.gateway.stop(3.0)
        with pytest.raises(aiohttp.ClientError):
            await call


def test_ctrl_c_while_the_gateway_starts_is_an_exit_code_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def start(_: Gateway) -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(30)

    monkeypatch.setattr(Gateway, "start", start)
    assert main([]) == 130

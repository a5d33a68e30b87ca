"""The data plane as a process with STOA's two documented variables."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from stoa_proxy.control_plane.client import ControlPlaneClient
from stoa_proxy.control_plane.gateway_key import GatewayKey
from stoa_proxy.control_plane_config import ControlPlaneConfig
from stoa_proxy.engines.complete.upstream.resolver import AddressInfo, look_up
from stoa_proxy.errors import ConfigInvalid, ControlPlaneFailed

from tests.proxy.conftest import FakeClock, route_body
from tests.proxy.control_plane.double import KEY, ControlPlane, serving

TLS = Path(__file__).parents[2] / "unit" / "adapter_sdk" / "data"


class Process:
    """`python -m stoa_proxy`, once it listens: its address and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log = ""
        self.url = ""

    async def until_said(self, words: str) -> None:
        assert self.process.stderr is not None
        async with asyncio.timeout(30):
            while words not in self.log:
                line = await self.process.stderr.readline()
                assert line, self.log
                self.log += line.decode()

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def end(self, number: signal.Signals) -> int:
        assert self.process.stderr is not None
        self.process.send_signal(number)
        async with asyncio.timeout(30):
            self.log += (await self.process.stderr.read()).decode()
            return await self.process.wait()


@asynccontextmanager
async def gateway(**env: str) -> AsyncIterator[Process]:
    process = Process(
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stoa_proxy",
            env={**os.environ, "STOA_PORT": "0", **env}, stderr=asyncio.subprocess.PIPE,
        )
    )  # fmt: skip
    try:
        await process.until_said("listening url=")
        process.url = process.log.partition("listening url=")[2].split()[0]
        yield process
    finally:
        if process.process.returncode is None:
            process.process.kill()
            await process.process.wait()


async def test_two_variables_are_enough_and_a_killed_gateway_serves_its_last_table(
    tmp_path: Path, closed_url: str
) -> None:
    plane = ControlPlane()
    plane.publish(("apis", route_body("builtin:echo")))
    env = {
        "STOA_CONTROL_PLANE_URL": f"{closed_url}/", "STOA_CONTROL_PLANE_API_KEY": KEY,
        "XDG_STATE_HOME": str(tmp_path),
    }  # fmt: skip
    async with serving(plane, int(closed_url.rpartition(":")[2])):
        async with gateway(**env) as first:
            await plane.until(lambda: bool(plane.acks) and bool(plane.beats))
            assert (await first.get("/a"))[0] == 200
            assert await first.get("/ready") == (200, "READY")
            await first.until_said("registered name=")
            await plane.until(lambda: any(tmp_path.rglob("gateway-table.jsonl")))
            await first.end(signal.SIGKILL)
        assert plane.members, "a killed one says nothing"
        assert KEY not in first.log
    async with gateway(**env) as second:
        assert (await second.get("/a"))[0] == 200
        assert await second.get("/ready") == (503, "NOT READY: Control Plane unreachable")
        assert (await second.get("/health"))[0] == 200
        await second.until_said("registration failed")
        assert await second.end(signal.SIGTERM) == 0
    assert KEY not in second.log
    assert plane.of("register")[0].body["hostname"]


async def test_the_end_of_the_process_is_said(tmp_path: Path) -> None:
    async with serving(ControlPlane()) as plane:
        env = {"STOA_CONTROL_PLANE_URL": plane.url, "STOA_CONTROL_PLANE_API_KEY": KEY}
        env |= {"STOA_STATE_DIR": str(tmp_path), "STOA_LOG_LEVEL": "DEBUG"}
        async with gateway(**env) as process:
            await plane.until(lambda: bool(plane.beats))
            await process.until_said("level=DEBUG logger=stoa_proxy.control_plane heartbeat sent")
            assert await process.end(signal.SIGTERM) == 0
        assert plane.members == {}


async def test_a_blank_key_is_standalone_with_a_warning() -> None:
    env = {"STOA_CONTROL_PLANE_URL": "http://127.0.0.1:1", "STOA_CONTROL_PLANE_API_KEY": " "}
    async with gateway(**env) as process:
        assert await process.get("/ready") == (200, "READY")
        assert "level=WARNING" in process.log
        assert "standalone, nothing is registered: STOA_CONTROL_PLANE_API_KEY" in process.log


async def test_an_interval_of_zero_is_a_message_and_no_crash() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stoa_proxy", stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "STOA_HEARTBEAT_INTERVAL_SECS": "0"},
    )  # fmt: skip
    _, log = await process.communicate()
    assert process.returncode == 1
    assert "STOA_HEARTBEAT_INTERVAL_SECS must be between 1 and 3600" in log.decode()
    assert "Traceback" not in log.decode()


@asynccontextmanager
async def tls_plane() -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem", TLS / "server.key.pem")
    runner = web.ServerRunner(web.Server(_answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    return web.json_response({})


def loopback(host: str, family: socket.AddressFamily) -> list[AddressInfo]:
    """Find every name here: the certificate is for one."""
    return look_up("127.0.0.1", family)


async def ask(url: str, ca_file: str | None) -> int:
    config = ControlPlaneConfig(url=url, key=KEY, ca_file=ca_file)
    client = ControlPlaneClient(config, GatewayKey(config), FakeClock(), "test", loopback)
    await client.open()
    try:
        return (await client.call("GET", "/")).status
    finally:
        await client.close()


async def test_a_certificate_that_nobody_vouches_for_gets_no_key() -> None:
    async with tls_plane() as url:
        with pytest.raises(ControlPlaneFailed, match="certificate"):
            await ask(url, None)


async def test_a_certificate_for_another_name_gets_no_key() -> None:
    async with tls_plane() as url:
        with pytest.raises(ControlPlaneFailed, match="certificate"):
            await ask(url, str(TLS / "ca.pem"))


async def test_a_private_authority_is_trusted_where_its_file_is_given() -> None:
    async with tls_plane() as url:
        named = url.replace("127.0.0.1", "gateway.internal")
        assert await ask(named, str(TLS / "ca.pem")) == 200


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_file_without_a_certificate_ends_the_start(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    config = ControlPlaneConfig(url="https://cp.test", key=KEY, ca_file=str(file))
    with pytest.raises(ConfigInvalid, match="STOA_CONTROL_PLANE_CA_FILE"):
        ControlPlaneClient(config, GatewayKey(config), FakeClock(), agent="test")


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(ControlPlane()) as plane:
        assert await ask(plane.url, None) == 404

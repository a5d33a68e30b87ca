"""Mode `shadow` on the real engines: mirrored requests in, a proposal for a person out."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate
from stoa_proxy.config import config_from_env
from stoa_proxy.errors import ConfigInvalid

from tests.proxy.conftest import Api, Upstream, running

ROOT = Path(__file__).parents[3]
HOST = {"Host": "api.acme.test"}


@pytest.fixture
async def shadow(tmp_path: Path) -> AsyncIterator[Api]:
    async with running(mode="shadow", state_dir=str(tmp_path), shadow_min_requests=4) as api:
        yield api


async def mirror(api: Api, times: int = 3) -> None:
    for number in range(times):
        await api.get(f"/orders/{number}?page={number}", HOST)
        body = {**HOST, "Content-Type": "application/json", "Authorization": "Bearer s3cr3t"}
        await api.send("POST", "/orders", body, data=b'{"name": "Alice"}')


async def read(api: Api, path: str) -> Any:
    answer = await api.admin("GET", f"/admin/shadow/{path}")
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_nothing_is_answered_in_an_apis_stead(shadow: Api, upstream: Upstream) -> None:
    await shadow.route(upstream.url, "/orders")
    await shadow.policy("mock", {"status": 200, "body": "pretended"})
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        answer = await shadow.send(method, "/orders/1", HOST, data=b"x" * 1000)
        assert (answer.status, await answer.text()) == (204, "")
    assert not upstream.seen
    assert (await shadow.get("/anything/../else", HOST)).status == 204


async def test_its_own_paths_are_those_of_every_gateway(shadow: Api) -> None:
    for path in ("/health", "/ready", "/metrics"):
        assert (await shadow.get(path)).status == 200
    assert (await shadow.get("/admin/shadow/status")).status == 401
    assert (await shadow.admin("GET", "/admin/shadow/nothing")).status == 404
    assert (await shadow.admin("POST", "/admin/shadow/status")).status == 404


async def test_the_status_tells_what_was_learned(shadow: Api) -> None:
    assert await read(shadow, "status") == {
        "transactions_captured": 0, "patterns_detected": 0, "uacs_generated": 0,
        "min_requests_threshold": 4, "ready_for_generation": False, "ignored": 0, "hosts": {},
    }  # fmt: skip
    await mirror(shadow)
    await shadow.get("/a/../b", HOST)
    found = await read(shadow, "status")
    assert (found["transactions_captured"], found["ignored"]) == (6, 1)
    assert found["ready_for_generation"]
    assert found["hosts"] == {"api.acme.test": 6}
    text = await (await shadow.get("/metrics")).text()
    assert 'stoa_shadow_requests_total{result="learned"} 6' in text


async def test_too_little_is_no_proposal(shadow: Api) -> None:
    await mirror(shadow, 1)
    answer = await shadow.admin("POST", "/admin/shadow/generate")
    assert await answer.json() == {"status": "insufficient_data"}
    assert await read(shadow, "proposals") == []
    assert (await shadow.admin("GET", "/admin/shadow/proposals/x/api.yaml")).status == 404


async def test_a_proposal_is_shown_and_written_for_its_owner_alone(
    shadow: Api, tmp_path: Path
) -> None:
    await mirror(shadow)
    answer = await shadow.admin("POST", "/admin/shadow/generate")
    assert await answer.json() == {
        "status": "generated", "api_id": "api-acme-test", "proposals": ["api-acme-test"],
    }  # fmt: skip
    (summary,) = await read(shadow, "proposals")
    assert (summary["name"], summary["endpoints"]) == ("api-acme-test", 2)
    document = await read(shadow, "proposals/api-acme-test/openapi.json")
    validate(document)
    assert set(document["paths"]) == {"/orders", "/orders/{orderId}"}
    folder = tmp_path / "proposals" / "tenants" / "default" / "apis" / "api-acme-test"
    assert json.loads((folder / "openapi.json").read_text()) == document
    shown = await shadow.admin("GET", "/admin/shadow/proposals/api-acme-test/api.yaml")
    assert (folder / "api.yaml").read_text() == await shown.text()
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "s3cr3t" not in file.read_text()
        assert "Alice" not in file.read_text()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_proposals_are_valid_in_a_catalog(tmp_path: Path) -> None:
    catalog, state = tmp_path / "catalog", tmp_path / "state"
    shutil.copytree(ROOT / "catalog-example", catalog)
    settings: dict[str, Any] = {"upstream_url": "http://10.0.0.1:8080", "tenant_id": "acme"}
    hosts = ("api.acme.test", "1.2.3.4", "a_b.test", "x" * 60 + ".test")
    async with running(
        mode="shadow", state_dir=str(state), shadow_min_requests=1, **settings
    ) as api:
        for number in range(3 * len(hosts)):
            host = {"Host": hosts[number % len(hosts)]}
            await api.get(f"/orders/{number}?page=1", host)
            await api.send("POST", "/orders", {**host, "X-API-Key": "k"}, data=b"x")
        answer = await api.admin("POST", "/admin/shadow/generate")
        assert len((await answer.json())["proposals"]) == len(hosts)
    shutil.copytree(state / "proposals", catalog, dirs_exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stoa_gitops", "validate", "--catalog", str(catalog), "--strict",
        "--output", "json", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def test_described_requests_teach_statuses(shadow: Api) -> None:
    described = [
        {"host": "api.acme.test:443", "method": "GET", "path": "/orders/7?page=2", "status": status,
         "response_content_type": "application/json", "credential": "api_key"}
        for status in (200, 200, 200, 404, 503)
    ]  # fmt: skip
    odd = [
        {"host": "a b", "method": "GET", "path": "/x"},
        {"host": "h", "method": "GET", "path": "x"},
    ]
    body = {"observations": [*described, *odd]}
    answer = await shadow.admin("POST", "/admin/shadow/observations", body)
    assert await answer.json() == {"observed": 4, "ignored": 3}
    document = await read(shadow, "proposals/api-acme-test/openapi.json")
    validate(document)
    operation = document["paths"]["/orders/{orderId}"]["get"]
    assert set(operation["responses"]) == {"200", "503"}
    assert operation["security"] == [{"api_key": []}]


@pytest.mark.parametrize(
    "body",
    [{}, {"observations": 1}, {"observations": [1]}, {"observations": [{"host": "h"}]},
     {"observations": [{"host": "h", "method": "GET", "path": "/", "body": "secret"}]}],
)  # fmt: skip
async def test_what_describes_no_request_is_refused(shadow: Api, body: Any) -> None:
    answer = await shadow.admin("POST", "/admin/shadow/observations", body)
    assert answer.status == (200 if body == {} else 422)
    assert (await read(shadow, "status"))["transactions_captured"] == 0


async def test_what_was_learned_outlives_the_process(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"mode": "shadow", "state_dir": str(tmp_path)}
    for expected in (6, 12):
        async with running(**settings, shadow_min_requests=1) as api:
            await mirror(api)
            assert (await read(api, "status"))["transactions_captured"] == expected
    file = tmp_path / "shadow-learned.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "s3cr3t" not in file.read_text()


async def test_a_file_of_somebody_else_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "shadow-learned.json"
    file.write_text("{}")
    async with running(mode="shadow", state_dir=str(tmp_path)) as api:
        await mirror(api)
        assert (await read(api, "status"))["transactions_captured"] == 6
    assert "what was learned before is not used" in caplog.text
    assert file.read_text() == "{}"


async def test_one_host_is_forgotten_and_names_are_unique(shadow: Api) -> None:
    for host in ("a.b.test", "a-b.test"):
        for _ in range(4):
            await shadow.get("/x", {"Host": host})
    names = [one["name"] for one in await read(shadow, "proposals")]
    assert names == ["a-b-test", "a-b-test2"]
    assert (await shadow.admin("DELETE", "/admin/shadow/proposals/a-b-test")).status == 204
    assert [one["host"] for one in await read(shadow, "proposals")] == ["a.b.test"]
    assert (await shadow.admin("DELETE", "/admin/shadow/proposals/nobody")).status == 404


async def test_other_modes_learn_nothing() -> None:
    async with running() as api:
        assert (await api.admin("GET", "/admin/shadow/status")).status == 404


def test_settings_of_a_shadow() -> None:
    env = {"STOA_GATEWAY_MODE": "shadow", "STOA_MIN_REQUESTS_FOR_UAC": "7",
           "STOA_UPSTREAM_URL": "http://10.0.0.1:8080"}  # fmt: skip
    config = config_from_env(env)
    assert (config.mode, config.shadow_min_requests, config.port) == ("shadow", 7, 8080)
    with pytest.raises(ConfigInvalid, match="STOA_MIN_REQUESTS_FOR_UAC"):
        config_from_env({**env, "STOA_MIN_REQUESTS_FOR_UAC": "0"})

"""The table outlives the process, without a credential and without opening anything."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.admin.saved_table import parse, restore, serialise
from stoa_proxy.admin.store import Store
from stoa_proxy.app import Gateway
from stoa_proxy.config import ProxyConfig
from stoa_proxy.errors import TableUnusable
from stoa_proxy.table_file import FILE_NAME

from tests.proxy.conftest import LOOPBACK, TOKEN, Upstream, running

SECRETS = ("backend-s3cret", "caller-key", "sent-s3cret")


async def wait_for_table(folder: Path) -> bytes:
    async with asyncio.timeout(30):
        while not (folder / FILE_NAME).exists():
            await asyncio.sleep(0.02)
    return (folder / FILE_NAME).read_bytes()


async def test_a_restart_alone_changes_nothing_for_callers(
    tmp_path: Path, upstream: Upstream
) -> None:
    async with running(state_dir=str(tmp_path)) as before:
        await before.route(upstream.url, plans=[{"name": "gold", "per_minute": 100}])
        await before.policy("ip_filter", {"deny": ["192.0.2.0/24"]})
        await before.policy("mock", {"status": 299}, api_id="r2")
        await before.route(upstream.url, prefix="/b", id="r2", hosts=["h.test"])
        await before.consumer("caller-key", subscriptions=[{"api_id": "r1", "plan": "gold"}])
        views = [await (await before.admin("GET", f"/admin/{kind}")).json() for kind in KINDS]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    async with running(state_dir=str(tmp_path)) as after:
        assert (await after.get("/a", {"X-API-Key": "caller-key"})).status == 200
        assert (await after.get("/a", {"X-API-Key": "another"})).status == 401
        assert (await after.get("/b", {"Host": "h.test"})).status == 299
        assert [await (await after.admin("GET", f"/admin/{k}")).json() for k in KINDS] == views


KINDS = ("apis", "policies", "consumers")


async def test_a_crash_loses_little(tmp_path: Path, upstream: Upstream) -> None:
    async with running(state_dir=str(tmp_path)) as before:
        await before.route(upstream.url)
        content = await wait_for_table(tmp_path)
        assert parse(content)


async def test_no_credential_is_written_and_what_needs_one_is_503_until_it_comes(
    tmp_path: Path, upstream: Upstream
) -> None:
    auth = {"in": "header", "name": "X-Backend", "value": "backend-s3cret"}
    edits = {"request": {"set": {"X-Sent": "sent-s3cret"}}}
    async with running(state_dir=str(tmp_path)) as before:
        await before.route(upstream.url, backend_auth=auth)
        await before.route(upstream.url, prefix="/b", id="r2")
        await before.policy("headers", edits, api_id="r2")
        await before.policy("cors", {"origins": ["https://app.test"]}, api_id="r2")
        await before.route(upstream.url, prefix="/c", id="r3")
        await before.policy("headers", {"response": {"set": {"X-Seen": "1"}}}, api_id="r3")
        await before.consumer("caller-key")
    content = (tmp_path / FILE_NAME).read_text()
    assert not [secret for secret in SECRETS if secret in content]
    async with running(state_dir=str(tmp_path)) as after:
        assert [(await after.get(path)).status for path in ("/a", "/b", "/c")] == [503, 503, 200]
        asked = {"Origin": "https://app.test", "Access-Control-Request-Method": "GET"}
        assert (await after.send("OPTIONS", "/b", asked)).status == 503
        listed = await (await after.admin("GET", "/admin/apis")).json()
        assert listed[0]["backend_auth"]["value_set"] is False, "so that it shows as drift"
        policies = await (await after.admin("GET", "/admin/policies")).json()
        assert {"withheld": True} in [one["config"] for one in policies]
        await after.route(upstream.url, backend_auth=auth)
        await after.policy("headers", edits, api_id="r2")
        assert [(await after.get(path)).status for path in ("/a", "/b")] == [200, 200]
        assert upstream.seen[-1].all("X-Sent") == ["sent-s3cret"]


async def test_a_withheld_policy_may_also_go(tmp_path: Path, upstream: Upstream) -> None:
    async with running(state_dir=str(tmp_path)) as before:
        await before.route(upstream.url)
        await before.policy("headers", {"request": {"add": {"X": "y"}}})
    async with running(state_dir=str(tmp_path)) as after:
        assert (await after.get("/a")).status == 503
        await after.admin("DELETE", "/admin/policies/r1.headers")
        assert (await after.get("/a")).status == 200


def header(version: int) -> bytes:
    return b'{"stoa_proxy_table":%d}\n' % version


@pytest.mark.parametrize(
    ("content", "reason", "is_kept"),
    [
        (b"", "it is empty", False),
        (header(1), "it is not whole", False),
        (header(1) + b'{"apis":{}}\n{"sha256":"00"}\n', "it is not whole", False),
        (header(2), "it has version 2", True),
        (b"root:x:0:0\n", "no table of this gateway", True),
        (b"\x00\xff" * 50, "no table of this gateway", True),
        (b"[" * 100_000, "no table of this gateway", True),
    ],
)
async def test_what_is_no_whole_table_is_said_and_not_used(
    tmp_path: Path, content: bytes, reason: str, is_kept: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    async with running(state_dir=str(tmp_path)) as api:
        (line,) = [one for one in caplog.records if one.levelname == "WARNING"]
        assert "the saved table is not used" in line.getMessage()
        assert reason in line.getMessage()
        await api.route("http://127.0.0.1:1")
    assert (path.read_bytes() == content) is is_kept


async def test_a_file_that_others_may_write_and_a_link_are_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, target = tmp_path / FILE_NAME, tmp_path / "target"
    target.write_bytes(header(1))
    path.symlink_to(target)
    async with running(state_dir=str(tmp_path)):
        pass
    path.unlink()
    path.write_bytes(header(1))
    path.chmod(0o666)
    async with running(state_dir=str(tmp_path)):
        pass
    assert ["the saved table is not used" in one.getMessage() for one in caplog.records].count(
        True
    ) == 2
    assert target.read_bytes() == header(1)


async def test_a_folder_that_cannot_be_written_is_said_and_nothing_else_happens(
    tmp_path: Path, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    async with running(state_dir=str(tmp_path / "file" / "below")) as api:
        await api.route(upstream.url)
        assert (await api.get("/a")).status == 200
    assert "the table is not saved" in caplog.text


def parsers() -> Any:
    config = ProxyConfig(port=0, admin_api_token=TOKEN, backends_allow=LOOPBACK)
    return Gateway(config)._admin.parsers


ROUTE = {
    "id": "r1", "name": "n", "tenant_id": "acme", "path_prefix": "/a", "methods": [],
    "backend_url": "http://127.0.0.1:1", "spec_hash": "", "activated": True,
}  # fmt: skip


@pytest.mark.parametrize(
    "policy",
    [
        {"policy_type": "no_more", "config": {}},
        {"policy_type": "ip_filter", "config": {"deny": ["nonsense"]}},
        {"policy_type": "ip_filter", "config": 3},
    ],
)
def test_a_policy_that_cannot_be_read_again_holds_its_api(policy: dict[str, Any]) -> None:
    store = Store()
    values = {"id": "p1", "name": "n", "priority": 1, "api_id": "r1", **policy}
    problems = restore(store, [{"policies": values}, {"apis": ROUTE}], parsers())
    assert len(problems) == 1
    (refusing,) = store.table.api("r1").policies
    refusal = refusing.request_filter(None)  # type: ignore[arg-type]
    assert refusal is not None
    assert refusal.status == 503


def test_a_policy_that_names_no_api_makes_the_table_unusable() -> None:
    with pytest.raises(TableUnusable):
        restore(Store(), [{"policies": {"id": "p1"}}], parsers())


def test_a_route_that_is_not_allowed_any_more_is_left_out() -> None:
    store = Store()
    other = {**ROUTE, "id": "r2", "backend_url": "http://10.0.0.1"}
    problems = restore(store, [{"apis": ROUTE}, {"apis": other}, {"x": 1}], parsers())
    assert len(problems) == 2
    assert set(store.table.routes) == {"r1"}


@given(st.integers(0, 400))
def test_a_part_of_a_table_is_never_taken_for_the_whole(cut: int) -> None:
    store = Store()
    restore(store, [{"apis": {**ROUTE, "id": f"r{n}", "path_prefix": f"/{n}"}} for n in range(3)],
            parsers())  # fmt: skip
    content = b"".join(serialise(store))
    again = Store()
    restore(again, parse(content), parsers())
    assert again.table == store.table
    short = content[: len(content) - 2 - cut % (len(content) - 2)]
    with pytest.raises(TableUnusable):
        parse(short)
    position = cut % len(content)
    flipped = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
    with pytest.raises(TableUnusable):
        parse(flipped)
    assert json.loads(content.splitlines()[0]) == {"stoa_proxy_table": 1}

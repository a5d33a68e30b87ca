"""Errors of the embedded gateway, from a request to the control API and the command line."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stoa_gitops.cli.exits import Exit
from tests import children
from tests.children import environment
from tests.e2e.running import Running, running

ROOT = Path(__file__).resolve().parents[2]
SECRET = "hunter2-of-the-query"
TOKEN = "a-token-of-acme-that-stays-secret"
BROKEN = """\
apiVersion: gostoa.dev/v1alpha1
kind: API
metadata:
  name: broken
spec:
  displayName: Broken
  version: "1.0.0"
  backend:
    url: http://127.0.0.1:{port}
  routes:
    - path: /apis/{tenant}/broken
  policies: []
"""


def run(
    state: Path, *arguments: str, of: str = "snapshots", **variables: str
) -> subprocess.CompletedProcess[str]:
    words = ("stoa_gitops", of, *arguments, "--state", str(state))
    return children.run(*words, env=environment(**variables))


async def ask(process: Running, path: str, token: str, method: str = "GET") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(timeout=30, headers=headers) as client:
        return await client.request(method, process.control + path)


async def page(process: Running, query: str = "") -> Any:
    answer = await ask(process, f"/v1/snapshots{query}", process.control_token)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def a_tenant_sees_its_own_alone(process: Running, own: Any, folder: Path) -> None:
    """With its token, from where nothing but the address of the process is known."""
    answer = await ask(process, "/v1/snapshots", TOKEN)
    assert answer.json()["items"] == own
    refused = [("GET", "/v1/snapshots?tenant=demo"), ("GET", "/v1/status"), ("GET", "/v1/audit")]
    for method, path in (*refused, ("POST", "/v1/gateways/local/suspend")):
        assert (await ask(process, path, TOKEN, method)).status_code == 403
    file = folder / "token-of-acme"
    file.write_text(f"{TOKEN}\n")
    usage = (await ask(process, "/v1/usage", TOKEN)).json()["items"]
    assert {(one["tenantId"], one["apiId"]) for one in usage} == {("acme", own[0]["apiId"])}
    assert usage[0]["errors"] == usage[0]["requests"] >= 1
    assert (await ask(process, "/v1/usage?tenant=demo", TOKEN)).status_code == 403
    asked = ("--control", process.control, "--output", "json")
    named = {"STOA_CONTROL_TOKEN_FILE": str(file)}
    shown = run(folder / "none", *asked, **named)
    assert shown.returncode == Exit.OK, shown.stderr
    assert json.loads(shown.stdout)["items"] == own
    other = run(folder / "none", *asked, "--tenant", "demo", **named)
    assert (other.returncode, other.stdout) == (Exit.FAILED, "")
    assert "403: the token is of another tenant" in other.stderr
    wrong = run(folder / "none", *asked, STOA_CONTROL_TOKEN="a-token-of-nobody")
    assert (wrong.returncode, wrong.stdout) == (Exit.FAILED, "")
    assert TOKEN not in shown.stderr + other.stderr
    assert "a-token-of-nobody" not in wrong.stderr


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of loopback that refuses connections: bound, not listening."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


async def test_an_error_is_seen_from_outside_by_its_tenant_and_outlives_the_process(
    tmp_path: Path, closed_port: int
) -> None:
    catalog, state = tmp_path / "catalog", tmp_path / "state"
    shutil.copytree(ROOT / "catalog-example", catalog)
    gateway = catalog / "gateways/local.yaml"
    gateway.write_text(gateway.read_text() + "  backends:\n    allow: [127.0.0.0/8]\n")
    for tenant in ("acme", "demo"):
        folder = catalog / "tenants" / tenant / "apis/broken"
        folder.mkdir()
        text = BROKEN.replace("{tenant}", tenant).replace("{port}", str(closed_port))
        (folder / "api.yaml").write_text(text)
    tenants = tmp_path / "tenant-tokens"
    tenants.write_text(f"acme {hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    variables = {"ACME_MOBILE_KEY": "k", "STOA_CONTROL_TENANT_TOKENS_FILE": str(tenants)}
    async with running(catalog, state, **variables) as process:
        for tenant in ("acme", "demo"):
            path = f"/apis/{tenant}/broken/x?key={SECRET}"
            await process.answers(path, lambda answer: answer.status_code == 502)
        assert (await page(process, "?limit=1"))["next"] is not None
        (found,) = (await page(process, "?tenant=acme"))["items"]
        assert (found["tenantId"], found["failure"]) == ("acme", "unreachable")
        shown = run(state, "--tenant", "acme", "--output", "json")
        assert shown.returncode == Exit.OK, shown.stderr
        assert json.loads(shown.stdout)["items"] == [found]
        await a_tenant_sees_its_own_alone(process, [found], tmp_path)
        text = run(state).stdout
        assert "502  GET /apis/demo/broken/x?key=[redacted]" in text
        assert "no answer from a backend: unreachable" in text
        assert SECRET not in text + shown.stdout
        named = run(state, "--api", "demo/broken").stdout
        assert "  api      broken (" in named
        assert "acme" not in named
        assert run(state, "--tenant", "nobody").stdout == "No errors are known.\n"
        used = run(state, "--tenant", "demo", of="usage")
        assert used.returncode == Exit.OK, used.stderr
        head, row = used.stdout.splitlines()
        assert head.split()[:4] == ["TENANT", "API", "APPLICATION", "REQUESTS"]
        assert row.split()[:3] == ["demo", "broken", "-"]
        narrowed = run(state, "--api", "demo/broken", of="usage")
        assert narrowed.stdout == used.stdout
        assert run(state, "--api", "acme/orders", of="usage").stdout.startswith("Nothing was used")
        assert run(state, "--from", "soon", of="usage").returncode == Exit.USAGE
        assert run(state, "--limit", "501").returncode == Exit.USAGE
    page_of_files = (ROOT / "docs/operations.md").read_text()
    kept = [file.name for file in state.iterdir() if not file.name.endswith(("-wal", "-shm"))]
    assert [name for name in kept if f"| `{name}`" not in page_of_files] == []
    assert TOKEN not in process.log.read_text()
    assert SECRET.encode() not in (state / "gateway-snapshots.db").read_bytes()
    async with running(catalog, state, ACME_MOBILE_KEY="k") as process:
        assert [one["tenantId"] for one in (await page(process))["items"]] == ["demo", "acme"]
    for of in ("snapshots", "usage"):
        stopped = run(state, of=of)
        assert stopped.returncode == Exit.FAILED
        assert "no process runs here that could be asked: start `stoa-gitops" in stopped.stderr

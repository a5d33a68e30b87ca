"""A running process asked over HTTP and by commands, and what stays of it when it is gone."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.e2e.catalogs import CatalogFolder, upstream
from tests.e2e.gateways import TOKEN, data_plane, document
from tests.e2e.running import DEADLINE, Running, run_command, running, until

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas/output"
STATUS = Draft202012Validator(json.loads((SCHEMAS / "status.json").read_text()))
PLAN = Draft202012Validator(json.loads((SCHEMAS / "plan.json").read_text()))
ENV = {"GATEWAY_TOKEN": TOKEN}


class Control:
    """A client with the token of a running process."""

    def __init__(self, process: Running) -> None:
        self.process = process

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.process.control_token}"} | more.pop(
            "headers", {}
        )
        async with httpx.AsyncClient(base_url=self.process.control, timeout=30) as client:
            return await client.request(method, path, headers=headers, **more)

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def cycles(self, name: str = "local") -> int:
        return int((await self.get(f"/v1/gateways/{name}"))["cycles"])


@pytest.fixture
async def one() -> AsyncIterator[str]:
    async with upstream("one") as url:
        yield url


async def test_status_plan_audit_and_metrics_of_a_running_process(tmp_path: Path, one: str) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("demo", one)
    async with running(catalog.root, tmp_path / "state") as process:
        control = Control(process)
        status = await control.get("/v1/status")
        STATUS.validate(status)
        assert (status["source"], status["ready"], status["well"]) == ("process", True, True)
        page = await control.get("/v1/gateways")
        item = page["items"][0]
        assert (item["name"], item["type"], item["environment"]) == ("local", "stoa", "dev")
        assert (item["status"], item["bound"], page["next"]) == ("ONLINE", True, None)
        detail = await control.get("/v1/gateways/local")
        assert detail["objects"] == 1
        assert detail["lastCycle"]["outcomes"] == {"applied": 1}
        plan = await control.get("/v1/gateways/local/plan")
        PLAN.validate(plan)
        assert plan["verdict"] == "clean"
        audit = (await control.get("/v1/audit?gateway=local"))["items"]
        assert [(e["key"], e["action"], e["status"]) for e in audit] == [
            ("api/acme/demo", "create", "applied")
        ]
        metrics = (await control.ask("GET", "/metrics")).text
        assert 'action="create"' in metrics
        assert "stoa_gitops_cycle_duration_seconds_bucket" in metrics
        for secret in (process.control_token, process.admin_token):
            assert secret not in metrics + json.dumps([status, detail, plan, audit])


async def test_a_plan_over_http_is_fresh_and_writes_nothing(tmp_path: Path, one: str) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("demo", one)
    async with running(catalog.root, tmp_path / "state") as process:
        control = Control(process)
        assert (await control.ask("POST", "/v1/gateways/local/suspend")).status_code == 200
        catalog.api("second", one)

        async def planned() -> Any:
            plan = await control.get("/v1/gateways/local/plan")
            return plan if plan["summary"]["create"] else None

        plan = await until(planned, "the plan to show the new API")
        assert plan["gateways"][0]["changes"][0]["key"] == "api/acme/second"
        assert (await process.get("/apis/acme/second")).status_code == 404


@pytest.mark.heavy
async def test_suspended_survives_a_restart_and_resume_applies_what_waited(
    tmp_path: Path, one: str
) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("demo", one)
    state = tmp_path / "state"
    async with running(catalog.root, state) as process:
        control = Control(process)
        body = {"reason": "maintenance"}
        answer = await control.ask("POST", "/v1/gateways/local/suspend", json=body)
        assert answer.json()["suspended"] is True
        refused = await control.ask("POST", "/v1/gateways/local/reconcile")
        assert refused.status_code == 409
    catalog.api("second", one)
    async with running(catalog.root, state) as process:
        control = Control(process)
        assert (await control.get("/v1/gateways/local"))["suspended"] is True
        assert (await process.get("/apis/acme/second")).status_code == 404
        assert (await control.ask("POST", "/v1/gateways/local/resume")).status_code == 200
        await process.answers("/apis/acme/second", lambda r: r.text == "one")
        actions = [e["action"] for e in (await control.get("/v1/audit"))["items"]]
        assert actions.count("suspend") == actions.count("resume") == 1


async def test_reconcile_works_the_gateway_now(tmp_path: Path, one: str) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("demo", one)
    async with running(catalog.root, tmp_path / "state") as process:
        control = Control(process)
        admin = {"Authorization": f"Bearer {process.admin_token}"}
        routes = await process.admin("/apis")
        async with httpx.AsyncClient(timeout=30) as client:
            await client.delete(f"{process.gateway}/admin/apis/{routes[0]['id']}", headers=admin)
        answer = await control.ask("POST", "/v1/gateways/local/reconcile")
        assert answer.status_code == 202
        await process.answers("/apis/acme/demo", lambda r: r.text == "one")


async def test_a_webhook_shows_a_commit_long_before_the_poll(tmp_path: Path, one: str) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("demo", one)
    catalog.commit("first")
    url = f"file://{catalog.root}"
    async with running(
        url,
        tmp_path / "state",
        "--poll",
        "1h",
        "--interval",
        "1h",
        STOA_GIT_WEBHOOK_SECRET="a-secret",
    ) as process:
        assert (await process.get("/apis/acme/demo")).text == "one"
        catalog.api("second", one)
        catalog.commit("second")
        body = b'{"ref": "refs/heads/main"}'
        digest = hmac.new(b"a-secret", body, hashlib.sha256).hexdigest()
        async with httpx.AsyncClient(base_url=process.control, timeout=30) as client:
            path = "/v1/webhooks/git"
            forged = {"X-Hub-Signature-256": f"sha256={'0' * 64}"}
            assert (await client.post(path, content=body, headers=forged)).status_code == 401
            signed = {"X-Hub-Signature-256": f"sha256={digest}"}
            assert (await client.post(path, content=body, headers=signed)).status_code == 202
        await process.answers("/apis/acme/second", lambda r: r.text == "one")
        assert "a-secret" not in process.log.read_text()


@pytest.mark.heavy
async def test_the_token_survives_a_restart_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("demo", "http://backend.example.org")
    tokens = []
    for _ in range(2):
        async with running(catalog.root, tmp_path / "state") as process:
            tokens.append(process.control_token)
            assert process.control_token not in process.log.read_text()
    assert tokens[0] == tokens[1]
    assert stat.S_IMODE((tmp_path / "state/control-token").stat().st_mode) == 0o600
    variables = {"STOA_CONTROL_TOKEN": "a-given-token"}
    async with running(catalog.root, tmp_path / "state", **variables) as process:
        assert process.control_token == "a-given-token"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STOA_CONTROL_TOKEN", "a b"),
        ("STOA_GIT_WEBHOOK_SECRET", "short"),
        ("STOA_GIT_WEBHOOK_SECRET", ""),
    ],
)
async def test_a_setting_that_makes_no_sense_is_named_and_not_shown(
    tmp_path: Path, variable: str, value: str
) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    code, _, err = await run_command(
        "run", "--catalog", str(catalog.root), "--state", str(tmp_path / "s"), **{variable: value}
    )
    assert code == 64
    assert variable in err
    assert "Traceback" not in err
    assert "short" not in err


async def test_commands_ask_the_running_process_and_then_the_store(
    tmp_path: Path, one: str
) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("demo", one)
    state = ("--state", str(tmp_path / "state"))
    async with running(catalog.root, tmp_path / "state") as process:
        code, out, err = await run_command("status", *state)
        assert (code, err) == (0, "")
        assert f"at {process.control}: ready" in out
        assert "local  ONLINE" in out
        code, out, _ = await run_command("status", *state, "--output", "json")
        STATUS.validate(json.loads(out))
        code, out, _ = await run_command("gateways", "suspend", "local", *state, "--reason", "x")
        assert (code, out) == (0, "local is suspended\n")
        code, out, _ = await run_command("gateways", "list", *state)
        assert "suspended" in out
        code, _, err = await run_command("gateways", "show", "nope", *state)
        assert code == 64
        assert "there is: local" in err
        code, out, _ = await run_command("check", f"{process.control}/ready")
        assert (code, out) == (0, "")
        code, _, err = await run_command("gateways", "forget", "local", *state, "--yes")
        assert code == 64
        assert "remove its document first" in err
    code, out, _ = await run_command("status", *state)
    assert code == 1
    assert "No process runs here" in out
    assert "local  OFFLINE  stoa, dev" in out
    code, out, _ = await run_command("status", *state, "--output", "json")
    stored = json.loads(out)
    STATUS.validate(stored)
    assert (stored["source"], stored["items"][0]["suspended"]) == ("store", True)
    code, out, _ = await run_command("gateways", "resume", "local", *state)
    assert (code, out) == (0, "local is resumed\n")
    code, out, _ = await run_command("gateways", "show", "local", *state, "--output", "json")
    assert json.loads(out)["suspended"] is False


async def test_status_is_1_when_a_gateway_is_not_well(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    async with data_plane() as gone:
        url = gone.base_url
    catalog.write("gateways/local.yaml", document("local", url))
    catalog.api("demo", "http://backend.example.org")
    async with running(catalog.root, tmp_path / "state", **ENV):
        code, out, _ = await run_command("status", "--state", str(tmp_path / "state"))
    assert code == 1
    assert "local: GatewayReachable is False" in out


async def test_an_orphaned_gateway_is_shown_and_pruned_by_a_person(
    tmp_path: Path, one: str
) -> None:
    async with data_plane() as gateway:
        catalog = CatalogFolder(tmp_path / "c")
        catalog.write("gateways/edge.yaml", document("edge", gateway.base_url))
        catalog.api("demo", one, "  gateways: [edge]\n")
        catalog.commit("with edge")
        where = ("--catalog", str(catalog.root), "--state", str(tmp_path / "state"))
        code, out, err = await run_command("apply", *where, "--gateway", "edge", "--yes", **ENV)
        assert code == 0, out + err
        prune = ("gateways", "prune", "edge", *where, "--from", "HEAD")
        code, _, err = await run_command(*prune, "--yes", **ENV)
        assert code == 64
        assert "still in the catalog" in err
        (catalog.root / "gateways/edge.yaml").unlink()
        (catalog.root / "tenants/acme/apis/demo/api.yaml").unlink()
        async with running(catalog.root, tmp_path / "state", **ENV) as process:
            items = (await Control(process).get("/v1/gateways"))["items"]
            assert [(item["name"], item["bound"]) for item in items] == [
                ("edge", False), ("local", True),
            ]  # fmt: skip
        code, out, err = await run_command(*prune, **ENV)
        assert code == 64, "silence is not consent"
        assert re.search(r"- api +acme/demo", out)
        assert "--digest" not in out
        async with httpx.AsyncClient(timeout=30) as client:
            assert (await client.get(f"{gateway.base_url}/apis/acme/demo")).text == "one"
            code, out, err = await run_command(*prune, "--yes", **ENV)
            assert code == 0, out + err
            assert (await client.get(f"{gateway.base_url}/apis/acme/demo")).status_code == 404
        code, _, err = await run_command("gateways", "forget", "edge", *where[2:], "--yes")
        assert code == 64, "nothing is left to forget"


async def test_forgetting_leaves_the_objects_and_the_marks_find_them_again(
    tmp_path: Path, one: str
) -> None:
    async with data_plane() as gateway:
        catalog = CatalogFolder(tmp_path / "c")
        (catalog.root / "gateways/local.yaml").unlink()
        catalog.write("gateways/edge.yaml", document("edge", gateway.base_url))
        catalog.api("demo", one, "  gateways: [edge]\n")
        catalog.write(
            "tenants/acme/tenant.yaml",
            "apiVersion: gostoa.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\n"
            "spec: {displayName: Acme, gateways: [edge]}\n",
        )
        where = ("--catalog", str(catalog.root), "--state", str(tmp_path / "state"))
        await run_command("apply", *where, "--yes", **ENV)
        code, out, err = await run_command("gateways", "forget", "edge", *where[2:], "--yes")
        assert (code, out) == (0, "edge: 1 object forgotten\n"), err
        code, out, _ = await run_command("plan", *where, "--detailed-exitcode", **ENV)
        assert code == 0, out
        code, _, err = await run_command("gateways", "export", "edge", *where, **ENV)
        assert code == 1
        assert "Not supported by" in err


async def test_sigterm_drains_although_clients_hold_on(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("demo", "http://backend.example.org")
    async with running(catalog.root, tmp_path / "state") as process:
        port = int(process.control.rpartition(":")[2])
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        for _, writer in held:
            writer.write(b"POST /v1/webhooks/git HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n")
        process.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.process.wait(), DEADLINE) == 0
        for _, writer in held:
            writer.close()
    assert not (tmp_path / "state/runtime.json").exists()


async def test_paths_of_findings_are_seen_from_where_the_person_is(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "a/catalog")
    catalog.write("tenants/acme/apis/bad/api.yaml", "kind: API\nspec: [\n")
    code, out, _ = await run_command("validate", "--catalog", "a/catalog", cwd=tmp_path)
    assert code == 5
    assert "\na/catalog/tenants/acme/apis/bad/api.yaml:" in "\n" + out
    code, out, _ = await run_command("validate", "--catalog", "..", cwd=catalog.root / "tenants")
    assert "\n../tenants/acme/apis/bad/api.yaml:" in "\n" + out
    code, _, err = await run_command("plan", "--catalog", "a/catalog", cwd=tmp_path)
    assert "\na/catalog/tenants/acme/apis/bad/api.yaml:" in "\n" + err


LOADS = {
    "bash": "source /dev/stdin",
    # zsh needs its completion system first.
    "zsh": 'autoload -Uz compinit; compinit -u -D; eval "$(cat /dev/stdin)"',
    "fish": "source",  # it takes no /dev/stdin
}


@pytest.mark.parametrize("shell", LOADS)
async def test_a_completion_script_is_printed_and_loads_where_its_shell_is(shell: str) -> None:
    code, out, err = await run_command("completion", shell)
    assert (code, err) == (0, "")
    assert "prune" in out
    found = [f"{folder}/{shell}" for folder in os.get_exec_path() if Path(folder, shell).exists()]
    for path in found[:1]:
        done = subprocess.run(
            [path, "-c", LOADS[shell]], input=out, text=True, capture_output=True, timeout=300
        )
        assert (done.returncode, done.stderr) == (0, "")


async def test_bash_completes_commands_verbs_and_names_of_the_catalog(tmp_path: Path) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.write("gateways/kong-prod.yaml", "kind: GatewayInstance\n")
    _, out, _ = await run_command("completion", "bash")
    (tmp_path / "script").write_text(out)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/stoa-gitops"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stoa_gitops "$@"\n')
    program.chmod(0o755)

    def complete(*words: str) -> set[str]:
        line = " ".join(f"'{word}'" for word in words)
        text = (
            f"source {tmp_path}/script; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
            "_shtab_stoa_gitops; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(
            ["bash", "-c", text],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=Path.cwd(),
            env={
                **os.environ,
                "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
                "STOA_GITOPS_CATALOG": str(catalog.root),
            },
        )
        return set(done.stdout.split())

    assert complete("stoa-gitops", "va") == {"validate"}
    assert "suspend" in complete("stoa-gitops", "gateways", "")
    assert {"local", "kong-prod"} <= complete("stoa-gitops", "plan", "--gateway", "")
    assert complete("stoa-gitops", "plan", "--tenant", "ac") == {"acme"}
    assert complete("stoa-gitops", "gateways", "show", "kong") == {"kong-prod"}
    assert complete("stoa-gitops", "schema", "Ga") == {"GatewayInstance"}

"""What `integrations/` ships runs: the service and the container's command, and jobs of CI."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e.running import until

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "integrations"
SERVICE = FOLDER / "systemd/stoa-gitops.service"
PROGRAM = str(Path(sys.executable).with_name("stoa-gitops"))

pytestmark = pytest.mark.heavy


def load(path: Path) -> Any:
    """The last document of a YAML file: a component of GitLab begins with its inputs."""
    return list(YAML(typ="safe").load_all(path))[-1]


def unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Za-z]+)=(.*)$", SERVICE.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


async def serves(command: list[str], variables: dict[str, str], here: Path) -> None:
    """Start a command in an environment of its own; it serves the example, and ends by SIGTERM."""
    runtime = here / "state/runtime.json"
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": f"{Path(PROGRAM).parent}:/usr/bin:/bin", **variables},
        cwd=here,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )

    async def look() -> dict[str, str] | None:
        return json.loads(runtime.read_text()) if runtime.exists() else None

    try:
        running = await until(look, "the process")
        check = (PROGRAM, "check", f"{running['control']}/ready")

        async def is_ready() -> bool | None:
            asking = await asyncio.create_subprocess_exec(*check, stderr=subprocess.DEVNULL)
            return True if await asking.wait() == 0 else None

        assert await until(is_ready, "readiness")
    finally:
        process.send_signal(signal.SIGTERM)
        _, error = await process.communicate()
    assert process.returncode == 0, error.decode()


def local(variables: dict[str, str], here: Path) -> dict[str, str]:
    """The variables with folders and ports of this test in the place of the machine's."""
    return {
        **variables,
        "HOME": str(here),
        "STOA_GITOPS_CATALOG": str(ROOT / "catalog-example"),
        "STOA_GITOPS_STATE": str(here / "state"),
        "STOA_GITOPS_CONTROL_LISTEN": "127.0.0.1:0",
        "STOA_GITOPS_GATEWAY_LISTEN": "127.0.0.1:0",
        "STOA_SECRETS_DIR": str(here),
        "ACME_MOBILE_KEY": "a-key",
    }


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_takes_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    text = SERVICE.read_text().replace("/opt/stoa-gitops/bin/stoa-gitops", PROGRAM)
    file = tmp_path / SERVICE.name
    file.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    security = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(file)]
    done = subprocess.run(security, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-400:]


async def test_the_service_runs_with_its_own_environment(tmp_path: Path) -> None:
    found = unit()
    [start] = found["ExecStart"]
    command = [PROGRAM, *start.split()[1:]]
    variables = dict(line.partition("=")[::2] for line in found["Environment"])
    await serves(command, local(variables, tmp_path), tmp_path)


async def test_the_container_runs_with_its_own_environment(tmp_path: Path) -> None:
    service = load(FOLDER / "compose/compose.yaml")["services"]["reconciler"]
    variables = {
        name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))
        for name, value in service["environment"].items()
    }
    await serves([PROGRAM, *service["command"]], local(variables, tmp_path), tmp_path)


class Repository:
    """The example catalog, and a topic that changes a limit."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(ROOT / "catalog-example", root)
        self.git("init", "-q", "-b", "main")
        self.commit("first")
        file = root / "tenants/acme/apis/orders/api.yaml"
        file.write_text(file.read_text().replace("perMinute: 10\n", "perMinute: 7\n"))
        self.commit("fewer calls")

    def git(self, *words: str) -> None:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words]
        subprocess.run(command, cwd=self.root, check=True, capture_output=True)

    def commit(self, text: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", text)


def run(script: str, here: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(PROGRAM).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=here,
        env={"PATH": path, "HOME": str(here), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_the_action_validates_plans_and_comments(repository: Repository, tmp_path: Path) -> None:
    action = load(FOLDER / "github-action/action.yml")
    steps = {step["name"]: step for step in action["runs"]["steps"]}
    assert set(steps) == {"Install", "Validate", "Plan", "Comment"}
    named = set(re.findall(r"inputs\.([\w-]+)", (FOLDER / "github-action/action.yml").read_text()))
    assert named == set(action["inputs"])
    output, summary = tmp_path / "output", tmp_path / "summary"
    variables = {
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(summary),
        "STOA_GITOPS_CATALOG": ".",
        "STOA_GITOPS_STRICT": "false",
        "STOA_GITOPS_LINT": "false",
        "BASE": "HEAD^1",
    }
    done = run(steps["Validate"]["run"], repository.root, **variables)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "stoa-gitops.sarif").read_text())["version"] == "2.1.0"
    done = run(steps["Plan"]["run"], repository.root, **variables)
    assert done.returncode == 0, done.stderr
    assert summary.read_text().startswith("<!-- stoa-plan -->")
    assert "perMinute" in summary.read_text()
    gh = tmp_path / "bin/gh"
    gh.parent.mkdir()
    gh.write_text(f'#!/bin/bash\necho "$@" >> {tmp_path}/asked\n')
    gh.chmod(0o755)
    comment = f'export PATH="{gh.parent}:$PATH"\n{steps["Comment"]["run"]}'
    done = run(comment, repository.root, GITHUB_REPOSITORY="a/b", NUMBER="7", **variables)
    assert done.returncode == 0, done.stderr
    assert "--method POST repos/a/b/issues/7/comments" in (tmp_path / "asked").read_text()
    file = repository.root / "tenants/acme/tenant.yaml"
    file.write_text("kind: Nothing\n")
    done = run(steps["Validate"]["run"], repository.root, **variables)
    assert done.returncode == 5
    assert "::error file=" in done.stdout


def test_the_component_of_gitlab_validates_and_plans(repository: Repository) -> None:
    text = (FOLDER / "gitlab/templates/catalog.yml").read_text()
    inputs, jobs = YAML(typ="safe").load_all(text)
    defaults = {name: one["default"] for name, one in inputs["spec"]["inputs"].items()}
    assert set(re.findall(r"\$\[\[ inputs\.([\w-]+) \]\]", text)) == set(defaults)
    base = subprocess.run(
        ["git", "rev-parse", "HEAD^1"], cwd=repository.root, capture_output=True, check=True
    ).stdout.decode()
    for job in jobs.values():
        lines = [line for line in job["script"] if "pip install" not in line]
        done = run(
            "\n".join(lines),
            repository.root,
            STOA_GITOPS_CATALOG=".",
            STOA_GITOPS_STRICT="false",
            CI_MERGE_REQUEST_DIFF_BASE_SHA=base.strip(),
        )
        assert done.returncode == 0, done.stderr
    assert "perMinute" in (repository.root / "plan.md").read_text()
    assert (repository.root / "findings.xml").read_text().startswith("<?xml")


def test_the_hooks_are_commands_of_this_program(repository: Repository) -> None:
    hooks = load(ROOT / ".pre-commit-hooks.yaml")
    changed = "tenants/acme/apis/orders/api.yaml"
    for hook in hooks:
        assert re.search(hook["files"], changed)
        assert re.search(hook["files"], "deep/catalog.yaml")
        assert not re.search(hook["files"], "src/catalog.py")
        done = run(f"{hook['entry']} {changed}", repository.root)
        assert done.returncode == 0, done.stderr

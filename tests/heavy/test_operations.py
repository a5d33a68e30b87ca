"""docs/operations.md and its neighbours name commands, variables and metrics that there are."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from stoa_gitops import settings
from stoa_gitops.cli.parser import build

ROOT = Path(__file__).parents[2]
PAGES = {
    name: (ROOT / "docs" / f"{name}.md").read_text()
    for name in ("ci", "operations", "troubleshooting")
}
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every call of the program in a block of code; shell around it cut off."""
    found = set()
    for text in PAGES.values():
        for block in FENCE.findall(text):
            for line in block.splitlines():
                call = re.search(r"\bstoa-gitops ((?:[a-z]+) .*)$", line)
                if call and "pip" not in line and not line.startswith(("docker", "stoa-gitops: ")):
                    found.add(re.split(r" [>|#]| \|\| ", call[1])[0].strip())
    return sorted(found)


@pytest.mark.parametrize("command", commands())
def test_a_documented_command_is_one_that_the_program_takes(command: str) -> None:
    words = shlex.split(command)
    assert build({}).parse_args(words).command == words[0]


def test_documented_commands_are_found() -> None:
    assert {command.split()[0] for command in commands()} >= {
        "run", "status", "gateways", "plan", "apply", "validate",
    }  # fmt: skip


def metric_names() -> set[str]:
    """Names of metrics in the source; one that is put together keeps its beginning."""
    found = set()
    for package in ("reconcile", "control", "daemon"):
        for path in (ROOT / "stoa_gitops" / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= set(re.findall(r"^stoa_gitops_[a-z_]+$", node.value))
    return found


def test_every_metric_is_in_the_table() -> None:
    page = PAGES["operations"]
    assert [
        name
        for name in sorted(metric_names())
        if not re.search(rf"^\| `{name}[`{{]?.* \| .+ \|$", page, re.MULTILINE)
    ] == []


def test_every_documented_metric_is_one_that_is_served() -> None:
    names = set(re.findall(r"\bstoa_gitops_[a-z_]+", PAGES["operations"]))
    assert len(names) > 10
    # Names that are put together where they are made.
    together = {
        "stoa_gitops_catalog_documents",
        "stoa_gitops_control_connections",
        "stoa_gitops_control_connections_refused_total",
        "stoa_gitops_public_connections",
    }
    assert names <= metric_names() | together


def test_every_variable_of_the_settings_is_documented() -> None:
    groups = (settings.GitSettings, settings.ControlSettings)
    names = {
        f"{group.model_config['env_prefix']}{field.upper()}"
        for group in groups
        for field in group.model_fields
    }
    assert names
    for name in names:
        assert f"`{name}`" in PAGES["operations"], name


def test_the_copy_of_a_store_that_is_in_use_is_whole(tmp_path: Path) -> None:
    import sqlite3
    import subprocess
    import sys

    from stoa_gitops.store.sqlite import BlockingStore

    (script,) = re.findall(r"python3 -c '(.*?)' /var/lib", PAGES["operations"], re.DOTALL)
    with BlockingStore.open(tmp_path / "state"):
        subprocess.run(
            [sys.executable, "-c", script, tmp_path / "state" / "state.db", tmp_path / "copy.db"],
            check=True,
            timeout=120,
        )
    (tmp_path / "restored").mkdir(mode=0o700)
    (tmp_path / "copy.db").rename(tmp_path / "restored" / "state.db")
    with BlockingStore.open(tmp_path / "restored") as store:
        assert store.list_cycles() == []
    connection = sqlite3.connect(tmp_path / "restored" / "state.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()

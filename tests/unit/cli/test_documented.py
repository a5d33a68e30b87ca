"""The pages name every command, flag, exit code, route and variable."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.parser import build, subcommands
from stoa_gitops.control.api import ROUTES

DOCS = Path(__file__).resolve().parents[3] / "docs"
CLI = (DOCS / "cli.md").read_text("utf-8")
CONTROL = (DOCS / "control-api.md").read_text("utf-8")
PARSERS = list(subcommands(build({})))


def section(command: str) -> str:
    """The section of a command, or of a verb of it."""
    found = re.search(
        rf"^#+ `{re.escape(command)}.*?(?=^## |^### |\Z)", CLI, re.MULTILINE | re.DOTALL
    )
    assert found, f"docs/cli.md has no heading for `{command}`"
    return found[0]


@pytest.mark.parametrize("parser", PARSERS, ids=lambda p: p.prog)
def test_every_command_and_flag_is_in_the_page(parser) -> None:  # type: ignore[no-untyped-def]
    text = section(parser.prog.removeprefix("stoa-gitops "))
    shared = section("Shared flags")
    for action in parser._actions:
        for flag in action.option_strings:
            if flag.startswith("--") and flag not in ("--help", "--debug"):
                assert f"`{flag}" in text + shared, f"{parser.prog} {flag}"


@pytest.mark.parametrize("code", list(Exit), ids=lambda c: c.name)
def test_every_exit_code_is_in_the_page(code: Exit) -> None:
    assert re.search(rf"^\| {code.value} \|", CLI, re.MULTILINE)


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_every_route_is_in_the_page(route) -> None:  # type: ignore[no-untyped-def]
    assert f"`{route.method} {route.path}`" in CONTROL


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    heavy = ("aiohttp", "pydantic", "httpx", "git", "rich", "shtab", "apscheduler", "sqlite_utils")
    code = (
        "import sys; from stoa_gitops.cli.parser import build; build().format_help();"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began < 10


def test_every_flag_has_a_name_in_the_environment() -> None:
    parser = build(
        {"STOA_GITOPS_OUT": "somewhere", "STOA_GITOPS_GATEWAY": "a,b", "STOA_GITOPS_YES": "1"}
    )
    assert parser.parse_args(["render"]).out == "somewhere"
    options = parser.parse_args(["apply"])
    assert (options.gateway, options.yes) == (["a", "b"], True)

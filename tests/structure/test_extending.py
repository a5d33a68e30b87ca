"""The worked examples of docs/extending.md: built in a temporary folder as written, and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.structure.repository import ROOT

PAGE = ROOT / "docs" / "extending.md"
COPIED = (
    "stoa_gitops", "proxy", "bootstrap", "schemas", "docs", "tests", "integrations",
    "pyproject.toml",
)  # fmt: skip
# A file under its name, a patch of one file, or commands with what they print.
STEP = re.compile(
    r"^\*\*`(?P<path>[^`]+)`\*\*\n\n```\w+\n(?P<file>.*?)^```$"
    r"|^```diff (?P<patched>\S+)\n(?P<patch>.*?)^```$"
    r"|^```console\n(?P<console>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository, in which the examples are built."""

    folder: Path

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def patch(self, name: str, patch: str) -> None:
        lines = patch.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in "- ").rstrip("\n")
        new = "".join(line[1:] for line in lines if line[0] in "+ ").rstrip("\n")
        text = (self.folder / name).read_text()
        assert text.count(old) == 1, f"{name} has no single\n{old}"
        self.write(name, text.replace(old, new))

    def run(self, command: str) -> str:
        """Return what a command prints; it must succeed."""
        own = [self.folder, self.folder / "proxy", self.folder / "bootstrap"]
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": ":".join(map(str, own)),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=1800,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    for name in COPIED:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, tmp_path)
        else:
            ignored = shutil.ignore_patterns("__pycache__", "cases", "recordings", "__snapshots__")
            shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    return Checkout(tmp_path)


def sections() -> dict[str, str]:
    """Return the text of each section by its title."""
    titled = re.split(r"^## (.+)\n", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(titled[1::2], titled[2::2], strict=True))


def commands(console: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command with the texts that it must print."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, *expected = part.splitlines()
        yield command, expected


def carry_out(checkout: Checkout, section: str) -> int:
    """Do what a section says, from top to bottom; return the number of commands."""
    count = 0
    for step in STEP.finditer(section):
        if step["path"]:
            checkout.write(step["path"], step["file"])
        elif step["patched"]:
            checkout.patch(step["patched"], step["patch"])
        for command, expected in commands(step["console"] or ""):
            count += 1
            printed = checkout.run(command)
            for text in expected:
                assert text in printed, f"$ {command}\n{printed}"
    return count


@pytest.mark.heavy
@pytest.mark.parametrize("title", sections())
def test_an_example_works_as_it_is_written(title: str, checkout: Checkout) -> None:
    shared = sections()["A policy type"]
    for step in STEP.finditer(shared if title != "A policy type" else ""):
        # The catalog of the first example serves the others, but for the policy.
        if (step["path"] or "").startswith("try/"):
            text = re.sub(r"  policies:\n.*", "", step["file"], flags=re.DOTALL)
            checkout.write(step["path"], text)
    assert carry_out(checkout, sections()[title]) >= 3


def test_every_block_of_code_is_a_step() -> None:
    text = PAGE.read_text()
    assert len(STEP.findall(text)) * 2 == len(re.findall("^```", text, flags=re.MULTILINE))
    assert list(sections()) == ["A policy type", "A kind of document", "A gateway type"]

"""What `make` does on a fresh machine, in a folder whose path has spaces."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.structure.repository import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a fresh checkout"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def planned(checkout: Path, target: str, python: str = "/opt/my python/bin/python3") -> str:
    done = subprocess.run(
        ["make", "--dry-run", target, f"PYTHON={python}"],
        cwd=checkout, capture_output=True, text=True, check=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("MAKE")},
    )  # fmt: skip
    return done.stdout


def test_running_the_example_installs_no_tools_of_development(checkout: Path) -> None:
    text = planned(checkout, "run")
    assert '"/opt/my python/bin/python3" -m venv .venv' in text
    assert "--editable .\n" in text
    assert "[dev]" not in text
    assert "exec .venv/bin/stoa-gitops run" in text


def test_tests_install_the_tools_of_development(checkout: Path) -> None:
    assert "--editable '.[dev]'" in planned(checkout, "test")


def test_what_is_installed_is_not_installed_again(checkout: Path) -> None:
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/python").touch()
    (checkout / ".venv/.installed").touch()
    for target in ("run", "test"):
        assert "install" not in planned(checkout, target)

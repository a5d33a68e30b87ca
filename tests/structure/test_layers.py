"""Every package has its place in a layer contract of pyproject.toml."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.structure.repository import PACKAGES, ROOT

# A package with at least as many packages below it needs an order of its own.
NEEDS_ORDER = 4


def layer_contracts() -> dict[str, dict[str, Any]]:
    """Return the layer contracts by the package whose children they order."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contracts = [one for one in settings["contracts"] if one["type"] == "layers"]
    return {container: contract for contract in contracts for container in contract["containers"]}


def folder_of(package: str) -> Path:
    root, *below = package.split(".")
    return PACKAGES[root].joinpath(*below)


def children(folder: Path) -> set[str]:
    """Return the modules and packages of a package."""
    return {
        path.stem
        for path in folder.iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    }


@pytest.mark.parametrize("package", sorted(layer_contracts()))
def test_a_layer_contract_places_every_module_of_its_package(package: str) -> None:
    contract = layer_contracts()[package]
    placed = {name for layer in contract["layers"] for name in re.split(r"\s*[|:]\s*", layer)}
    assert placed == children(folder_of(package))
    assert contract.get("exhaustive"), "without it, lint-imports accepts a package it does not name"


def test_a_package_with_many_packages_has_a_layer_contract() -> None:
    many = {
        ".".join(init.parent.relative_to(folder.parent).parts)
        for folder in PACKAGES.values()
        for init in folder.rglob("__init__.py")
        if len(list(init.parent.glob("*/__init__.py"))) >= NEEDS_ORDER
    }
    # The gateway types below adapters have no order: they do not know each other.
    assert many - {"stoa_gitops.adapters"} <= set(layer_contracts())


@pytest.mark.slow
def test_a_new_package_that_no_contract_places_fails_the_check(tmp_path: Path) -> None:
    for folder in PACKAGES.values():
        shutil.copytree(
            folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    fresh = tmp_path / "stoa_gitops" / "helpers"
    fresh.mkdir()
    (fresh / "__init__.py").write_text('"""Functions that nobody found a place for."""\n')
    program = (
        "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    command = [sys.executable, "-c", program, "--no-cache"]
    linted = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert linted.returncode == 1, linted.stdout + linted.stderr
    assert "helpers" in linted.stdout
    assert re.search(r"Layers of the reconciler\s+BROKEN", linted.stdout)

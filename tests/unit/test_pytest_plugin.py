"""The pytest plugin, in runs of pytest of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEST = """\
def test_payloads(stoa_catalog):
    orders = stoa_catalog.payloads["local/api/acme/orders.json"]
    [route] = orders["POST /admin/apis"]
    assert route["path_prefix"] == "/apis/acme/orders"
    stoa_catalog.check_snapshots()
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "catalog-example", tmp_path / "catalog")
    (tmp_path / "pytest.ini").write_text("[pytest]\nstoa_catalog = catalog\n")
    (tmp_path / "test_catalog.py").write_text(TEST)
    return tmp_path


def run(here: Path, *arguments: str) -> tuple[int, str]:
    plugin = ("-p", "stoa_gitops.pytest_plugin", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, *arguments],
        cwd=here,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_snapshots_are_written_compared_and_removed(here: Path) -> None:
    code, text = run(here)
    assert code == 1
    assert "no snapshot" in text
    assert "--stoa-update" in text
    assert run(here, "--stoa-update")[0] == 0
    assert run(here)[0] == 0
    folder = here / "__stoa_snapshots__/test_catalog"
    assert (folder / "local/api/acme/orders.json").is_file()
    texts = [file.read_text() for file in folder.rglob("*.json")]
    assert any("env:ACME_MOBILE_KEY" in text for text in texts)
    api = here / "catalog/tenants/acme/apis/orders/api.yaml"
    api.write_text(api.read_text().replace("perMinute: 10\n", "perMinute: 7\n"))
    (here / "catalog/tenants/acme/applications/mobile.yaml").unlink()
    code, text = run(here)
    assert code == 1
    assert "no payload" in text
    assert any(line.startswith("+") and "7" in line for line in text.splitlines())
    assert run(here, "--stoa-update")[0] == 0
    assert not list(folder.rglob("mobile.json"))
    assert run(here)[0] == 0


def test_nothing_is_read_or_written_through_a_link(here: Path) -> None:
    folder, outside = here / "__stoa_snapshots__/test_catalog", here / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text("of-the-machine")
    (folder / "local").mkdir(parents=True)
    (folder / "local/api").symlink_to(outside)
    code, text = run(here, "--stoa-update")
    assert code == 1
    assert "a folder on the way is a symbolic link" in text
    assert [file.name for file in outside.iterdir()] == ["secret.json"]
    (folder / "local/api").unlink()
    (folder / "local/x.json").symlink_to(outside / "secret.json")
    for arguments in ((), ("--stoa-update",)):
        code, text = run(here, *arguments)
        assert code == 1
        assert "local/x.json is a symbolic link" in text
        assert "of-the-machine" not in text
    assert (outside / "secret.json").read_text() == "of-the-machine"


def test_an_invalid_catalog_fails_with_its_errors(here: Path) -> None:
    api = here / "catalog/tenants/acme/apis/orders/api.yaml"
    api.write_text(api.read_text().replace("perMinute: 10\n", "perMinutes: 10\n"))
    code, text = run(here)
    assert code == 1
    assert "the catalog is invalid" in text
    assert "tenants/acme/apis/orders/api.yaml:" in text
    assert "error[schema.unknown-key]" in text
    assert run(here, f"--stoa-catalog={ROOT / 'catalog-example'}")[0] == 1


def test_the_distribution_brings_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"stoa_gitops": "stoa_gitops.pytest_plugin"}

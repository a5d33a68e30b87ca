"""Each command in an interpreter of its own, where only that is imported which it imports itself.

Other tests fork a process that has imported all (tests/children.py).
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.main import main
from stoa_gitops.store.sqlite import BlockingStore
from tests.children import environment
from tests.e2e.catalogs import CatalogFolder
from tests.e2e.running import command

BARE = """\
openapi: 3.1.0
info: {title: Orders, version: "1"}
servers: [{url: "https://orders.example"}]
paths: {}
"""
STARTS = {
    "init": (Exit.OK, "new"),
    "validate": (Exit.OK, "--catalog catalog"),
    "fmt": (Exit.OK, "catalog"),
    "import": (Exit.OK, "openapi bare.yaml --catalog catalog --tenant acme --state state"),
    "explain": (Exit.OK, "api.version"),
    "diff": (Exit.FAILED, "HEAD --catalog catalog"),
    "plan": (Exit.FAILED, "--catalog catalog --state state"),
    "apply": (Exit.FAILED, "--catalog catalog --state state --yes"),
    "run": (Exit.FAILED, "--catalog nowhere --state state"),
    "try": (Exit.FAILED, "GET / --state state"),
    "snapshots": (Exit.FAILED, "--state state"),
    "usage": (Exit.FAILED, "--state state"),
    "render": (Exit.OK, "--catalog catalog --out rendered"),
    "adopt": (Exit.FAILED, "local api/acme/orders --catalog catalog --state state --yes"),
    "status": (Exit.FAILED, "--state state"),
    "events": (Exit.OK, "--state state"),
    "history": (Exit.OK, "--state state"),
    "audit": (Exit.OK, "--state state"),
    "state": (Exit.OK, "list --state state"),
    "gateways": (Exit.OK, "list --catalog catalog --state state"),
    "schema": (Exit.OK, "API"),
    "check": (Exit.FAILED, "http://127.0.0.1:1/"),
    "completion": (Exit.OK, "bash"),
}
"""What each command exits with beside a catalog, a store and no process, and its arguments."""


def test_every_command_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    ([a-z]+)(?:  |$)", capsys.readouterr().out, flags=re.MULTILINE)
    assert listed == list(STARTS)


@pytest.mark.parametrize("name", STARTS)
def test_a_command_imports_what_it_needs(name: str, tmp_path: Path) -> None:
    CatalogFolder(tmp_path / "catalog")
    (tmp_path / "bare.yaml").write_text(BARE)
    BlockingStore.open(tmp_path / "state").close()
    code, arguments = STARTS[name]
    words = command(name, *arguments.split())
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert "internal error" not in done.stderr
    assert done.returncode == code, done.stdout + done.stderr

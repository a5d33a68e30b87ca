"""`plan --watch`, `--detail`, and saved plans that were cut: what a person sees while editing."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.main import main
from stoa_gitops.errors import StoaGitopsError
from stoa_gitops.operations.saved_plan import load_plan
from tests.children import environment
from tests.e2e.catalogs import CatalogFolder
from tests.e2e.gateways import data_plane
from tests.e2e.running import DEADLINE, command, run_command
from tests.e2e.test_gateways import ENV, catalog_for, where


@pytest.fixture
def catalog(tmp_path: Path) -> CatalogFolder:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.api("orders", "https://orders.example")
    catalog.commit("first")
    return catalog


@contextmanager
def watching(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`plan --watch`, which goes on until SIGINT."""
    process = subprocess.Popen(
        command("plan", "--watch", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == Exit.INTERRUPTED
    finally:
        process.kill()
        process.communicate()


def test_a_plan_is_made_again_for_each_edit(catalog: CatalogFolder, tmp_path: Path) -> None:
    flags = ("--catalog", str(catalog.root), "--state", str(tmp_path / "s"), "--base", "HEAD")
    with watching(*flags, "--output", "jsonl") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = json.loads(process.stdout.readline())
        assert (first["type"], first["summary"]["create"]) == ("plan", 0)
        assert json.loads(process.stdout.readline())["type"] == "gateway"
        catalog.api("new", "https://new.example")
        assert json.loads(process.stdout.readline())["summary"]["create"] == 1
        for _ in range(2):
            process.stdout.readline()
        # A mistake is said, and the plan is there again once it is repaired.
        catalog.api("new", "https://new.example", "  zzz: 1\n")
        assert any("schema.unknown-key" in line for line in iter(process.stderr.readline, ""))
        catalog.api("new", "https://other.example")
        catalog.api("more", "https://more.example")
        assert json.loads(process.stdout.readline())["summary"]["create"] in (1, 2)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--out", "x"], "--out is for one plan"),
        (["--detailed-exitcode"], "--detailed-exitcode is for one plan"),
        (["--output", "markdown"], "--output: with --watch a plan is text or jsonl"),
    ],
)
def test_what_goes_not_with_watching(
    catalog: CatalogFolder, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--watch", "--catalog", str(catalog.root), *flags]) == Exit.USAGE
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--detail", "--fields"])
def test_a_created_object_shows_its_fields_on_request(
    catalog: CatalogFolder, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog.api("new", "https://new.example")
    flags = ["plan", "--base", "HEAD", "--catalog", str(catalog.root)]
    assert main(flags) == Exit.OK
    assert "https://new.example" not in capsys.readouterr().out
    assert main([*flags, flag]) == Exit.OK
    assert "https://new.example" in capsys.readouterr().out


@pytest.mark.heavy
async def test_a_saved_plan_that_was_cut_anywhere_is_refused(tmp_path: Path) -> None:
    async with data_plane() as gateway:
        folder: CatalogFolder = catalog_for(tmp_path / "c", edge=gateway.base_url)
        folder.api("demo", "http://127.0.0.1:9")
        file = tmp_path / "plan"
        flags = where(folder)
        assert (await run_command("plan", "--out", str(file), *flags, **ENV))[0] == Exit.OK
        whole = file.read_bytes()
        for length in range(0, len(whole) - 2, max(len(whole) // 40, 1)):
            file.write_bytes(whole[:length])
            with pytest.raises(StoaGitopsError, match=r"is no saved plan|was changed"):
                load_plan(file)
        file.write_bytes(whole[: len(whole) // 2])
        code, _, err = await run_command("apply", str(file), *flags, **ENV)
        assert (code, "make one by `stoa-gitops plan --out FILE`" in err) == (Exit.USAGE, True)
        other = catalog_for(tmp_path / "other", edge=gateway.base_url)
        other.write("catalog.yaml", "apiVersion: gostoa.dev/v1alpha1\nkind: Catalog\n"
                    "metadata: {name: other}\n")  # fmt: skip
        other.api("demo", "http://127.0.0.1:9")
        file.write_bytes(whole)
        code, _, err = await run_command("apply", str(file), *where(other), **ENV)
        assert (code, "the catalog is other, and was default" in err) == (Exit.REFUSED, True)

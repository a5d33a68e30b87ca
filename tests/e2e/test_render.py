"""The payloads of the example catalog, as files in review."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from tests.e2e.running import run_command

EXAMPLE = Path(__file__).resolve().parents[2] / "catalog-example"


class JsonFile(SingleFileSnapshotExtension):
    file_extension = "json"
    _write_mode = WriteMode.TEXT


async def test_the_examples_payloads(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    code, out, err = await run_command("render", "--catalog", str(EXAMPLE), "--out", str(tmp_path))
    assert (code, err) == (0, "")
    files = sorted(tmp_path.rglob("*.json"))
    assert out == f"{len(files)} objects written to {tmp_path}\n"
    for file in files:
        name = ".".join(file.relative_to(tmp_path).with_suffix("").parts)
        assert file.read_text() == snapshot(name=name, extension_class=JsonFile)


async def test_a_second_rendering_removes_what_is_no_longer_there(tmp_path: Path) -> None:
    where = ("render", "--catalog", str(EXAMPLE), "--out", str(tmp_path))
    await run_command(*where)
    stale = tmp_path / "local/api/demo/gone.json"
    stale.write_text("{}")
    foreign = tmp_path / "README.md"
    foreign.write_text("mine")
    code, out, _ = await run_command(*where)
    assert code == 0
    assert "1 of an earlier rendering removed" in out
    assert not stale.exists()
    assert foreign.read_text() == "mine"


@pytest.mark.parametrize("variable", ["ACME_MOBILE_KEY", "NEWSAPI_API_KEY"])
async def test_no_secret_is_looked_up(tmp_path: Path, variable: str) -> None:
    await run_command(
        "render", "--catalog", str(EXAMPLE), "--out", str(tmp_path), **{variable: "a-secret-value"}
    )
    texts = "".join(file.read_text() for file in tmp_path.rglob("*.json"))
    assert "a-secret-value" not in texts
    assert f"env:{variable}" in texts

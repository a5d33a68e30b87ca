"""Commands beside the process, on a catalog whose gateways register themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.running import run_command
from tests.scenarios.fleet_world import usual_files

NOTE = "edge: its gateways register themselves, and the running process plans and applies"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, text in usual_files("a", "b").items():
        (tmp_path / "catalog" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "catalog" / path).write_text(str(text), encoding="utf-8")
    return tmp_path


async def ask(folder: Path, *words: str) -> tuple[int, str, str]:
    where = ("--catalog", str(folder / "catalog"), "--state", str(folder / "state"))
    return await run_command(*words, *where)


async def test_plan_and_apply_leave_them_to_the_process_and_say_so(folder: Path) -> None:
    for words in (("plan",), ("plan", "--gateway", "edge"), ("apply", "--yes")):
        code, _, err = await ask(folder, *words)
        assert (code, NOTE in err) == (0, True), words


async def test_validate_and_render_work_by_their_documents(folder: Path) -> None:
    code, out, _ = await run_command("validate", "--catalog", str(folder / "catalog"))
    assert (code, out) == (0, "working tree is valid: 4 documents, 1 tenant, 1 gateway.\n")
    target = folder / "out"
    code, _, _ = await run_command(
        "render", "--catalog", str(folder / "catalog"), "--out", str(target)
    )
    assert code == 0
    assert sorted(file.name for file in target.glob("edge/api/acme/*.json")) == ["a.json", "b.json"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plan", "--gateway", "edge/x"), "none runs with the state folder"),
        (("plan", "--gateway", "edge/x", "--gateway", "edge"), "name it alone"),
        (("plan", "--gateway", "edge/x", "--output", "markdown"), "text or json"),
        (("apply", "--gateway", "edge/x"), "with --force, and --digest"),
        (("adopt", "edge", "api/acme/a"), "there is no address to read objects from"),
        (("adopt", "edge/x", "api/acme/a"), "edge/x registered itself"),
        (("gateways", "export", "edge"), "there is no address to read objects from"),
        (("gateways", "export", "edge/x"), "edge/x registered itself"),
    ],
)
async def test_what_only_the_process_can_do_is_said(
    folder: Path, words: tuple[str, ...], message: str
) -> None:
    code, _, err = await ask(folder, *words)
    assert code == 64
    assert message in err

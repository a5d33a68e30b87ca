"""Names that others chose, in messages on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoa_gitops.cli.main import main
from tests.e2e.catalogs import CatalogFolder


def test_names_in_errors_move_no_cursor_and_turn_no_text_around(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.commit("first")
    catalog.git("branch", "\u202egnp.\u2066x")
    assert main(["validate", "--catalog", str(catalog.root), "--revision", "\x1b[2Jx\r\u200f"]) == 1
    shown = capsys.readouterr().err
    assert shown.rstrip("\n").isprintable()
    assert r"has no revision \u001b[2Jx\r\u200f" in shown
    assert r"there are main, \u202egnp.\u2066x" in shown


def test_unknown_flags_are_shown_as_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--\x1b[31mx"])
    assert ended.value.code == 64
    shown = capsys.readouterr().err
    assert r"unknown flag --\u001b[31mx" in shown
    assert "\x1b" not in shown

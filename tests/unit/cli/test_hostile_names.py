"""Names that others chose, in messages on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from stoa_gitops.cli.main import main
from tests.adapters.front import listening
from tests.e2e.catalogs import GATEWAY, CatalogFolder
from tests.e2e.running import run_command


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


async def test_names_of_a_gateway_are_shown_as_what_they_are(tmp_path: Path) -> None:
    hostile = "\x1b[2J\u202egnp\x9b"

    async def handle(request: web.Request) -> web.Response:
        if request.path == "/admin/apis":
            whole = {"id": "one", "name": hostile, "tenant_id": "acme", "path_prefix": "/x",
                "backend_url": "http://b.example", "methods": [], "spec_hash": "",
                "activated": True}  # fmt: skip
            return web.json_response([whole, {**whole, "id": hostile, "name": 1}])
        if request.path == "/admin/health":
            return web.json_response({"status": hostile, "version": hostile})
        return web.json_response([])

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    runner, base_url = await listening(app)
    catalog = CatalogFolder(tmp_path / "c")
    document = GATEWAY.replace("baseUrl: embedded", f"baseUrl: {base_url}")
    catalog.write("gateways/local.yaml", document)
    catalog.api("demo", "http://backend.example.org")
    where = ("--catalog", str(catalog.root), "--state", str(tmp_path / "state"))
    code, out, err = await run_command("plan", *where)
    await runner.cleanup()
    assert code == 0, out + err
    assert "is set aside" in err
    assert all(line.isprintable() for line in (out + err).splitlines())

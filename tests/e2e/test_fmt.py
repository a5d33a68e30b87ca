"""`fmt`: which files are written, what is said of them, and the exit code."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import jsonschema
import pytest

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.main import main
from stoa_gitops.foundation.files import Replacement

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[2] / "schemas/output/format.json").read_text()
)
UGLY = "kind: Tenant\napiVersion: gostoa.dev/v1alpha1\nmetadata:   {name: acme}\n"
NEAT = "apiVersion: gostoa.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\n"
BROKEN = "apiVersion: gostoa.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme\n"
OTHER = "services:   {web: {image: x}}\n"
OPENAPI = "openapi:   3.1.0\ninfo: {title: x, version: '1'}\npaths: {}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for path, text in {
        "tenants/acme/tenant.yaml": UGLY,
        "tenants/globex/tenant.yaml": NEAT,
        "tenants/acme/apis/x/openapi.yaml": OPENAPI,
        "compose.yaml": OTHER,
        ".hidden/a.yaml": UGLY,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_documents_are_written_and_nothing_else(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / "tenants/acme/tenant.yaml"
    path.chmod(0o664)
    (here / "link.yaml").symlink_to(".hidden/a.yaml")
    assert main(["fmt"]) == Exit.OK
    captured = capsys.readouterr()
    assert captured.out == "tenants/acme/tenant.yaml\n"
    assert captured.err == "1 file formatted, 1 left as they are\n"
    assert path.read_text() == NEAT
    assert path.stat().st_mode & 0o777 == 0o664
    assert (here / "compose.yaml").read_text() == OTHER
    assert (here / "tenants/acme/apis/x/openapi.yaml").read_text() == OPENAPI
    assert (here / ".hidden/a.yaml").read_text() == UGLY
    assert main(["fmt", "--check"]) == Exit.OK
    assert sorted(p.name for p in path.parent.iterdir()) == ["apis", "tenant.yaml"]


def test_a_link_that_is_named_stays_a_link(here: Path) -> None:
    (here / "link.yaml").symlink_to(".hidden/a.yaml")
    assert main(["fmt", "link.yaml"]) == Exit.OK
    assert (here / "link.yaml").is_symlink()
    assert (here / ".hidden/a.yaml").read_text() == NEAT


@pytest.mark.parametrize("flag", ["--check", "--diff"])
def test_nothing_is_written_where_it_is_only_asked(
    here: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    assert main(["fmt", flag, "tenants"]) == Exit.CHANGES
    captured = capsys.readouterr()
    assert "tenants/acme/tenant.yaml" in captured.out
    assert ("\n+apiVersion: gostoa.dev/v1alpha1\n" in captured.out) is (flag == "--diff")
    assert captured.err == "1 file would be formatted, 1 left as they are\n"
    assert (here / "tenants/acme/tenant.yaml").read_text() == UGLY


def test_a_broken_file_is_left_alone_with_its_finding_and_hides_no_other(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "tenants/globex/tenant.yaml").write_text(BROKEN)
    assert main(["fmt"]) == Exit.INVALID
    captured = capsys.readouterr()
    assert "tenants/globex/tenant.yaml:4:1: error[yaml.syntax]" in captured.err
    assert (here / "tenants/globex/tenant.yaml").read_text() == BROKEN
    assert (here / "tenants/acme/tenant.yaml").read_text() == NEAT


def test_json_is_as_its_schema_says(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "tenants/globex/tenant.yaml").write_text(BROKEN)
    (here / "odd.yaml").write_text(f"%YAML 1.2\n---\n{UGLY}")
    assert main(["fmt", "--check", "--output", "json"]) == Exit.INVALID
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    assert document["changed"] == ["tenants/acme/tenant.yaml"]
    assert [one["path"] for one in document["left"]] == ["odd.yaml"]
    assert [one["code"] for one in document["diagnostics"]] == ["yaml.syntax"]


def test_stdin_is_formatted_to_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, expected, code in ((UGLY, NEAT, Exit.OK), (BROKEN, BROKEN, Exit.INVALID)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert main(["fmt", "-"]) == code
        assert capsys.readouterr().out == expected
    assert main(["fmt", "-", "x.yaml"]) == Exit.USAGE


def test_what_is_not_there_and_what_cannot_be_written_is_said(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["fmt", "nowhere.yaml"]) == Exit.USAGE
    assert "nowhere.yaml does not exist" in capsys.readouterr().err

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stoa_gitops.operations.format_files.Replacement", fail)
    assert main(["fmt"]) == Exit.FAILED
    assert "cannot be written: No space left on device" in capsys.readouterr().err
    assert (here / "tenants/acme/tenant.yaml").read_text() == UGLY


def test_what_somebody_saved_meanwhile_is_kept(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = here / "tenants/acme/tenant.yaml"
    monkeypatch.setattr(Replacement, "flush", lambda _: path.write_text(f"# mine\n{UGLY}"))
    assert main(["fmt"]) == Exit.FAILED
    assert "changed meanwhile: run it again" in capsys.readouterr().err
    assert path.read_text() == f"# mine\n{UGLY}"
    assert [one.name for one in path.parent.iterdir() if one.name[0] == "."] == []


def test_an_internal_error_hides_no_other_file(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bytes) -> None:
        raise IndexError

    with monkeypatch.context() as patched:
        patched.setattr("stoa_gitops.operations.format_files.format_file", fail)
        assert main(["fmt"]) == Exit.FAILED
    assert capsys.readouterr().err.count("internal error (IndexError)") == 2
    assert (here / "tenants/acme/tenant.yaml").read_text() == UGLY

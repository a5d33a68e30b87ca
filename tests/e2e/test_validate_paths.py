"""`validate PATH…`: what is wrong in some files, named as seen from the current folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.main import main
from tests.e2e.catalogs import CatalogFolder

BROKEN = "apiVersion: gostoa.dev/v1alpha1\nkind: API\nmetadata: {nam: x}\n"


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogFolder:
    """A catalog in a folder of the current one, with two broken APIs and a good one."""
    catalog = CatalogFolder(tmp_path / "c")
    for name in ("good", "bad", "worse"):
        catalog.api(name, "http://backend.example.org")
    for name in ("bad", "worse"):
        (catalog.root / f"tenants/acme/apis/{name}/api.yaml").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    return catalog


def found_paths(capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The files of the findings on stdout."""
    lines = capsys.readouterr().out.splitlines()
    return {line.partition(":")[0] for line in lines if ": error[" in line}


BAD, WORSE = (f"c/tenants/acme/apis/{name}/api.yaml" for name in ("bad", "worse"))


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([BAD], {BAD}),
        (["c/tenants/acme/apis/bad"], {BAD}),
        ([BAD, f"./{WORSE}"], {BAD, WORSE}),
        (["c/tenants/../tenants/acme/apis/worse/"], {WORSE}),
        (["c/tenants"], {BAD, WORSE}),
        (["c"], {BAD, WORSE}),
        (["."], {BAD, WORSE}),
    ],
)
def test_only_findings_of_the_paths_are_shown_and_count(
    catalog: CatalogFolder,
    paths: list[str],
    expected: set[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["validate", "--catalog", "c", *paths]) == Exit.INVALID
    assert found_paths(capsys) == expected


def test_a_path_without_findings_is_valid_and_the_others_are_told(
    catalog: CatalogFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "--catalog", "c", "c/tenants/acme/apis/good"]) == Exit.OK
    said = capsys.readouterr()
    assert said.out == "No findings in c/tenants/acme/apis/good.\n"
    assert "elsewhere in the catalog" in said.err


def test_a_path_whose_name_begins_alike_is_another_one(
    catalog: CatalogFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog.api("ba", "http://backend.example.org")
    assert main(["validate", "--catalog", "c", "c/tenants/acme/apis/ba"]) == Exit.OK


@pytest.mark.parametrize("folder", ["c/tenants/acme", "c", "elsewhere"])
def test_the_catalog_is_found_around_the_path_from_wherever_one_is(
    catalog: CatalogFolder,
    folder: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = catalog.root / "tenants/acme/apis/bad/api.yaml"
    (catalog.root.parent / folder).mkdir(exist_ok=True)
    monkeypatch.chdir(catalog.root.parent / folder)
    assert main(["validate", str(file)]) == Exit.INVALID
    assert {Path(path).resolve() for path in found_paths(capsys)} == {file.resolve()}


@pytest.mark.parametrize(
    ("path", "words"),
    [("c/tenants/acme/apis/bda", "does not exist"), ("other", "is not in the catalog")],
)
def test_a_path_that_the_catalog_has_not_is_refused(
    catalog: CatalogFolder, path: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("other").mkdir()
    assert main(["validate", "--catalog", "c", path]) == Exit.USAGE
    assert words in capsys.readouterr().err


def test_the_other_forms_have_only_findings_of_the_paths_too(
    catalog: CatalogFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "--catalog", "c", "--output", "json", BAD]) == Exit.INVALID
    text = capsys.readouterr().out
    assert "apis/bad/" in text
    assert "apis/worse/" not in json.dumps(json.loads(text))


def test_a_file_that_a_revision_has_and_the_folder_has_no_more_may_be_named(
    catalog: CatalogFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog.commit("first")
    (catalog.root / "tenants/acme/apis/bad/api.yaml").unlink()
    assert main(["validate", "--catalog", "c", "--revision", "HEAD", BAD]) == Exit.INVALID
    assert found_paths(capsys) == {BAD}


def test_paths_in_a_plan_are_as_seen_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = CatalogFolder(tmp_path / "c")
    catalog.commit("first")
    catalog.api("new", "http://backend.example.org")
    catalog.commit("second")
    shown = {}
    for folder in (tmp_path, catalog.root, catalog.root / "tenants"):
        monkeypatch.chdir(folder)
        where = ["--catalog", str(catalog.root), "--base", "HEAD~1"]
        assert main(["plan", *where]) == Exit.OK
        text = capsys.readouterr().out
        shown[folder] = next(word for word in text.split() if "api.yaml" in word)
        assert main(["plan", *where, "--output", "json"]) == Exit.OK
        assert '"path": "tenants/acme/apis/new/api.yaml"' in capsys.readouterr().out
    assert list(shown.values()) == [
        "c/tenants/acme/apis/new/api.yaml:1",
        "tenants/acme/apis/new/api.yaml:1",
        "../tenants/acme/apis/new/api.yaml:1",
    ]

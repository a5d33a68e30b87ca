"""Folders of cases: a catalog, and everything that is said about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stoa_gitops.adapters.registry import gateway_types
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.operations.validate import catalog_reader

CASES = sorted((Path(__file__).parent / "cases").iterdir())


def report(catalog: Catalog) -> str:
    lines = []
    for found in catalog.diagnostics:
        hint = f" [{found.hint}]" if found.hint else ""
        lines += [
            f"{found.source.full} {found.severity.value} {found.code}: {found.message}{hint}",
            f"    {found.excerpt}",
            "    " + " " * (found.source.column - 1) + "^" * found.width,
        ]
    keys = {str(key) for state in catalog.desired.values() for key in state.resources}
    written = ", ".join(sorted(key for key in keys if not key.startswith("policy/"))) or "nothing"
    broken = ", ".join(sorted(catalog.broken_tenants)) or "-"
    lines += [
        f"written: {written}",
        f"broken: {broken}{' and all' if catalog.is_all_broken else ''}",
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_catalog_gets_exactly_these_findings(case: Path) -> None:
    catalog = Reader(gateway_types=gateway_types()).read(FolderSource(case / "catalog").snapshot())
    assert report(catalog) == (case / "expected.txt").read_text(encoding="utf-8")


@pytest.mark.slow  # reads every case a second time
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_without_the_accelerator_the_findings_are_the_same(
    case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoa_gitops.catalog.documents.yaml_fast.yaml_rs", None)
    catalog = Reader(gateway_types=gateway_types()).read(FolderSource(case / "catalog").snapshot())
    assert report(catalog) == (case / "expected.txt").read_text(encoding="utf-8")


def test_no_finding_of_any_case_shows_a_secret_written_as_a_value() -> None:
    texts = [(case / "expected.txt").read_text(encoding="utf-8") for case in CASES]
    assert not [text for text in texts if "hunter2" in text or "ghp_a" in text or "u:p@" in text]


def test_the_smallest_catalog_of_the_documentation_is_valid(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs/catalog.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n# (\S+\.yaml)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for name, document in blocks:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(document, encoding="utf-8")
    catalog = catalog_reader().read(FolderSource(tmp_path).snapshot())
    assert report(catalog) == "written: api/acme/billing, application/globex/web\nbroken: -\n"

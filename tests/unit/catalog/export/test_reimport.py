"""Imports over earlier ones, as laws: twice is once, and what a person changed stays."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stoa_gitops.catalog.export.three_way.outcomes import CatalogFolder, Outcome
from stoa_gitops.catalog.export.three_way.record import FilesRecord
from stoa_gitops.catalog.export.three_way.reimport import NewDocument, Reimport, reimport
from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.model.keys import API, Key

PATH = "tenants/acme/apis/shop/api.yaml"
WORDS = st.text("abcdefg", min_size=1, max_size=6)
SPECS = st.fixed_dictionaries(
    {
        "version": WORDS,
        "backend": st.fixed_dictionaries(
            {"url": WORDS.map("https://{}.example".format)},
            optional={"timeout": st.sampled_from(["1s", "2s", "3s"])},
        ),
    },
    optional={
        "displayName": WORDS,
        "description": WORDS,
        "plans": st.lists(WORDS, unique=True, min_size=1, max_size=3).map(
            lambda names: [{"name": name, "perMinute": len(name)} for name in names]
        ),
    },
)


def document(spec: dict[str, Any]) -> NewDocument:
    tree = {
        "apiVersion": "gostoa.dev/v1alpha1",
        "kind": "API",
        "metadata": {"name": "shop"},
        "spec": spec,
    }
    return NewDocument(PATH, tree, Key(API, "acme", "shop"))


def imported(folder: Path, spec: dict[str, Any], record: FilesRecord) -> Reimport:
    """Import one document into a folder, as `import` does."""
    (folder / "tenants").mkdir(exist_ok=True)
    tree = FolderSource(folder).snapshot()
    result = reimport([document(spec)], {}, record, CatalogFolder(folder), Reader(), tree)
    for one in result.files:
        if one.data is not None:
            file = folder / one.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(one.data)
    return result


def spec_in(folder: Path) -> Any:
    return ordered(YAML(typ="safe").load(folder / PATH)["spec"])


def ordered(spec: Any) -> Any:
    """A spec with its plans by name: their order is a person's."""
    if "plans" not in spec:
        return spec
    return {**spec, "plans": sorted(spec["plans"], key=lambda plan: str(plan["name"]))}


@given(SPECS, SPECS)
def test_without_edits_a_file_becomes_what_the_import_says(first: Any, second: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = imported(folder, first, FilesRecord())
        assert spec_in(folder) == ordered(first)
        two = imported(folder, second, one.record)
        assert spec_in(folder) == ordered(second)
        three = imported(folder, second, two.record)
        assert [found.outcome for found in three.files] == [Outcome.UNCHANGED]
        assert three.record == two.record


@given(SPECS, SPECS, WORDS.map("Mine {}".format))
def test_what_a_person_wrote_stays_whatever_the_import_says(
    first: Any, second: Any, mine: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = imported(folder, first, FilesRecord())
        file = folder / PATH
        text = file.read_text().splitlines()
        text = [line for line in text if not line.startswith("  description:")]
        file.write_text("\n".join([*text, f"  description: {mine}  # ours", ""]))
        result = imported(folder, second, one.record)
        assert spec_in(folder) == {**ordered(second), "description": mine}
        assert "# ours" in file.read_text()
        kept = [shown for found in result.files for shown in found.kept]
        # Said where both changed it, and only there.
        assert bool(kept) is (first.get("description") != second.get("description"))

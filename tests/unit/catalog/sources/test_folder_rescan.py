"""A look at the files that events named is worth as much as a walk over everything."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.catalog.sources.folder_tree import blob_id
from stoa_gitops.errors import CatalogError

Edit = Callable[[Path], list[Path]]


def folder(root: Path) -> Path:
    """A catalog with a few files; `outside` lies beside it."""
    for name in ("a", "b", "c"):
        file = root / f"tenants/{name}/tenant.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(f"name: {name}\n")
    (root.parent / "outside.yaml").write_text("secret: 1\n")
    return root


def change(root: Path) -> list[Path]:
    file = root / "tenants/a/tenant.yaml"
    file.write_text("name: changed\n")
    return [file]


def replace(root: Path) -> list[Path]:
    file, other = root / "tenants/a/tenant.yaml", root / "tenants/a/.tenant.yaml.swp"
    other.write_text("name: replaced\n")
    other.rename(file)
    return [other, file]


def remove(root: Path) -> list[Path]:
    file = root / "tenants/b/tenant.yaml"
    file.unlink()
    return [file]


def add(root: Path) -> list[Path]:
    file = root / "tenants/d/tenant.yaml"
    file.parent.mkdir()
    file.write_text("name: d\n")
    return [file]


def become_a_link_out(root: Path) -> list[Path]:
    file = root / "tenants/c/tenant.yaml"
    file.unlink()
    file.symlink_to(root.parent / "outside.yaml")
    return [file]


def become_a_folder(root: Path) -> list[Path]:
    file = root / "tenants/c/tenant.yaml"
    file.unlink()
    file.mkdir()
    (file / "tenant.yaml").write_text("name: deeper\n")
    return [file]


def let_the_folder_above_become_a_link(root: Path) -> list[Path]:
    (root / "tenants/a").rename(root.parent / "elsewhere")
    (root / "tenants/a").symlink_to(root.parent / "elsewhere")
    return [root / "tenants/a/tenant.yaml"]


def become_unreadable(root: Path) -> list[Path]:
    file = root / "tenants/a/tenant.yaml"
    file.write_bytes(b"x" * (6 << 20))
    return [file]


@pytest.mark.parametrize(
    "edit",
    [change, replace, remove, add, become_a_link_out, become_a_folder,
     let_the_folder_above_become_a_link, become_unreadable],
)  # fmt: skip
def test_a_look_at_what_events_named_finds_what_a_walk_finds(tmp_path: Path, edit: Edit) -> None:
    root = folder(tmp_path / "catalog")
    source = FolderSource(root)
    source.snapshot()
    source.touch(str(path) for path in edit(root))
    seen, walked = source.snapshot(), FolderSource(root).snapshot()
    assert seen.files == walked.files
    assert seen.problems == walked.problems
    assert dict(seen.read_many(seen.files)) == dict(walked.read_many(walked.files))


def test_a_look_that_no_event_asked_for_finds_what_events_did_not_tell(tmp_path: Path) -> None:
    root = folder(tmp_path / "catalog")
    source = FolderSource(root)
    source.snapshot()
    change(root)
    source.touch([str(root / "tenants/b/tenant.yaml")])
    assert source.snapshot().files["tenants/a/tenant.yaml"] == blob_id(b"name: a\n")
    assert source.snapshot().files["tenants/a/tenant.yaml"] == blob_id(b"name: changed\n")


def test_only_the_files_that_events_named_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path / "catalog")
    source = FolderSource(root)
    source.snapshot()

    def no_walk(*_: object) -> None:
        raise AssertionError("a walk was made")

    source.touch(str(path) for path in change(root))
    monkeypatch.setattr(os, "scandir", no_walk)
    assert source.snapshot().read("tenants/a/tenant.yaml") == b"name: changed\n"


def test_after_a_finding_about_a_file_everything_is_looked_at(tmp_path: Path) -> None:
    root = folder(tmp_path / "catalog")
    source = FolderSource(root)
    become_a_link_out(root)
    assert source.snapshot().problems
    (root / "tenants/c/tenant.yaml").unlink()
    source.touch(str(path) for path in change(root))
    assert source.snapshot().problems == ()


def test_a_look_that_finds_nothing_new_is_the_very_look_before(tmp_path: Path) -> None:
    root = folder(tmp_path / "catalog")
    source = FolderSource(root)
    assert source.snapshot() is source.snapshot()
    change(root)
    assert source.snapshot().read("tenants/a/tenant.yaml") == b"name: changed\n"


def test_bytes_of_an_earlier_look_are_read_again_while_the_file_is_what_it_was(
    tmp_path: Path,
) -> None:
    root = folder(tmp_path / "catalog")
    (root / "shared").mkdir()
    (root / "shared/tenant.yaml").write_text("name: linked\n")
    (root / "tenants/linked").symlink_to("../shared", target_is_directory=True)
    odd = root / "tenants/a/odd\x07.yaml"
    odd.write_bytes(b"name: odd\n")
    source = FolderSource(root)
    tree = source.snapshot()
    before = dict(tree.read_many(tree.files))
    assert "tenants/linked/tenant.yaml" in before
    assert "tenants/a/odd\\x07.yaml" in before
    (root / "tenants/b/tenant.yaml").write_bytes(b"name: other\n")
    assert source.snapshot() is not tree, "which settles the one before"
    still = [path for path in tree.files if path != "tenants/b/tenant.yaml"]
    assert dict(tree.read_many(still)) == {path: before[path] for path in still}


@pytest.mark.parametrize("edit", [change, remove, become_a_folder])
def test_bytes_that_are_not_there_any_more_are_not_made_up(tmp_path: Path, edit: Edit) -> None:
    root = folder(tmp_path / "catalog")
    source = FolderSource(root)
    tree = source.snapshot()
    (touched,) = edit(root)
    source.snapshot()
    path = touched.relative_to(root).as_posix()
    with pytest.raises(CatalogError, match=f"{path} changed while the catalog was read"):
        tree.read(path)

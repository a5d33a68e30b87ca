"""A symbolic link means the same in a folder and in a revision of a repository."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stoa_gitops.catalog.reader import Reader
from stoa_gitops.catalog.sources import links
from stoa_gitops.catalog.sources.base import Problem, open_source
from stoa_gitops.catalog.sources.folder import FolderSource
from stoa_gitops.catalog.sources.folder_tree import blob_id
from stoa_gitops.catalog.sources.git.objects import Entry, Listing, classify_entries
from stoa_gitops.catalog.sources.git.tree_links import TreeLinks
from tests.laws import examples

Git = Callable[..., str]
Found = tuple[dict[str, str], set[Problem], dict[str, str]]
ACME, GLOBEX = "tenants/acme/apis/a", "tenants/globex/apis/g"
OPENAPI = 'openapi: 3.0.0\ninfo: {title: T, version: "1"}\npaths: {}\n'

CASES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    # links, files that they add, problems by a word of their message
    "a file beside the catalog's folders": (
        {f"{ACME}/openapi.yaml": "../../../../shared/openapi.yaml"},
        {f"{ACME}/openapi.yaml": "shared/openapi.yaml"},
        {},
    ),
    "a link to a link": (
        {f"{ACME}/openapi.yaml": "../next.yaml", "tenants/acme/apis/next.yaml": "a/api.yaml"},
        {f"{ACME}/openapi.yaml": f"{ACME}/api.yaml",
         "tenants/acme/apis/next.yaml": f"{ACME}/api.yaml"},
        {},
    ),
    "a folder, and a link within it": (
        {"tenants/acme/apis/b": "../../../shared/b", "shared/b/spec.yaml": "../openapi.yaml",
         "shared/b/api.yaml": "../plain.txt"},
        {"tenants/acme/apis/b/spec.yaml": "shared/openapi.yaml",
         "tenants/acme/apis/b/api.yaml": "shared/plain.txt"},
        {},
    ),
    "hidden files of a folder": (
        {"tenants/acme/apis/h": "../../../shared/h"},
        {"tenants/acme/apis/h/x.yaml": "shared/h/x.yaml"},
        {},
    ),
    "out of the catalog": (
        {f"{ACME}/a.yaml": "../../../../../etc/x.yaml", f"{ACME}/b.yaml": "/etc/passwd",
         f"{ACME}/c.yaml": "../../../../../catalog/shared/openapi.yaml"},
        {},
        {f"{ACME}/a.yaml": "out of", f"{ACME}/b.yaml": "out of", f"{ACME}/c.yaml": "out of"},
    ),
    "what belongs to others": (
        {f"{ACME}/a.yaml": f"../../../../{GLOBEX}/api.yaml",
         f"{ACME}/b.yaml": "../../../../gateways/main.yaml",
         f"{ACME}/c.yaml": "../../../../shared/back.yaml",
         "shared/back.yaml": f"../{GLOBEX}/api.yaml",
         "tenants/evil": "globex",
         f"{GLOBEX}/own.yaml": "../../../acme/apis/a/mine.yaml",
         f"{ACME}/mine.yaml": f"../../../../{GLOBEX}/api.yaml"},
        {},
        {f"{ACME}/a.yaml": "tenant globex", f"{ACME}/b.yaml": "the operator",
         f"{ACME}/c.yaml": "tenant globex", "tenants/evil": "tenant globex",
         f"{GLOBEX}/own.yaml": "tenant acme", f"{ACME}/mine.yaml": "tenant globex"},
    ),
    "an operator's link": (
        {"gateways/more.yaml": f"../{ACME}/api.yaml"},
        {"gateways/more.yaml": f"{ACME}/api.yaml"},
        {},
    ),
    "nowhere, a folder that is empty for a catalog, and a suffix that is not read": (
        {f"{ACME}/a.yaml": "none.yaml", f"{ACME}/b.txt": "api.yaml"},
        {},
        {f"{ACME}/a.yaml": "nowhere"},
    ),
    "loops": (
        {"tenants/acme/up": "../acme", "tenants/acme/self": "self", "tenants/acme/x": "y",
         "tenants/acme/y": "x", "tenants/acme/apis/one/l": "../two",
         "tenants/acme/apis/two/l": "../one", "tenants/acme/all": "../../../catalog",
         "tenants/acme/top": "../.."},
        {},
        {"tenants/acme/up": "itself", "tenants/acme/self": "itself", "tenants/acme/x": "itself",
         "tenants/acme/y": "itself", "tenants/acme/apis/one/l/l": "itself",
         "tenants/acme/apis/two/l/l": "itself", "tenants/acme/all": "out of",
         "tenants/acme/top": "itself"},
    ),
    "files of Git": (
        {f"{ACME}/a.yaml": "../../../../.git/config"}, {}, {f"{ACME}/a.yaml": "out of"},
    ),
}  # fmt: skip

FILES = {
    "gateways/main.yaml": "a: 1\n",
    f"{ACME}/api.yaml": "a: 2\n",
    f"{GLOBEX}/api.yaml": "a: 3\n",
    "shared/openapi.yaml": OPENAPI,
    "shared/plain.txt": "a: 4\n",
    "shared/h/.hidden.yaml": "a: 5\n",
    "shared/h/x.yaml": "a: 6\n",
}


def build(root: Path, files: Mapping[str, str], links: Mapping[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for path, target in links.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)
    return root


def entries(root: Path) -> Iterator[Entry]:
    """What `ls-tree -r` prints of a folder."""
    for folder, folders, files in os.walk(root):
        for name in (*files, *folders):
            path = Path(folder, name)
            if path.is_symlink():
                text = os.fsencode(path.readlink())
                yield Entry(str(path.relative_to(root)), b"120000", f"link {text!r}", None)
            elif path.is_file():
                yield Entry(
                    str(path.relative_to(root)), b"100644", blob_id(path.read_bytes()), None
                )


def as_revision(root: Path) -> Found:
    """Read a folder by the rules for a revision, without Git."""
    found = sorted(entries(root), key=lambda entry: entry.path)
    listing: Listing = classify_entries(found, "x")
    TreeLinks(
        lambda top: [e for e in found if f"{e.path}/".startswith(f"{top}/")],
        lambda links: {e.blob: os.fsencode((root / e.path).readlink()) for e in links},
    ).add_linked(listing, found)
    return listing.files, set(listing.problems), listing.real


def as_folder(root: Path) -> Found:
    tree = FolderSource(root).snapshot()
    return dict(tree.files), set(tree.problems), dict(tree.links)


@pytest.mark.parametrize("prefix", ["", "ops/catalog"])
@pytest.mark.parametrize("case", CASES)
def test_links_of_a_folder_and_of_a_revision_lead_to_the_same(
    case: str, prefix: str, git: Git, tmp_path: Path
) -> None:
    links, added, refused = CASES[case]
    top = tmp_path / "clone"
    root = build(top / prefix, FILES, links)
    git(top, "init", "-q", "-b", "main")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "x")
    folder = as_folder(root)
    tree = open_source(str(root), revision="main", cache_dir=tmp_path / "cache").snapshot()
    assert (dict(tree.files), set(tree.problems), dict(tree.links)) == folder
    own = {path for path in FILES if path.startswith(("gateways/", "tenants/"))}
    assert {path: folder[0][path] for path in folder[0].keys() - own if path in added} == {
        path: blob_id(FILES[goal].encode()) for path, goal in added.items()
    }
    assert {problem.path for problem in folder[1]} == refused.keys()
    for problem in folder[1]:
        assert refused[problem.path] in problem.message
        assert problem.code == "file.symlink"
    for path in tree.files:
        assert tree.read(path)


def test_an_openapi_document_beside_the_catalogs_folders_is_valid_in_both(
    write: Callable[..., Path], git: Git, tmp_path: Path
) -> None:
    root = build(write(), {"shared/openapi.yaml": OPENAPI}, {
        "tenants/acme/apis/billing/openapi.yaml": "../../../../shared/openapi.yaml"
    })  # fmt: skip
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "x")
    for revision in (None, "main"):
        source = open_source(str(root), revision=revision, cache_dir=tmp_path / "cache")
        assert not Reader().read(source.snapshot()).diagnostics


@pytest.mark.parametrize("read", [as_folder, as_revision])
def test_tenants_of_a_mounted_config_map_are_told_apart(
    read: Callable[[Path], Found], tmp_path: Path
) -> None:
    root = build(
        tmp_path / "mount",
        {"..1/gateways/main.yaml": "a: 1\n", "..1/tenants/acme/t.yaml": "a: 2\n",
         "..1/tenants/globex/t.yaml": "a: 3\n"},
        {"..data": "..1", "gateways": "..data/gateways", "tenants": "..data/tenants",
         "..1/tenants/acme/own.yaml": "t.yaml",
         "..1/tenants/acme/foreign.yaml": "../globex/t.yaml"},
    )  # fmt: skip
    files, problems, _ = read(root)
    assert sorted(files) == [
        "gateways/main.yaml", "tenants/acme/own.yaml", "tenants/acme/t.yaml",
        "tenants/globex/t.yaml",
    ]  # fmt: skip
    assert [problem.path for problem in problems] == ["tenants/acme/foreign.yaml"]


@pytest.mark.parametrize("read", [as_folder, as_revision])
def test_links_to_folders_of_links_reach_a_bounded_number_of_files(
    read: Callable[[Path], Found], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "MAX_LINKED", 50)
    bomb = {
        f"tenants/evil/{level}/{name}": f"../{level + 1}" for level in range(12) for name in "abc"
    }
    root = build(
        tmp_path / "catalog",
        {"tenants/evil/12/x.yaml": "a: 1\n", "tenants/acme/t.yaml": "a: 2\n"},
        {**bomb, "tenants/acme/own.yaml": "t.yaml"},
    )
    files, problems, _ = read(root)
    assert len(files) < 100
    assert "tenants/acme/own.yaml" in files
    assert {problem.path.split("/")[1] for problem in problems} == {"evil"}
    assert len(problems) < 100


NAMES = st.sampled_from(["a", "b", "c.yaml"])
PLACES = st.builds(
    "/".join,
    st.tuples(st.sampled_from(["gateways", "tenants/t", "tenants/u", "s"]), NAMES, NAMES),
)
TARGETS = st.builds(
    "/".join,
    st.lists(st.sampled_from(["..", "a", "b", "c.yaml", "t", "u", "tenants", "s", "."]),
             min_size=1, max_size=5),
)  # fmt: skip


@examples(80)
@given(st.dictionaries(PLACES, TARGETS, min_size=1, max_size=6))
@example({"tenants/t/a/a": "../b", "tenants/t/b/a": "../a"})
@example({"s/a/a": "../..", "tenants/t/a/a": "../../../s/a"})
def test_law_any_links_lead_to_the_same_in_a_folder_and_in_a_revision(
    targets: dict[str, str],
) -> None:
    files = {
        f"{folder}/a/c.yaml": f"x: {folder}\n"
        for folder in ("gateways", "tenants/t", "tenants/u", "s")
    }
    with tempfile.TemporaryDirectory() as name:
        root = build(Path(name), files, {p: t for p, t in targets.items() if p not in files})
        assert as_revision(root) == as_folder(root)

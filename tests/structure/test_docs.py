"""The pages of the repository name files, modules and make targets that there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.structure.repository import PACKAGES, ROOT, files_below

DOCS = ROOT / "docs"
FOLDERS = (
    "docs", "stoa_gitops", "proxy", "tests", "benchmarks", "deploy", "catalog-example",
    "integrations",
)  # fmt: skip
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(page for folder in FOLDERS for page in files_below(ROOT / folder, ".md")),
]
CODE = re.compile("`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
# A path in a page is relative to one of these, or to the folder of the page.
ROOTS = (ROOT, ROOT / "stoa_gitops", ROOT / "proxy" / "stoa_proxy", ROOT / "tests")
TOP = {
    path.name
    for root in ROOTS
    for path in root.iterdir()
    if path.is_dir() and not path.name.startswith((".", "_"))
}
# Parts of a path that stand for any name, and addresses.
PLACEHOLDER = re.compile(r"[<>*{}…$ ]|\.\.\.|://")
# Worked examples build these in a temporary folder (tests/structure/test_extending.py).
EXAMPLES = "docs/extending.md"


def code_of(page: Path) -> Iterator[str]:
    """Yield the inline code of a page; blocks of code belong to other tests."""
    text = re.sub(r"^(```|~~~).*?^\1", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    yield from CODE.findall(text)


def is_module(name: str) -> bool:
    """Tell whether a dotted name leads to a module, or to a name inside a module."""
    root, *below = name.split(".")
    path = PACKAGES[root]
    for number, part in enumerate(below):
        if (path / part).is_dir():
            path = path / part
            continue
        module = path / f"{part}.py"
        rest = below[number + 1 :] if module.is_file() else below[number:]
        source = module if module.is_file() else path / "__init__.py"
        return not rest or re.search(rf"\b{rest[0]}\b", source.read_text()) is not None
    return True


def missing_paths(page: Path) -> Iterator[str]:
    for code in code_of(page):
        path = re.sub(r"(::|:\d).*", "", code)
        if "/" not in path or path.split("/")[0] not in TOP or PLACEHOLDER.search(path):
            continue
        if not any((root / path).exists() for root in (*ROOTS, page.parent)):
            yield code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_names_only_files_that_there_are(page: Path) -> None:
    if page.relative_to(ROOT).as_posix() == EXAMPLES:
        pytest.skip("names the files that its examples make")
    assert list(missing_paths(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_names_only_modules_that_there_are(page: Path) -> None:
    names = [code for code in code_of(page) if re.fullmatch(r"stoa_[a-z]+(\.\w+)+", code)]
    assert [name for name in names if name.split(".")[0] in PACKAGES and not is_module(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_links_only_to_files_that_there_are(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_names_only_make_targets_that_there_are(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {target for code in code_of(page) for target in re.findall(r"^make ([^&|;]*)", code)}
    names = {name for words in targets for name in words.split() if re.fullmatch("[a-z-]+", name)}
    assert {name for name in names if not re.search(rf"^{name}:", makefile, re.MULTILINE)} == set()


def test_every_page_has_its_place_on_the_site() -> None:
    config = (ROOT / "mkdocs.yml").read_text()
    navigation = config[config.index("\nnav:") :]
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in files_below(DOCS, ".md")}
    # Decisions are listed on a page of their own.
    placed = {page for page in pages if not re.match(r"adr/\d", page)}
    assert {page for page in placed if not re.search(rf"\b{page}\n", navigation + "\n")} == set()


def test_wrong_paths_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`docs/cli.md` `docs/nothing.md:12` `docs/adr/<nr>.md`\n```\n`docs/x.md`\n```\n"
    )
    assert list(missing_paths(page)) == ["docs/nothing.md:12"]
    assert is_module("stoa_gitops.errors")
    assert not is_module("stoa_gitops.nothing")


def test_the_first_change_of_contributing_is_where_it_says() -> None:
    walk = (ROOT / "CONTRIBUTING.md").read_text()
    searched = re.findall(r'grep -rn "(.+?)" (.+)', walk)
    assert searched
    for text, folders in searched:
        found = {
            path.relative_to(ROOT).as_posix()
            for folder in folders.split()
            for path in files_below(ROOT / folder, ".py")
            if text in path.read_text()
        }
        assert found
        assert all(f"`{path}`" in walk for path in found), found

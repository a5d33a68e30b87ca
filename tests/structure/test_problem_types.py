"""Each type of a refusal that programs can go by is on the page, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from stoa_proxy.core.problems import problem
from stoa_proxy.pipeline.upstreams import _FAILURES, _UNAVAILABLE

from tests.structure.repository import PACKAGES, ROOT, files_below

PAGE = (ROOT / "docs" / "data-plane-admin.md").read_text()
# Makes kinds of the reasons in its two tables.
BY_REASON = PACKAGES["stoa_proxy"] / "pipeline" / "upstreams.py"


def kinds_in(path: Path) -> Iterator[str]:
    """The kinds of problems that a module makes, each of them written out in it."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == problem.__name__:
            for keyword in node.keywords:
                if keyword.arg == "kind":
                    yield from texts_of(keyword.value, tree)


def texts_of(value: ast.expr, tree: ast.Module) -> Iterator[str]:
    match value:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp():
            yield from texts_of(value.body, tree)
            yield from texts_of(value.orelse, tree)
        case ast.Name():
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == value.id:
                    yield from texts_of(node.value, tree)
        case _:
            raise AssertionError(f"the kind {ast.unparse(value)} is not written out")


def test_the_page_names_the_types_that_there_are() -> None:
    found = {*_UNAVAILABLE, *(f"upstream-{reason}" for reason in _FAILURES)}
    for path in files_below(PACKAGES["stoa_proxy"], ".py"):
        if path != BY_REASON:
            found.update(kinds_in(path))
    _, _, after = PAGE.partition("`urn:stoa:problem:` and one of ")
    named = re.findall(r"`([a-z][a-z-]+)`", after.partition("\n\n")[0])
    assert sorted(named) == sorted(found)

"""The files and packages of the repository, as the meta tests see them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Folder of each product package.
PACKAGES = {
    "stoa_gitops": ROOT / "stoa_gitops",
    "stoa_proxy": ROOT / "proxy" / "stoa_proxy",
    "stoa_bootstrap": ROOT / "bootstrap" / "stoa_bootstrap",
}


def files_below(folder: Path, *suffixes: str) -> Iterator[Path]:
    """Yield the files with these suffixes, sorted; none of caches and hidden folders."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "__")) for part in path.relative_to(ROOT).parts[:-1])
        if path.is_file() and path.suffix in suffixes and not hidden:
            yield path


def modules() -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the file of every product module."""
    for folder in PACKAGES.values():
        for path in files_below(folder, ".py"):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def first_sentence(path: Path) -> str:
    """Return the first paragraph's first sentence of a module's docstring, on one line."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return paragraph.partition(". ")[0]

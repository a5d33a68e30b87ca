"""Finds data files that are installed beside the code: the JSON Schemas of the catalog."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from stoa_gitops.errors import UsageError

_VERSION: Final = "v1alpha1"


@cache
def schema_folder() -> Path:
    """Return the folder of the schemas; raises UsageError for an installation without them."""
    package = Path(__file__).resolve().parent.parent
    # A wheel has them inside of the package (pyproject.toml), a checkout beside it.
    candidates = (package / "_schemas" / _VERSION, package.parent / "schemas" / _VERSION)
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise UsageError(f"the schemas are missing from this installation: looked in {candidates[0]}")

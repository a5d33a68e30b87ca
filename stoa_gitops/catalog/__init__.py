"""Git and YAML in, `model.catalog.Catalog` out.

    open_source(location) -> Source -> snapshot() -> Tree -> Reader().read(tree) -> Catalog

Everything is imported when it is first asked for, so that the command starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stoa_gitops.catalog.kinds import kind_names, schema_text
    from stoa_gitops.catalog.reader import Reader
    from stoa_gitops.catalog.sources.base import Source, Tree, open_source

__all__ = ["Reader", "Source", "Tree", "kind_names", "open_source", "schema_text"]

_HOMES = {
    "Reader": "stoa_gitops.catalog.reader",
    "Source": "stoa_gitops.catalog.sources.base",
    "Tree": "stoa_gitops.catalog.sources.base",
    "kind_names": "stoa_gitops.catalog.kinds",
    "open_source": "stoa_gitops.catalog.sources.base",
    "schema_text": "stoa_gitops.catalog.kinds",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)

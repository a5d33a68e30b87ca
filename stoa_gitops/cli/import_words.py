"""What all forms of `import` say in the same words."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from stoa_gitops.catalog.export.three_way.merge import ABSENT, Kept, shown_path
from stoa_gitops.cli.flags import name_of
from stoa_gitops.errors import UsageError
from stoa_gitops.model.unmapped import Unmapped

ROOM: Final = 120
"""Characters of a value that are shown on a terminal."""


def variables(options: Namespace) -> dict[str, str]:
    """Return the values of `--variable NAME=VALUE`; raises UsageError."""
    values = {}
    for text in getattr(options, "variable", None) or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"{name_of(options, 'variable')}: {text!r} is no NAME=VALUE")
        values[name] = value
    return values


def kept_line(what: str, kept: Kept, source: str) -> str:
    """Say that a person's own change stays."""
    imported = "nothing" if kept.imported is ABSENT else repr(kept.imported)[:ROOM]
    return f"{what}: {shown_path(kept.path)} stays as you changed it; {source} says {imported}"


def kept_view(kept: Kept, field: str) -> dict[str, Any]:
    """Return it for JSON."""
    return {
        "field": field,
        "yours": None if kept.yours is ABSENT else kept.yours,
        "imported": None if kept.imported is ABSENT else kept.imported,
    }


def not_expressed_view(item: Unmapped) -> dict[str, str]:
    """Return for JSON what no document says."""
    return {
        "what": item.what,
        "field": item.field,
        "value": item.value,
        "effect": item.effect,
    }

"""`schema [KIND]`: print the JSON Schema of a kind, for editors and for people."""

from __future__ import annotations

from argparse import Namespace

from stoa_gitops.catalog import kind_names, schema_text
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import did_you_mean
from stoa_gitops.errors import UsageError


def execute(options: Namespace) -> Exit:
    """Print one schema, or the names of all kinds."""
    if options.kind is None:
        print("\n".join(kind_names()))
        return Exit.OK
    by_name = {kind.lower(): kind for kind in kind_names()}
    kind = by_name.get(options.kind.lower())
    if kind is None:
        hint = did_you_mean(options.kind, kind_names())
        raise UsageError(f"no kind {options.kind!r}{hint} (there are {', '.join(kind_names())})")
    print(schema_text(kind))
    return Exit.OK

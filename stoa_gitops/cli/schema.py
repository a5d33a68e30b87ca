"""`schema [KIND]`: print the JSON Schema of a kind, for editors and for people."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from stoa_gitops.catalog import kind_names, schema_text
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import did_you_mean, name_of
from stoa_gitops.errors import UsageError
from stoa_gitops.model.counts import counted


def execute(options: Namespace) -> Exit:
    """Print one schema, or the names of all kinds; with `--write` put all schemas into a folder."""
    if options.write:
        if options.kind:
            raise UsageError(f"{name_of(options, 'write')} writes every kind: leave out the kind")
        return _write(Path(options.write))
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


def _write(folder: Path) -> Exit:
    """Write the schemas; those of another version are replaced."""
    from stoa_gitops.operations.starter.templates import schema_files

    texts = schema_files()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from None
    print(f"{counted(len(texts), 'schema')} written to {folder}")
    return Exit.OK

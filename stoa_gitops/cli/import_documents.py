"""`import openapi FILE|URL…`, and the other forms of `import`: documents of a catalog."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stoa_gitops.catalog.export.openapi.imports import Import, Outcome
from stoa_gitops.catalog.export.openapi.three_way import ABSENT, shown_path
from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of
from stoa_gitops.cli.progress import shown
from stoa_gitops.errors import UsageError
from stoa_gitops.model.counts import counted
from stoa_gitops.operations.import_documents import (
    ImportRequest,
    find_differing,
    plan_import,
    write_imports,
)
from stoa_gitops.report.style import printable

_ROOM = 120
"""Characters of a value that are shown on a terminal."""


def execute(options: Namespace) -> Exit:
    """Write the documents and say what they leave out; a person's own changes stay."""
    if options.form != "openapi":
        from stoa_gitops.cli import import_export

        return import_export.execute(options)
    from stoa_gitops.cli.url_document import read_url

    request = ImportRequest(
        options.catalog,
        options.locations,
        options.tenant or "",
        options.name or "",
        options.gateway or (),
        options.backend or "",
        _variables(options),
        options.fetch_refs,
    )
    fetch = partial(read_url, allow_private=options.allow_private)
    with shown("Reading the documents"):
        imports = plan_import(request, fetch, state_folder(options))
    folder = Path(options.catalog).expanduser()
    written = [] if options.dry_run else list(write_imports(folder, imports))
    if options.output == "json":
        from stoa_gitops.cli.status_text import json_text

        sys.stdout.write(json_text(_document(imports, written, options)))
    else:
        for path in find_differing(folder, imports) if options.dry_run else written:
            print(printable(str(path)))
        _print_remarks(imports, options)
    is_refused = any(one.outcome is Outcome.REFUSED for one in imports)
    return Exit.INVALID if is_refused else Exit.OK


def _variables(options: Namespace) -> dict[str, str]:
    values = {}
    for text in options.variable or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"{name_of(options, 'variable')}: {text!r} is no NAME=VALUE")
        values[name] = value
    return values


def _print_remarks(imports: Sequence[Import], options: Namespace) -> None:
    """Say what became of each document, what is not expressed, and what to do next."""
    style = terminal.error_style()
    for one in imports:
        where = printable(one.fetched.shown)
        if one.outcome is Outcome.REFUSED:
            print(style.safe(f"not imported: {one.reason}"), file=sys.stderr)
            continue
        if one.is_renamed:
            print(style.safe(f"{one.key}: named after {one.title!r} of {where}"), file=sys.stderr)
        for kept in one.kept:
            imported = "nothing" if kept.imported is ABSENT else repr(kept.imported)[:_ROOM]
            path = shown_path(kept.path)
            text = f"{one.key}: {path} stays as you changed it; {where} says {imported}"
            print(style.safe(text), file=sys.stderr)
        for item in one.unmapped:
            field = f" {item.field}" if item.field else ""
            value = f" = {item.value[:_ROOM]}" if item.value else ""
            text = f"not expressed: {one.key}: {item.what}{field}{value}: {item.effect}"
            print(style.safe(text), file=sys.stderr)
    counts = ", ".join(
        f"{sum(one.outcome is outcome for one in imports)} {outcome.value}"
        for outcome in Outcome
        if any(one.outcome is outcome for one in imports)
    )
    ahead = " (nothing was written)" if options.dry_run else ""
    print(f"{counted(len(imports), 'document')}: {counts}{ahead}", file=sys.stderr)
    if any(one.outcome in (Outcome.CREATED, Outcome.UPDATED) for one in imports):
        print("Look at the documents, and commit them with .imported.json", file=sys.stderr)


def _document(
    imports: Sequence[Import], written: Sequence[Path], options: Namespace
) -> dict[str, Any]:
    return {
        "format_version": "1.0",
        "written": [printable(str(path)) for path in written],
        "dry_run": bool(options.dry_run),
        "imports": [_view(one) for one in imports],
        "not_expressed": [],
    }


def _view(one: Import) -> dict[str, Any]:
    return {
        "source": one.fetched.shown,
        "outcome": one.outcome.value,
        "api": str(one.key) if one.key is not None else None,
        "title": one.title,
        "files": list(one.files),
        "reason": one.reason,
        "kept": [
            {
                "field": shown_path(kept.path),
                "yours": None if kept.yours is ABSENT else kept.yours,
                "imported": None if kept.imported is ABSENT else kept.imported,
            }
            for kept in one.kept
        ],
        "not_expressed": [
            {"what": item.what, "field": item.field, "value": item.value, "effect": item.effect}
            for item in one.unmapped
        ],
    }

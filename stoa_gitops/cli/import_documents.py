"""`import openapi FILE|URL…`, and the other forms of `import`: documents of a catalog."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stoa_gitops.catalog.export.openapi.imports import Import
from stoa_gitops.catalog.export.three_way.merge import shown_path
from stoa_gitops.catalog.export.three_way.outcomes import Outcome
from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.import_words import (
    ROOM,
    kept_line,
    kept_view,
    not_expressed_view,
    variables,
)
from stoa_gitops.cli.progress import shown
from stoa_gitops.model.counts import counted
from stoa_gitops.operations.import_documents import (
    ImportRequest,
    find_differing,
    plan_import,
    write_imports,
)
from stoa_gitops.report.style import printable


def execute(options: Namespace) -> Exit:
    """Write the documents and say what they leave out; a person's own changes stay."""
    if options.form != "openapi":
        from stoa_gitops.cli import import_files

        return import_files.execute(options)
    from stoa_gitops.cli.url_document import read_url

    request = ImportRequest(
        options.catalog,
        options.locations,
        options.tenant or "",
        options.name or "",
        options.gateway or (),
        options.backend or "",
        variables(options),
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
            print(style.safe(kept_line(str(one.key), kept, where)), file=sys.stderr)
        for item in one.unmapped:
            field = f" {item.field}" if item.field else ""
            value = f" = {item.value[:ROOM]}" if item.value else ""
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
        "gone": [],
    }


def _view(one: Import) -> dict[str, Any]:
    return {
        "source": one.fetched.shown,
        "outcome": one.outcome.value,
        "api": str(one.key) if one.key is not None else None,
        "title": one.title,
        "files": list(one.files),
        "reason": one.reason,
        "kept": [kept_view(kept, shown_path(kept.path)) for kept in one.kept],
        "not_expressed": [not_expressed_view(item) for item in one.unmapped],
    }

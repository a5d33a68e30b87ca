"""`import kong FILE`: documents for what a file of decK, or a declarative one, describes."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stoa_gitops.cli.catalog_options import state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.model.counts import counted
from stoa_gitops.model.unmapped import Unmapped
from stoa_gitops.operations.import_export import (
    ExportImport,
    plan_export_import,
    write_export_import,
)
from stoa_gitops.report.style import printable
from stoa_gitops.report.unmapped import unmapped_lines


def execute(options: Namespace) -> Exit:
    """Write the documents and say what they leave out; never overwrites one."""
    file = Path(options.file).expanduser()
    planned = plan_export_import(
        options.catalog, file, options.form, options.gateway or "", state_folder(options)
    )
    folder = Path(options.catalog).expanduser()
    if options.dry_run:
        paths = [folder / path for path in planned.proposal.texts]
    else:
        paths = list(write_export_import(planned, folder, options.file))
    if options.output == "json":
        from stoa_gitops.cli.status_text import json_text

        sys.stdout.write(json_text(_document(planned, paths, options)))
        return Exit.OK
    for path in paths:
        print(printable(str(path)))
    _print_remarks(planned, options)
    return Exit.OK


def _print_remarks(planned: ExportImport, options: Namespace) -> None:
    for line in unmapped_lines(planned.proposal.unmapped):
        print(line, file=sys.stderr)
    for draft in planned.proposal.drafts:
        if draft.placeholders:
            names = ", ".join(draft.placeholders)
            print(f"{draft.key}: set {names} before you apply it", file=sys.stderr)
    drafts = planned.proposal.drafts
    ahead = " (nothing was written)" if options.dry_run else ""
    count = counted(len(drafts), "document")
    print(f"{count} for {planned.gateway.name}{ahead}", file=sys.stderr)
    if drafts and planned.gateway.gateway_type == options.form:
        keys = " ".join(str(key) for draft in drafts for key in draft.keys)
        print("Where these objects are on the gateway already:", file=sys.stderr)
        print(f"stoa-gitops adopt {planned.gateway.name} {keys}", file=sys.stderr)


def _document(planned: ExportImport, paths: Sequence[Path], options: Namespace) -> dict[str, Any]:
    unmapped = planned.proposal.unmapped
    drafted = {key: draft for draft in planned.proposal.drafts for key in draft.keys}
    imports = [
        {
            "source": options.file,
            "outcome": "created",
            "api": str(draft.key),
            "title": "",
            "files": [draft.path],
            "reason": "",
            "kept": [],
            "not_expressed": [_view(item) for item in unmapped if item.key in draft.keys],
        }
        for draft in planned.proposal.drafts
    ]
    return {
        "format_version": "1.0",
        "written": [] if options.dry_run else [printable(str(path)) for path in paths],
        "dry_run": bool(options.dry_run),
        "imports": imports,
        "not_expressed": [_view(item) for item in unmapped if item.key not in drafted],
    }


def _view(item: Unmapped) -> dict[str, str]:
    return {
        "what": item.what,
        "field": item.field,
        "value": item.value,
        "effect": item.effect,
    }

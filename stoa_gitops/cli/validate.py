"""`validate`: every finding of a catalog, for people, editors, code scanning and CI."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from stoa_gitops import __version__
from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import path_from_here, read, read_only
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of, selection
from stoa_gitops.errors import UsageError
from stoa_gitops.model.counts import counted
from stoa_gitops.operations.validate import CatalogReading, check_selection, is_valid, is_within
from stoa_gitops.report.finding_text import repository_path

_MARKS: Final = ("catalog.yaml", "gateways", "environments", "platform", "tenants")
"""What a catalog's folder has one of; no folder within a catalog has."""


def execute(options: Namespace) -> Exit:
    """Print every finding on stdout; the exit code says whether the catalog is valid.

    With paths, only findings of these files and folders count.
    """
    paths = [Path(path) for path in options.paths]
    if paths:
        options.catalog = _catalog_of(paths, options.catalog)
    reading = _read_fixed(options, paths) if options.fix else read_only(options)
    # A broken document may be the one that is asked for: the findings say more than "no gateway".
    if not reading.catalog.errors:
        check_selection(reading.catalog, selection(options))
    if options.lint:
        from stoa_gitops.operations.advice import add_advice

        reading = add_advice(reading, options.ignore or (), datetime.now(UTC))
    elif options.ignore:
        raise UsageError(f"{name_of(options, 'ignore')} goes with --lint")
    if paths:
        reading = _restricted(reading, paths, options)
    sys.stdout.write(_findings_output(reading, options))
    return Exit.OK if is_valid(reading.catalog, strict=options.strict) else Exit.INVALID


def _read_fixed(options: Namespace, paths: Sequence[Path]) -> CatalogReading:
    """Repair findings until there is nothing left to repair; say on stderr which they were."""
    from stoa_gitops.operations.fix_findings import MAX_ROUNDS, apply_fixes

    root = Path(options.catalog)
    if options.revision or not root.is_dir():
        raise UsageError("--fix writes files of a folder: leave out --revision, and name a folder")
    count = 0
    for _ in range(MAX_ROUNDS):
        reading = read(options)
        chosen = _restricted(reading, paths, options, is_quiet=True) if paths else reading
        fixed = apply_fixes(root, chosen.catalog.diagnostics)
        if not fixed:
            break
        count += len(fixed)
        for finding in fixed:
            where = f"{repository_path(finding.source.path, path_from_here(options))}:"
            text = f"fixed {where}{finding.source.line}: {finding.code}: {finding.message}"
            print(terminal.error_style().safe(text), file=sys.stderr)
    print(f"{counted(count, 'finding')} fixed", file=sys.stderr)
    return read_only(options)


def _catalog_of(paths: Sequence[Path], named: str) -> str:
    """Return the catalog that `--catalog` names, or the one around the first path.

    Editors and hooks name files, and run anywhere.
    """
    if named != "." or _is_catalog(Path()):
        return named
    first = _absolute(paths[0])
    around = (folder for folder in (first, *first.parents) if _is_catalog(folder))
    return os.path.relpath(next(around, Path.cwd()))


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links, too


def _is_catalog(folder: Path) -> bool:
    return any((folder / mark).exists() for mark in _MARKS)


def _restricted(
    reading: CatalogReading, paths: Sequence[Path], options: Namespace, *, is_quiet: bool = False
) -> CatalogReading:
    """Leave the findings of some files and folders; say on stderr how many others there are."""
    chosen = [_path_in_catalog(path, options, reading) for path in paths]
    found = reading.catalog.diagnostics
    kept = tuple(f for f in found if any(is_within(f.source.path, path) for path in chosen))
    if (others := len(found) - len(kept)) and not is_quiet:
        print(f"{counted(others, 'finding')} elsewhere in the catalog", file=sys.stderr)
    return replace(reading, catalog=replace(reading.catalog, diagnostics=kept))


def _path_in_catalog(path: Path, options: Namespace, reading: CatalogReading) -> str:
    """Return a path as the catalog has it, empty for its root; UsageError where it has none."""
    # A repository elsewhere has no place among the folders here: its paths are its own.
    if not Path(options.catalog).is_dir():
        relative = os.path.normpath(path)
    else:
        root = _absolute(Path(options.catalog))
        # Both ways: the catalog may be reached by a link, and hold links itself.
        relative = os.path.relpath(_absolute(path), root)
        if relative.startswith(".."):
            relative = os.path.relpath(path.resolve(), root.resolve())
    inner = Path(relative).as_posix().removeprefix("./")
    if set(inner.split("/")) <= {".", ".."}:
        return ""  # the catalog's own folder, or one around it
    if path.exists() or any(is_within(file, inner) for file in reading.tree.files):
        if not inner.startswith("../"):
            return inner
        raise UsageError(f"{path} is not in the catalog {options.catalog}; --catalog names another")
    raise UsageError(f"{path} does not exist, neither here nor in the catalog {options.catalog}")


def _findings_output(reading: CatalogReading, options: Namespace) -> str:
    """Machines want paths from the repository's root, people from where they are."""
    catalog, prefix = reading.catalog, reading.prefix
    findings, documents = catalog.diagnostics, catalog.documents
    match options.output:
        case "json":
            from stoa_gitops.report.json_output import diagnostics_json

            return diagnostics_json(findings, documents=documents, prefix=prefix)
        case "sarif":
            from stoa_gitops.report.sarif import diagnostics_sarif

            return diagnostics_sarif(findings, version=__version__, prefix=prefix)
        case "junit":
            from stoa_gitops.report.junit import diagnostics_junit

            return diagnostics_junit(findings, documents=documents, prefix=prefix)
        case "github":
            from stoa_gitops.report.github import diagnostics_github

            return diagnostics_github(findings, prefix=prefix)
        case _ if options.paths:
            from stoa_gitops.report.findings import diagnostics_text

            if not findings:
                return f"No findings in {', '.join(options.paths)}.\n"
            return diagnostics_text(findings, terminal.style(), prefix=path_from_here(options))
        case _:
            from stoa_gitops.report.findings import catalog_text

            return catalog_text(catalog, terminal.style(), prefix=path_from_here(options))

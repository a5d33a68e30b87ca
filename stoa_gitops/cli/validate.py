"""`validate`: every finding of a catalog, for people, editors, code scanning and CI."""

from __future__ import annotations

import sys
from argparse import Namespace

from stoa_gitops import __version__
from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import path_from_here, read_only
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import selection
from stoa_gitops.operations.validate import CatalogReading, check_selection, is_valid


def execute(options: Namespace) -> Exit:
    """Print every finding on stdout; the exit code says whether the catalog is valid."""
    reading = read_only(options)
    # A broken document may be the one that is asked for: the findings say more than "no gateway".
    if not reading.catalog.errors:
        check_selection(reading.catalog, selection(options))
    sys.stdout.write(_findings_output(reading, options))
    return Exit.OK if is_valid(reading.catalog, strict=options.strict) else Exit.INVALID


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
        case _:
            from stoa_gitops.report.findings import catalog_text

            return catalog_text(catalog, terminal.style(), prefix=path_from_here(options))

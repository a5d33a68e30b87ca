"""`validate`: everything that is wrong with a catalog, for people, editors, code scanning and CI."""

from __future__ import annotations

import sys
from argparse import Namespace

from stoa_gitops import __version__
from stoa_gitops.cli import catalog_options as reading
from stoa_gitops.cli import terminal
from stoa_gitops.cli.exits import Exit
from stoa_gitops.model.catalog import Catalog


def execute(options: Namespace) -> Exit:
    """Read, print every finding on stdout, and say by the exit code whether the catalog is valid."""
    catalog, prefix = reading.read_only(options)
    if not catalog.errors:
        reading.check_filters(catalog, options)
    sys.stdout.write(_rendered(catalog, prefix, options))
    if catalog.errors or (options.strict and catalog.warnings):
        return Exit.INVALID
    return Exit.OK


def _rendered(catalog: Catalog, prefix: str, options: Namespace) -> str:
    """Machines want paths from the repository's root, people from where they are."""
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

            return catalog_text(catalog, terminal.style(), prefix=reading.from_here(options))

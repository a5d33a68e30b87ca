"""`diff`: what differs between two revisions, environments or gateways of a catalog."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import read
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of
from stoa_gitops.errors import CatalogInvalid, UsageError
from stoa_gitops.operations.diff import diff_environments, diff_gateways, diff_revisions
from stoa_gitops.operations.validate import check_selection, require_name
from stoa_gitops.report.findings import diagnostics_text

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.difference import Difference


def execute(options: Namespace) -> Exit:
    """Print the difference in the form that is asked for."""
    difference = _difference(options)
    sys.stdout.write(_output(difference, options.output))
    if options.detailed_exitcode and not difference.is_empty:
        return Exit.CHANGES
    return Exit.OK


def _difference(options: Namespace) -> Difference:
    revisions = _revisions(options)
    environments, gateways = options.env or [], options.gateway or []
    for name, values in (("env", environments), ("gateway", gateways)):
        if len(values) > 2:
            raise UsageError(f"{name_of(options, name)} is given {len(values)} times: compare two")
    pairs = [values for values in (environments, gateways) if len(values) == 2]
    if len(pairs) + (len(revisions) == 2) != 1:
        raise UsageError(
            "compare two revisions (diff main HEAD), or a revision with the files (diff main), or "
            "two of --env or --gateway"
        )
    if not pairs:
        return _of_revisions(options, revisions, environments, gateways)
    catalog = _read(options, revisions[0] if revisions else None)
    if options.tenant:
        require_name("tenant", options.tenant, catalog.tenants)
    if len(environments) == 2:
        if gateways:
            raise UsageError(f"{name_of(options, 'gateway')} has no place between environments")
        return diff_environments(catalog, environments[0], environments[1], options.tenant)
    if environments:
        raise UsageError(f"{name_of(options, 'env')} has no place between gateways")
    return diff_gateways(catalog, gateways[0], gateways[1], options.tenant)


def _revisions(options: Namespace) -> list[str | None]:
    """Return the revisions that are named; None stands for the files of the folder."""
    named: list[str] = list(options.revisions)
    if len(named) == 1 and ".." in named[0]:
        # As git diff has it: `main..HEAD`, either of which may be left out.
        before, _, after = named[0].partition("..")
        return [before or "HEAD", after.removeprefix(".") or "HEAD"]
    if len(named) > 2:
        raise UsageError(f"{len(named)} revisions are given: compare two")
    is_pair_elsewhere = len(options.env or ()) == 2 or len(options.gateway or ()) == 2
    if len(named) == 1 and not is_pair_elsewhere:
        return [named[0], None]
    return list(named)


def _of_revisions(
    options: Namespace, revisions: list[str | None], environments: list[str], gateways: list[str]
) -> Difference:
    from stoa_gitops.reconcile.selection import Selection

    before, after = (_read(options, revision) for revision in revisions)
    selection = Selection(
        frozenset(gateways), environments[0] if environments else None, options.tenant or None
    )
    # What one of them has may be what is new.
    try:
        check_selection(after, selection)
    except UsageError:
        check_selection(before, selection)
    return diff_revisions(before, after, selection)


def _read(options: Namespace, revision: str | None) -> Catalog:
    """Read one revision; CatalogInvalid, with its findings on stderr, where it has errors."""
    options.revision = None
    catalog = read(options, revision).catalog
    if catalog.blocking_errors and not options.keep_going:
        sys.stderr.write(diagnostics_text(catalog.errors, terminal.error_style()))
        raise CatalogInvalid(
            f"{catalog.revision} is invalid, so nothing was compared; --keep-going compares what "
            "is valid"
        )
    return catalog


def _output(difference: Difference, form: str) -> str:
    from stoa_gitops.report import difference as report

    match form:
        case "json":
            return report.difference_json(difference)
        case "markdown":
            return report.difference_markdown(difference)
        case _:
            return report.difference_text(difference, terminal.style())

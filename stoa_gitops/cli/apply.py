"""`apply`: show the plan, ask, carry it out, and say what came of it."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace

from stoa_gitops.cli import catalog_options as reading
from stoa_gitops.cli import progress, terminal
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.plan import rendered
from stoa_gitops.cli.selection import selection
from stoa_gitops.errors import DigestMismatch, UnsafePlan, UsageError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.report.recap import report_text
from stoa_gitops.report.summary import ReportVerdict, report_verdict

_DIGEST_AT_LEAST = 8


def execute(options: Namespace) -> Exit:
    """Apply what the plan shows, and nothing that a guard holds unless forced."""
    if options.digest and len(options.digest) < _DIGEST_AT_LEAST:
        raise UsageError(f"--digest takes at least {_DIGEST_AT_LEAST} digits of the plan's digest")
    catalog = reading.read_valid(options)
    return asyncio.run(_apply(catalog, options))


async def _apply(catalog: Catalog, options: Namespace) -> Exit:
    from stoa_gitops.operations.workspace import Workspace

    async with Workspace.open(reading.state_folder(options)) as workspace:
        with progress.shown("Observing gateways"):
            prepared = await workspace.prepare(catalog, selection(options))
        is_json = options.output == "json"
        shown = sys.stderr if is_json else sys.stdout
        shown.write(rendered(prepared.plans, "text"))
        shown.flush()
        _check(prepared.plans, options)
        if not _consents(prepared.plans, options):
            print("Nothing was applied.", file=sys.stderr)
            return Exit.FAILED
        with progress.shown("Applying"):
            reports = await workspace.apply(prepared, force=options.force)
    if is_json:
        from stoa_gitops.report.json_output import report_json

        sys.stdout.write(report_json(reports))
    else:
        sys.stdout.write("\n" + report_text(reports, terminal.style()))
    match report_verdict(reports):
        case ReportVerdict.UNREACHABLE:
            return Exit.FAILED
        case ReportVerdict.PARTIAL:
            return Exit.INCOMPLETE
        case _:
            return Exit.OK


def _check(plans: PlanSet, options: Namespace) -> None:
    """Refuse a plan that is not the reviewed one, or that a guard holds."""
    if options.digest and not plans.digest.startswith(options.digest.lower()):
        raise DigestMismatch(
            f"the plan is now {plans.digest[:8]}, not {options.digest}: something changed since it was "
            "reviewed; look at it again and apply its digest"
        )
    holds = [hold for plan in plans.plans for hold in plan.holds]
    if holds and not options.force:
        raise UnsafePlan(
            f"refused: {holds[0].message}; nothing was applied. "
            "--force applies it when it is what you want"
        )


def _consents(plans: PlanSet, options: Namespace) -> bool:
    """Return whether a person agreed: by --yes, by the digest of what was reviewed, or here."""
    if options.yes or options.digest or not any(plan.changes for plan in plans.plans):
        return True
    return terminal.confirm("Apply this plan?")

"""`gateways prune NAME`: remove the objects of a gateway whose document is gone."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import read, state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.progress import shown
from stoa_gitops.errors import UnsafePlan
from stoa_gitops.model.counts import counted

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance
    from stoa_gitops.model.plan import PlanSet


def execute(options: Namespace) -> Exit:
    """Show what would be removed, ask, and remove it."""
    from stoa_gitops.operations.prune import check_document_gone, former_gateway, without_objects

    current = read(options).catalog
    check_document_gone(current, options.name)
    instance = former_gateway(current, _read_former(options), options.name, options.origin)
    return asyncio.run(_prune(without_objects(current, instance), instance, options))


def _read_former(options: Namespace) -> Catalog:
    """Read the catalog that still has the document: `--from` is a folder or a revision."""
    if not Path(options.origin).is_dir():
        return read(options, options.origin).catalog
    # A copy: the options of the current catalog are needed afterwards.
    earlier = Namespace(**vars(options))
    earlier.catalog, earlier.revision = options.origin, None
    return read(earlier).catalog


async def _prune(catalog: Catalog, instance: GatewayInstance, options: Namespace) -> Exit:
    from stoa_gitops.operations.prune import apply_prune, plan_prune
    from stoa_gitops.operations.workspace import Workspace
    from stoa_gitops.report.plan import plan_text
    from stoa_gitops.report.recap import report_text

    async with Workspace.open(state_folder(options)) as workspace:
        with shown(f"Observing {instance.name}"):
            prepared = await plan_prune(workspace, catalog, instance)
        # This plan is applied here or not at all.
        sys.stdout.write(plan_text(prepared.plans, terminal.style(), with_digest=False))
        sys.stdout.flush()
        # Deleting what could not be listed would be a guess.
        if not prepared.plans.is_complete:
            return Exit.FAILED
        if not options.force:
            _check_guards(prepared.plans)
        count = sum(len(plan.changes) for plan in prepared.plans.plans)
        question = f"Delete {counted(count, 'object')} on {instance.name}?"
        if count and not options.yes and not terminal.confirm(question):
            print("Nothing was deleted.", file=sys.stderr)
            return Exit.FAILED
        with shown(f"Deleting on {instance.name}"):
            principal = workspace.context.principal
            reports = await apply_prune(
                workspace, catalog, prepared, principal, force=options.force
            )
    sys.stdout.write("\n" + report_text(reports, terminal.style()))
    is_done = all(report.is_converged for report in reports.reports)
    return Exit.OK if is_done else Exit.INCOMPLETE


def _check_guards(plans: PlanSet) -> None:
    from stoa_gitops.operations.apply import check_guards

    try:
        check_guards(plans)
    except UnsafePlan as error:
        raise UnsafePlan(f"{error}; nothing was deleted") from None

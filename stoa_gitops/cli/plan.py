"""`plan`: what would change on each gateway. It never writes."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import read, read_valid, state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import selection
from stoa_gitops.cli.progress import shown

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.plan import PlanSet


def execute(options: Namespace) -> Exit:
    """Print the plan in the form that is asked for."""
    catalog = read_valid(options)
    if options.base:
        plans = _plan_revisions(catalog, options)
    else:
        plans = asyncio.run(_plan_gateways(catalog, options))
    sys.stdout.write(plan_output(plans, options.output, with_created=options.fields))
    # Over pending changes: nobody can review what could not be read.
    if not plans.is_complete:
        return Exit.FAILED
    if options.detailed_exitcode and not plans.is_empty:
        return Exit.CHANGES
    return Exit.OK


def plan_output(plans: PlanSet, form: str, *, with_created: bool = False) -> str:
    """Return a plan as text of one of the forms of `--output`.

    `with_created` lists the fields of objects that are created, too.
    """
    match form:
        case "json":
            from stoa_gitops.report.json_output import plan_json

            return plan_json(plans, with_created=with_created)
        case "jsonl":
            from stoa_gitops.report.json_output import plan_jsonl

            return "".join(plan_jsonl(plans, with_created=with_created))
        case "markdown":
            from stoa_gitops.report.markdown import plan_markdown

            return plan_markdown(plans, with_created=with_created)
        case _:
            from stoa_gitops.report.plan import plan_text

            return plan_text(plans, terminal.style(), with_created=with_created)


async def _plan_gateways(catalog: Catalog, options: Namespace) -> PlanSet:
    from stoa_gitops.operations.plan import plan_gateways
    from stoa_gitops.operations.workspace import Workspace

    async with Workspace.open(state_folder(options)) as workspace:
        with shown("Observing gateways"):
            return (await plan_gateways(workspace, catalog, selection(options))).plans


def _plan_revisions(catalog: Catalog, options: Namespace) -> PlanSet:
    from datetime import UTC, datetime

    from stoa_gitops.operations.plan import plan_revisions

    base = read(options, options.base).catalog
    return plan_revisions(base, catalog, selection(options), datetime.now(UTC))

"""`plan`: what would change on each gateway. It never writes."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace

from stoa_gitops.cli import catalog_options as reading
from stoa_gitops.cli import terminal
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.progress import shown
from stoa_gitops.cli.selection import selection
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.plan import PlanSet


def execute(options: Namespace) -> Exit:
    """Print the plan in the form that is asked for."""
    catalog = reading.read_valid(options)
    if options.base:
        plans = _against_base(catalog, options)
    else:
        plans = asyncio.run(_against_gateways(catalog, options))
    sys.stdout.write(rendered(plans, options.output))
    if not plans.is_complete:
        return Exit.FAILED
    if options.detailed_exitcode and not plans.is_empty:
        return Exit.CHANGES
    return Exit.OK


def rendered(plans: PlanSet, form: str) -> str:
    """Return a plan as text of one of the forms of `--output`."""
    match form:
        case "json":
            from stoa_gitops.report.json_output import plan_json

            return plan_json(plans)
        case "jsonl":
            from stoa_gitops.report.json_output import plan_jsonl

            return "".join(plan_jsonl(plans))
        case "markdown":
            from stoa_gitops.report.markdown import plan_markdown

            return plan_markdown(plans)
        case _:
            from stoa_gitops.report.plan import plan_text

            return plan_text(plans, terminal.style())


async def _against_gateways(catalog: Catalog, options: Namespace) -> PlanSet:
    from stoa_gitops.operations.workspace import Workspace

    async with Workspace.open(reading.state_folder(options)) as workspace:
        with shown("Observing gateways"):
            return (await workspace.prepare(catalog, selection(options))).plans


def _against_base(catalog: Catalog, options: Namespace) -> PlanSet:
    from datetime import UTC, datetime

    from stoa_gitops.operations.plan_revisions import compare

    base, _ = reading.read(options, options.base)
    return compare(base, catalog, selection(options), datetime.now(UTC))

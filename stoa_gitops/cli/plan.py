"""`plan`: what would change on each gateway. It never writes."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING

from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import path_from_here, read, read_valid, state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import selection
from stoa_gitops.cli.progress import shown
from stoa_gitops.report.finding_text import repository_path

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.changes import Change
    from stoa_gitops.model.plan import PlanSet


def execute(options: Namespace) -> Exit:
    """Print the plan in the form that is asked for."""
    catalog = read_valid(options)
    if options.base:
        plans = _plan_revisions(catalog, options)
    else:
        plans = asyncio.run(_plan_gateways(catalog, options))
    sys.stdout.write(_output(plans, options))
    # Over pending changes: nobody can review what could not be read.
    if not plans.is_complete:
        return Exit.FAILED
    if options.detailed_exitcode and not plans.is_empty:
        return Exit.CHANGES
    return Exit.OK


def plan_output(plans: PlanSet, form: str, *, with_created: bool = False, prefix: str = "") -> str:
    """Return a plan as text of one of the forms of `--output`.

    `with_created` lists the fields of objects that are created, too. `prefix` is the catalog's
    folder as seen from the current one; only people want it, machines want the catalog's paths.
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

            return plan_text(
                _seen_from_here(plans, prefix), terminal.style(), with_created=with_created
            )


def _output(plans: PlanSet, options: Namespace) -> str:
    prefix = path_from_here(options)
    return plan_output(plans, options.output, with_created=options.fields, prefix=prefix)


def _seen_from_here(plans: PlanSet, prefix: str) -> PlanSet:
    """Return the plans with positions that an editor opens from the current folder."""
    if prefix in {"", "."}:
        return plans
    return replace(
        plans,
        plans=tuple(
            replace(
                plan, changes=tuple(_change_from_here(change, prefix) for change in plan.changes)
            )
            for plan in plans.plans
        ),
    )


def _change_from_here(change: Change, prefix: str) -> Change:
    resource = change.resource
    # What was applied last stands for a broken document: its source is no path.
    if resource is None or resource.source.path.startswith("("):
        return change
    source = replace(resource.source, path=repository_path(resource.source.path, prefix))
    return replace(change, resource=replace(resource, source=source))


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

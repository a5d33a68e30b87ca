"""`plan`: what would change on each gateway. It never writes."""

from __future__ import annotations

import asyncio
import shlex
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stoa_gitops.cli import registered, terminal
from stoa_gitops.cli.catalog_options import path_from_here, read, read_valid, state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of, selection
from stoa_gitops.cli.progress import shown
from stoa_gitops.errors import UsageError
from stoa_gitops.report.finding_text import repository_path

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.changes import Change
    from stoa_gitops.model.plan import PlanSet
    from stoa_gitops.operations.plan import PreparedSet
    from stoa_gitops.operations.validate import CatalogReading


def execute(options: Namespace) -> Exit:
    """Print the plan in the form that is asked for."""
    if options.out and options.base:
        raise UsageError(
            f"{name_of(options, 'out')}: a plan of two revisions asks no gateway, so it cannot be "
            f"applied; leave out {name_of(options, 'base')}"
        )
    options.fields = options.fields or options.detail
    if options.watch:
        from stoa_gitops.cli.plan_watch import watch

        return watch(options, lambda plans: _output(plans, options))
    if registered.is_for_registered(options) and not options.base:
        return registered.plan(options)
    catalog = read_valid(options, _comment_findings if options.output == "markdown" else _nothing)
    if options.base:
        plans = _plan_revisions(catalog, options)
    else:
        registered.note_documents(catalog, options)
        plans = asyncio.run(_plan_gateways(catalog, options))
    sys.stdout.write(_output(plans, options))
    # Over pending changes: nobody can review what could not be read.
    if not plans.is_complete:
        return Exit.FAILED
    if options.detailed_exitcode and not plans.is_empty:
        return Exit.CHANGES
    return Exit.OK


def _comment_findings(reading: CatalogReading) -> None:
    """Print why there is no plan: the comment of the last run would say what is no longer so."""
    from stoa_gitops.report.markdown_findings import findings_markdown

    sys.stdout.write(findings_markdown(reading.catalog.diagnostics, prefix=reading.prefix))


def _nothing(_: CatalogReading) -> None:
    """Print nothing: a program that reads the output goes by the exit code."""


def plan_output(
    plans: PlanSet,
    form: str,
    *,
    with_created: bool = False,
    prefix: str = "",
    saved_as: str = "",
) -> str:
    """Return a plan as text of one of the forms of `--output`.

    `with_created` lists the fields of objects that are created, too. `prefix` is the catalog's
    folder as seen from the current one, `saved_as` the quoted file that `apply` takes; only people
    want them, machines want the catalog's paths.
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
                _seen_from_here(plans, prefix),
                terminal.style(),
                with_created=with_created,
                saved_as=saved_as,
            )


def _output(plans: PlanSet, options: Namespace) -> str:
    is_saved = options.out and plans.is_complete
    return plan_output(
        plans,
        options.output,
        with_created=options.fields,
        prefix=path_from_here(options),
        saved_as=shlex.quote(options.out) if is_saved else "",
    )


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
            prepared = await plan_gateways(workspace, catalog, selection(options))
    if options.out and prepared.plans.is_complete:
        _save(prepared, catalog, options)
    elif options.out:
        print(f"{options.out} is not written: a gateway could not be observed", file=sys.stderr)
    return prepared.plans


def _save(prepared: PreparedSet, catalog: Catalog, options: Namespace) -> None:
    """Write the plan to the file of `--out`."""
    from stoa_gitops.catalog.sources.base import is_url
    from stoa_gitops.operations.saved_plan import save_plan
    from stoa_gitops.report.json_output import plan_document

    where = options.catalog
    save_plan(
        Path(options.out),
        prepared,
        catalog,
        selection(options),
        plan_document(prepared.plans, with_created=options.fields),
        location=where if is_url(where) else str(Path(where).expanduser().absolute()),
        revision=options.revision,
        keep_going=options.keep_going,
    )
    # The text for people ends with it; output for programs has no place for it.
    if not prepared.plans.is_empty and options.output != "text":
        how = f"stoa-gitops apply {shlex.quote(options.out)}"
        print(f"Apply exactly this plan: {how}", file=sys.stderr)


def _plan_revisions(catalog: Catalog, options: Namespace) -> PlanSet:
    from datetime import UTC, datetime

    from stoa_gitops.operations.plan import plan_revisions

    base = read(options, options.base).catalog
    return plan_revisions(base, catalog, selection(options), datetime.now(UTC))

"""`apply`: show the plan, ask, apply it, and show what came of it."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stoa_gitops.cli import progress, registered, terminal
from stoa_gitops.cli.catalog_options import path_from_here, read_valid, state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import DEFAULT_CATALOG, name_of, selection
from stoa_gitops.cli.plan import plan_output
from stoa_gitops.errors import UnsafePlan, UsageError
from stoa_gitops.report.summary import ReportVerdict, report_verdict

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.outcomes import ReportSet
    from stoa_gitops.model.plan import PlanSet
    from stoa_gitops.operations.output_views import SavedPlanView

_MIN_DIGEST_DIGITS: Final = 8
"""As many as the text of a plan shows; fewer would let another plan pass by accident."""

_EXITS: Final = {
    ReportVerdict.UNREACHABLE: Exit.FAILED,
    ReportVerdict.PARTIAL: Exit.INCOMPLETE,
}


def execute(options: Namespace) -> Exit:
    """Apply what the plan shows, and nothing that a guard holds unless forced."""
    if options.digest and len(options.digest) < _MIN_DIGEST_DIGITS:
        raise UsageError(
            f"{name_of(options, 'digest')} takes at least {_MIN_DIGEST_DIGITS} digits "
            "of the plan's digest"
        )
    options.fields = options.fields or options.detail
    saved = _load(options) if options.plan else None
    if saved is None and registered.is_for_registered(options):
        if _is_archive(options):
            raise UsageError(f"{name_of(options, 'via')}: {options.gateway[0]} imports no archives")
        return registered.apply(options)
    catalog = read_valid(options)
    registered.note_documents(catalog, options)
    return asyncio.run(_apply(catalog, options, saved))


def _is_archive(options: Namespace) -> bool:
    return bool(options.via == "archive")


def _load(options: Namespace) -> SavedPlanView:
    """Read the saved plan, and take from it what the command line does not say.

    Raises UsageError where the command line says something else.
    """
    from stoa_gitops.operations.saved_plan import check_program, load_plan

    saved = load_plan(Path(options.plan))
    check_program(saved)
    of_plan = {
        "revision": saved.catalog.revision,
        "env": saved.selection.environment,
        "tenant": saved.selection.tenant,
        "gateway": saved.selection.gateways or None,
    }
    for name, value in of_plan.items():
        given = getattr(options, name)
        if given and (sorted(given) if name == "gateway" else given) != value:
            raise UsageError(
                f"{name_of(options, name)}: {options.plan} is a plan for "
                f"{_shown(value)}; leave it out, or make another plan"
            )
        setattr(options, name, value)
    # A job that applies may have the catalog elsewhere than the job that planned.
    if options.catalog == DEFAULT_CATALOG:
        options.catalog = saved.catalog.location
    options.keep_going = saved.keep_going
    return saved


def _shown(value: str | list[str] | None) -> str:
    return ", ".join(value) if isinstance(value, list) else value or "all"


async def _apply(catalog: Catalog, options: Namespace, saved: SavedPlanView | None) -> Exit:
    from stoa_gitops.operations.apply import apply_plans, check_archives
    from stoa_gitops.operations.plan import plan_gateways
    from stoa_gitops.operations.workspace import Workspace

    async with Workspace.open(state_folder(options)) as workspace:
        with progress.shown("Observing gateways"):
            prepared = await plan_gateways(workspace, catalog, selection(options))
        # Where stdout is for a document, the plan that a person consents to goes to stderr.
        stream = sys.stderr if options.output == "json" else sys.stdout
        stream.write(
            plan_output(
                prepared.plans, "text", with_created=options.fields, prefix=path_from_here(options)
            )
        )
        stream.flush()
        if saved is not None:
            from stoa_gitops.operations.saved_plan import check_unmoved

            check_unmoved(saved, catalog, prepared)
        if _is_archive(options):
            check_archives(workspace, prepared)
        _check(prepared.plans, options)
        if not _consents(prepared.plans, options):
            print("Nothing was applied.", file=sys.stderr)
            return Exit.FAILED
        with progress.shown("Applying"):
            reports = await apply_plans(
                workspace,
                prepared,
                workspace.context.principal,
                force=options.force,
                as_archive=_is_archive(options),
            )
    sys.stdout.write(_report_output(reports, options.output))
    # What is broken in the catalog was not applied, so this is no success either.
    otherwise = Exit.INCOMPLETE if catalog.errors else Exit.OK
    return _EXITS.get(report_verdict(reports), otherwise)


def _check(plans: PlanSet, options: Namespace) -> None:
    """Refuse a plan that is not the reviewed one, or that a guard holds."""
    from stoa_gitops.operations.apply import check_digest, check_guards

    if options.digest:
        check_digest(plans, options.digest)
    if options.force:
        return
    try:
        check_guards(plans)
    except UnsafePlan as error:
        raise UnsafePlan(
            f"{error}; nothing was applied. --force applies it when it is what you want"
        ) from None


def _consents(plans: PlanSet, options: Namespace) -> bool:
    """Return whether a person agreed: by --yes, by what was reviewed, or here."""
    # A digest or a saved plan is consent: somebody has seen exactly this plan.
    if (
        options.yes
        or options.digest
        or options.plan
        or not any(plan.changes for plan in plans.plans)
    ):
        return True
    return terminal.confirm("Apply this plan?")


def _report_output(reports: ReportSet, form: str) -> str:
    if form == "json":
        from stoa_gitops.report.json_output import report_json

        return report_json(reports)
    from stoa_gitops.report.recap import report_text

    return "\n" + report_text(reports, terminal.style())

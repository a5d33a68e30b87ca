"""`adopt`: take ownership of objects that exist on a gateway, or write documents for them."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import read_for_gateway, state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.errors import UsageError
from stoa_gitops.model.keys import Key

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance


def execute(options: Namespace) -> Exit:
    """Adopt the keys that are given, or write documents with `--write`."""
    if not options.keys and not options.write:
        raise UsageError(
            "name the objects to adopt, or a folder to write documents into by --write"
        )
    if options.origin and not options.write:
        raise UsageError(
            "--from FILE goes with --write DIR: objects are adopted from the gateway itself"
        )
    keys = tuple(_key(text) for text in options.keys)
    catalog, instance = read_for_gateway(options)
    if options.write:
        from stoa_gitops.cli import adopt_write

        return adopt_write.execute(catalog, instance, keys, options)
    return asyncio.run(_adopt(catalog, instance, keys, options))


def _key(text: str) -> Key:
    try:
        return Key.parse(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


async def _adopt(
    catalog: Catalog, instance: GatewayInstance, keys: tuple[Key, ...], options: Namespace
) -> Exit:
    # Late, like every import of this weight: a catalog that is refused above must be so quickly.
    from stoa_gitops.operations.adopt import prepare_adoption
    from stoa_gitops.operations.apply import apply_plans
    from stoa_gitops.operations.workspace import Workspace
    from stoa_gitops.report.plan import plan_text
    from stoa_gitops.report.recap import report_text

    async with Workspace.open(state_folder(options)) as workspace:
        prepared = await prepare_adoption(workspace, catalog, instance, keys)
        # `apply` would plan no adoption.
        sys.stdout.write(plan_text(prepared.plans, terminal.style(), with_digest=False))
        sys.stdout.flush()
        if not prepared.plans.is_complete:
            return Exit.FAILED
        if not options.yes and not terminal.confirm("Adopt these objects?"):
            print("Nothing was adopted.", file=sys.stderr)
            return Exit.FAILED
        reports = await apply_plans(workspace, prepared, workspace.context.principal)
    sys.stdout.write("\n" + report_text(reports, terminal.style()))
    skipped = {skip.key for plan in prepared.plans.plans for skip in plan.skipped}
    is_done = all(r.is_converged for r in reports.reports) and skipped.isdisjoint(keys)
    return Exit.OK if is_done else Exit.INCOMPLETE

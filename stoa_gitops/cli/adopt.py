"""`adopt`: take ownership of objects that exist on a gateway already, or write documents for them."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace

from stoa_gitops.cli import catalog_options as reading
from stoa_gitops.cli import terminal
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.plan import rendered
from stoa_gitops.errors import UsageError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.plan import PlanSet


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
    options.gateway, options.tenant, options.keep_going = [options.name], None, True
    catalog = reading.read_valid(options)
    instance = next(g for g in catalog.gateways if g.name == options.name)
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
    from stoa_gitops.operations.workspace import PreparedSet, Workspace
    from stoa_gitops.report.recap import report_text

    async with Workspace.open(reading.state_folder(options)) as workspace:
        prepared = await workspace.prepare_one(catalog, instance, adopting=keys)
        plans = PlanSet(catalog.revision, (prepared.plan,), len(catalog.tenants))
        sys.stdout.write(rendered(plans, "text"))
        sys.stdout.flush()
        if not prepared.plan.complete:
            return Exit.FAILED
        if not options.yes and not terminal.confirm("Adopt these objects?"):
            print("Nothing was adopted.", file=sys.stderr)
            return Exit.FAILED
        reports = await workspace.apply(PreparedSet(plans, (prepared,)))
    sys.stdout.write("\n" + report_text(reports, terminal.style()))
    return Exit.OK if all(r.is_converged for r in reports.reports) else Exit.INCOMPLETE

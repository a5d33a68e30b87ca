"""`gateways prune NAME`: remove the objects of a gateway whose document is gone from the catalog.

The document that says where the gateway is and how to reach it is no longer there, so a person names the
revision, or the folder, that still has it.
"""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stoa_gitops.cli import catalog_options as reading
from stoa_gitops.cli import terminal
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.plan import rendered
from stoa_gitops.cli.progress import shown
from stoa_gitops.errors import CatalogInvalid, UnsafePlan, UsageError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance, PruneBudget
from stoa_gitops.model.plan import PlanSet
from stoa_gitops.model.resources import DesiredState

if TYPE_CHECKING:
    from stoa_gitops.operations.workspace import Workspace
    from stoa_gitops.reconcile.session import Prepared


def execute(options: Namespace) -> Exit:
    """Show what would be removed, ask, and remove it."""
    current, _ = reading.read(options)
    if current.errors:
        raise CatalogInvalid(
            "the catalog is invalid, so it cannot be told whether the gateway's document is gone or "
            "only broken: mend it first"
        )
    if current.gateway(options.name) is not None:
        raise UsageError(
            f"{options.name} is still in the catalog: remove its document and commit that first"
        )
    instance = _former(current, options)
    return asyncio.run(_prune(_emptied(current, instance), instance, options))


def _former(current: Catalog, options: Namespace) -> GatewayInstance:
    """Return the gateway as its document described it when there was one."""
    earlier = Namespace(**vars(options))
    if Path(options.origin).is_dir():
        earlier.catalog, earlier.revision = options.origin, None
        former, _ = reading.read(earlier)
    else:
        former, _ = reading.read(earlier, options.origin)
    instance = former.gateway(options.name)
    if instance is None:
        there = ", ".join(gateway.name for gateway in former.gateways) or "none"
        raise UsageError(f"{options.origin} has no gateway {options.name!r}; there is: {there}")
    if former.owner != current.owner:
        raise UsageError(
            f"{options.origin} is catalog {former.owner!r}, and this one is {current.owner!r}: objects "
            "of another catalog are not ours to remove"
        )
    return replace(instance, prune=PruneBudget(None, None), suspended=False)


def _emptied(current: Catalog, instance: GatewayInstance) -> Catalog:
    """Return the catalog that asks nothing of this gateway."""
    nothing = DesiredState(instance.name, current.owner, current.revision)
    return replace(current, gateways=(instance,), desired={instance.name: nothing})


async def _prune(catalog: Catalog, instance: GatewayInstance, options: Namespace) -> Exit:
    from stoa_gitops.operations.workspace import PreparedSet, Workspace
    from stoa_gitops.report.recap import report_text

    async with Workspace.open(reading.state_folder(options)) as workspace:
        with shown(f"Observing {instance.name}"):
            prepared = await workspace.prepare_one(catalog, instance)
        plans = PlanSet(catalog.revision, (prepared.plan,), len(catalog.tenants))
        sys.stdout.write(_without_digest(rendered(plans, "text")))
        sys.stdout.flush()
        if not prepared.plan.complete:
            return Exit.FAILED
        _check(prepared, options)
        count = len(prepared.plan.changes)
        question = f"Delete {count} objects on {instance.name}?"
        if count and not options.yes and not terminal.confirm(question):
            print("Nothing was deleted.", file=sys.stderr)
            return Exit.FAILED
        with shown(f"Deleting on {instance.name}"):
            reports = await workspace.apply(PreparedSet(plans, (prepared,)), force=options.force)
        is_done = all(report.is_converged for report in reports.reports)
        if is_done and not prepared.plan.skipped:
            await _forget(workspace, catalog.owner, instance.name)
    sys.stdout.write("\n" + report_text(reports, terminal.style()))
    return Exit.OK if is_done else Exit.INCOMPLETE


def _without_digest(text: str) -> str:
    """Leave out how to `apply` the plan: this one is carried out here or not at all."""
    return "".join(x for x in text.splitlines(keepends=True) if not x.startswith("Digest "))


def _check(prepared: Prepared, options: Namespace) -> None:
    if prepared.plan.holds and not options.force:
        raise UnsafePlan(f"refused: {prepared.plan.holds[0].message}; nothing was deleted")


async def _forget(workspace: Workspace, owner: str, name: str) -> None:
    """Drop what was remembered of a gateway that is empty now."""
    from stoa_gitops.store import Store

    await workspace.context.store.call(Store.forget, owner, name)

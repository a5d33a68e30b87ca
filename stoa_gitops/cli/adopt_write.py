"""`adopt GATEWAY --write DIR`: documents for foreign objects of a gateway or a vendor's file."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from stoa_gitops.cli.catalog_options import source_of, state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.model.counts import counted
from stoa_gitops.operations.adopt_documents import (
    GatewayObjects,
    observe_objects,
    propose_documents,
    read_vendor_export,
    write_documents,
)
from stoa_gitops.report.unmapped import unmapped_lines

if TYPE_CHECKING:
    from stoa_gitops.catalog.export.proposal import Proposal
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance
    from stoa_gitops.model.keys import Key


def execute(
    catalog: Catalog, instance: GatewayInstance, keys: tuple[Key, ...], options: Namespace
) -> Exit:
    """Write the documents and say what they leave out; never overwrites a file."""
    if options.origin:
        objects = read_vendor_export(Path(options.origin), instance, catalog.owner)
    else:
        objects = asyncio.run(_observe(catalog, instance, options))
    tree = source_of(options).snapshot()
    proposal = propose_documents(catalog, tree, instance, objects, keys)
    for path in write_documents(proposal, Path(options.write), instance):
        print(path)
    _print_remarks(proposal, instance)
    return Exit.OK


async def _observe(
    catalog: Catalog, instance: GatewayInstance, options: Namespace
) -> GatewayObjects:
    from stoa_gitops.operations.workspace import Workspace

    async with Workspace.open(state_folder(options)) as workspace:
        return await observe_objects(workspace, catalog, instance)


def _print_remarks(proposal: Proposal, instance: GatewayInstance) -> None:
    """Say what the documents leave out, what has to be set in them, and what to do next."""
    for line in unmapped_lines(proposal.unmapped):
        print(line, file=sys.stderr)
    for draft in proposal.drafts:
        if draft.placeholders:
            names = ", ".join(draft.placeholders)
            print(f"{draft.key}: set {names} before you adopt it", file=sys.stderr)
    keys = [key for draft in proposal.drafts for key in draft.keys]
    count = counted(len(keys), "object")
    print(
        f"{count} written; look at the documents, commit them, then adopt by key", file=sys.stderr
    )
    # Last, so that it can be copied from the end of the screen.
    if keys:
        print(f"stoa-gitops adopt {instance.name} {' '.join(map(str, keys))}", file=sys.stderr)

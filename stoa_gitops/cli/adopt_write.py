"""`adopt GATEWAY --write DIR`: documents for foreign objects of a gateway, or of a file of its vendor."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stoa_gitops.adapters.registry import losses, read_export
from stoa_gitops.catalog.export.proposal import NOTES, Proposal, propose, write
from stoa_gitops.cli import catalog_options as reading
from stoa_gitops.cli.exits import Exit
from stoa_gitops.errors import GatewayUnreachable, UsageError
from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.instances import GatewayInstance
from stoa_gitops.model.keys import Key
from stoa_gitops.model.resources import Observed
from stoa_gitops.model.unmapped import Unmapped
from stoa_gitops.report.unmapped import remnant_lines, remnant_page

MOST: Final = 64 << 20
"""Bytes of a file that are read."""


def execute(
    catalog: Catalog, instance: GatewayInstance, keys: tuple[Key, ...], options: Namespace
) -> Exit:
    """Write the documents and say what they leave out; nothing where a file would be overwritten."""
    if options.origin:
        objects, remnants = _from_file(Path(options.origin), instance, catalog.owner)
    else:
        objects, remnants = asyncio.run(_from_gateway(catalog, instance, options))
    chosen = _chosen(catalog, instance, objects, keys)
    tree = reading.source_of(options).snapshot()
    proposal = propose(catalog, tree, instance.name, chosen, losses(instance), remnants)
    _write(proposal, Path(options.write), instance)
    return Exit.OK


def _from_file(
    path: Path, instance: GatewayInstance, owner: str
) -> tuple[Sequence[Observed], Sequence[Unmapped]]:
    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MOST:
        raise UsageError(f"{path} has more than {MOST >> 20} MiB: split it")
    return read_export(data, str(path), instance, owner)


async def _from_gateway(
    catalog: Catalog, instance: GatewayInstance, options: Namespace
) -> tuple[Sequence[Observed], Sequence[Unmapped]]:
    from stoa_gitops.operations.workspace import Workspace

    async with Workspace.open(reading.state_folder(options)) as workspace:
        session = await workspace.session(catalog, instance)
        actual = await session.look()
        if actual.error is not None:
            raise GatewayUnreachable(f"{instance.name}: {actual.error}")
        return actual.objects, await session.driver.remnants()


def _chosen(
    catalog: Catalog, instance: GatewayInstance, objects: Sequence[Observed], keys: tuple[Key, ...]
) -> list[Observed]:
    """Return the foreign objects that are asked for: those of the keys, or all that the catalog has not."""
    foreign = [seen for seen in objects if not seen.managed]
    missing = sorted(set(keys) - {seen.key for seen in foreign})
    if missing:
        raise UsageError(f"{instance.name} has no foreign object {', '.join(map(str, missing))}")
    if keys:
        return [seen for seen in foreign if seen.key in keys or seen.key.parent in keys]
    known = catalog.desired[instance.name].resources
    return [seen for seen in foreign if (seen.key.parent or seen.key) not in known]


def _write(proposal: Proposal, folder: Path, instance: GatewayInstance) -> None:
    texts = dict(proposal.texts)
    if proposal.remnants:
        texts[NOTES] = remnant_page(proposal.remnants, instance.name)
    for path in write(folder, texts):
        print(path)
    for line in remnant_lines(proposal.remnants):
        print(line, file=sys.stderr)
    for draft in proposal.drafts:
        if draft.placeholders:
            names = ", ".join(draft.placeholders)
            print(f"{draft.key}: set {names} before you adopt it", file=sys.stderr)
    keys = [key for draft in proposal.drafts for key in draft.keys]
    print(
        f"{len(keys)} objects written; look at them, commit them, then adopt them by key",
        file=sys.stderr,
    )
    if keys:
        print(f"stoa-gitops adopt {instance.name} {' '.join(map(str, keys))}", file=sys.stderr)

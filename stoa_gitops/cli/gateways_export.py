"""`gateways export NAME`: the gateway's own backup, where its make has one."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from pathlib import Path

from stoa_gitops.cli import catalog_options as reading
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.progress import shown
from stoa_gitops.cli.status_text import json_text
from stoa_gitops.errors import GatewayRefused, GatewayUnreachable, UsageError
from stoa_gitops.foundation.files import create_private_file
from stoa_gitops.model.catalog import Catalog


def execute(options: Namespace) -> Exit:
    """Write what the gateway gives to stdout, or into a file that only its owner can read."""
    options.gateway, options.tenant, options.keep_going = [options.name], None, True
    catalog = reading.read_valid(options)
    text = asyncio.run(_exported(catalog, options))
    if options.out is None:
        sys.stdout.write(text)
        return Exit.OK
    _write(Path(options.out), text)
    print(f"{options.name} written to {options.out}", file=sys.stderr)
    return Exit.OK


async def _exported(catalog: Catalog, options: Namespace) -> str:
    """Return the archive as JSON; raises GatewayError with the gateway's words."""
    from stoa_gitops.operations.workspace import Workspace

    instance = next(g for g in catalog.gateways if g.name == options.name)
    async with Workspace.open(reading.state_folder(options)) as workspace:
        session = await workspace.session(catalog, instance)
        with shown(f"Exporting {instance.name}"):
            health = await session.driver.health()
            if not health.success:
                raise GatewayUnreachable(f"{instance.name}: {health.error or 'no answer'}")
            archive = await session.driver.export_archive()
    if not archive.success:
        raise GatewayRefused(f"{instance.name}: {archive.error}")
    return json_text(dict(archive.data or {}))


def _write(path: Path, text: str) -> None:
    """Create a file that only its owner can read; UsageError where it exists or that fails."""
    try:
        create_private_file(path, text.encode())
    except FileExistsError:
        raise UsageError(f"{path} exists already: it is not overwritten") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None

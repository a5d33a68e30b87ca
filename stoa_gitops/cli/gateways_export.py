"""`gateways export NAME`: the gateway's own backup, if its type supports one."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from stoa_gitops.cli.catalog_options import read_for_gateway, state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.progress import shown
from stoa_gitops.cli.status_text import json_text
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.files import create_private_file

if TYPE_CHECKING:
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.instances import GatewayInstance


def execute(options: Namespace) -> Exit:
    """Write what the gateway gives to stdout, or into a file that only its owner can read."""
    catalog, instance = read_for_gateway(options)
    text = asyncio.run(_export(catalog, instance, options))
    if options.out is None:
        sys.stdout.write(text)
        return Exit.OK
    _create_private(Path(options.out), text)
    print(f"{options.name} written to {options.out}", file=sys.stderr)
    return Exit.OK


async def _export(catalog: Catalog, instance: GatewayInstance, options: Namespace) -> str:
    from stoa_gitops.operations.export import export_gateway
    from stoa_gitops.operations.workspace import Workspace

    async with Workspace.open(state_folder(options)) as workspace:
        with shown(f"Exporting {instance.name}"):
            return json_text(await export_gateway(workspace, catalog, instance))


def _create_private(path: Path, text: str) -> None:
    """Create a file that only its owner can read; UsageError where it exists or that fails."""
    try:
        create_private_file(path, text.encode())
    except FileExistsError:
        raise UsageError(f"{path} exists already: it is not overwritten") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None

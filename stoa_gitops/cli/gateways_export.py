"""`gateways export NAME`: the gateway's own backup, if its type supports one."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from argparse import Namespace
from collections.abc import Iterator
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
    from stoa_gitops.operations.export import Backup


def execute(options: Namespace) -> Exit:
    """Write what the gateway gives to stdout, or into a file that only its owner can read."""
    catalog, instance = read_for_gateway(options)
    path = Path(options.out) if options.out is not None else None
    with _explained(path):
        if path is not None and path.exists():  # not only after a long download
            raise FileExistsError
    backup = asyncio.run(_export(catalog, instance, options, path))
    for warning in backup.warnings:
        print(warning, file=sys.stderr)
    if backup.document is not None:
        text = json_text(backup.document)
        if path is None:
            sys.stdout.write(text)
            return Exit.OK
        with _explained(path):
            create_private_file(path, text.encode())
    size = backup.about.get("bytes")
    of = f" ({size:,} bytes)" if isinstance(size, int) else ""
    print(f"{options.name} written to {options.out}{of}", file=sys.stderr)
    return Exit.OK


async def _export(
    catalog: Catalog, instance: GatewayInstance, options: Namespace, path: Path | None
) -> Backup:
    from stoa_gitops.operations.export import export_gateway
    from stoa_gitops.operations.workspace import Workspace

    async with Workspace.open(state_folder(options)) as workspace:
        with shown(f"Exporting {instance.name}"), _explained(path):
            return await export_gateway(workspace, catalog, instance, path)


@contextlib.contextmanager
def _explained(path: Path | None) -> Iterator[None]:
    """Raise UsageError where a file exists, or cannot be written."""
    try:
        yield
    except FileExistsError:
        raise UsageError(f"{path} exists already: it is not overwritten") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None

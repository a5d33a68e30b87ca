"""`state list|show|forget`: what catalogs own on gateways, as the store has it."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from pathlib import Path

from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.status_text import json_text
from stoa_gitops.errors import UsageError
from stoa_gitops.model.counts import counted
from stoa_gitops.model.keys import Key
from stoa_gitops.operations.history import FORMAT_VERSION
from stoa_gitops.operations.inventory import (
    choose_objects,
    forget_objects,
    list_objects,
    show_object,
)
from stoa_gitops.operations.status import require_store
from stoa_gitops.report.events import inventory_lines


def execute(options: Namespace) -> Exit:
    """Run one verb."""
    folder = state_folder(options)
    match options.verb:
        case "list":
            return _list(folder, options)
        case "show":
            return _show(folder, options)
        case _:
            return asyncio.run(_forget(folder, options))


def _list(folder: Path, options: Namespace) -> Exit:
    items = asyncio.run(list_objects(folder, options.gateway or (), options.tenant))
    summaries = [item.summary() for item in items]
    if options.output == "json":
        sys.stdout.write(json_text({"format_version": FORMAT_VERSION, "items": summaries}))
    else:
        print("\n".join(inventory_lines(summaries, terminal.style())))
    return Exit.OK


def _show(folder: Path, options: Namespace) -> Exit:
    """Print JSON in both forms: a spec is a tree, for which text would be no shorter."""
    found = asyncio.run(show_object(folder, options.name, _key(options.key)))
    documents = [item.document() for item in found]
    sys.stdout.write(json_text({"format_version": FORMAT_VERSION, "items": documents}))
    return Exit.OK


def _key(text: str) -> Key:
    try:
        return Key.parse(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


async def _forget(folder: Path, options: Namespace) -> Exit:
    from stoa_gitops.operations.workspace import Workspace

    keys = [_key(text) for text in options.keys]
    require_store(folder)
    async with Workspace.open(folder) as workspace:
        context = workspace.context
        chosen = await choose_objects(context.store, options.name, keys, options.owner)
        for item in chosen:
            print(item.record.key, file=sys.stderr)
        question = (
            f"Forget {counted(len(chosen), 'object')} of {options.name}? "
            "What is on the gateway stays."
        )
        if not options.yes and not terminal.confirm(question):
            print("Nothing was forgotten.", file=sys.stderr)
            return Exit.FAILED
        await forget_objects(context, options.name, chosen, context.principal)
    print(f"{options.name}: {counted(len(chosen), 'object')} forgotten")
    return Exit.OK

"""`status`: the state of the gateways, from the running process or from its store."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from stoa_gitops.cli import remote, status_source, status_text, terminal
from stoa_gitops.cli.catalog_options import gateways_of, is_left, state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.errors import UsageError


def execute(options: Namespace) -> Exit:
    """Print the status; exit 1 when something is not well, or nothing runs here."""
    if options.watch:
        from stoa_gitops.cli.status_watch import watch

        return watch(options, _read)
    text, is_well = _read(options)
    sys.stdout.write(text)
    return Exit.OK if is_well else Exit.FAILED


def _read(options: Namespace) -> tuple[str, bool]:
    """Return the status in the form that is asked for, and whether all is well."""
    folder = state_folder(options)
    running = remote.find(folder)
    document = _filtered(status_source.status(folder), options)
    is_well = bool(document["well"])
    if options.output == "json":
        return status_text.json_text(document), is_well
    where = running.address if running else str(folder)
    memories = status_source.memories(document, folder)
    text = status_text.status_text(document, terminal.style(), where=where, memories=memories)
    return text, is_well


def _filtered(document: dict[str, Any], options: Namespace) -> dict[str, Any]:
    """Keep the gateways that are asked for; UsageError for one that does not exist."""
    names = {item["name"] for item in document["items"]}
    for name in options.gateway or ():
        if name not in names:
            existing = ", ".join(sorted(names)) or "none"
            raise UsageError(f"no gateway {name!r} is known; there is: {existing}")
    chosen = gateways_of(options)
    kept = [
        item
        for item in document["items"]
        if (not options.gateway or item["name"] in options.gateway)
        and (not options.env or item["environment"] == options.env)
        and is_left(item["name"], chosen)
    ]
    return {**document, "items": kept}

"""`events [--follow]`: cycles, changes and conditions as they happen, oldest first."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import Namespace
from typing import Any

from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import positive
from stoa_gitops.operations.history import open_feed
from stoa_gitops.operations.status import require_store
from stoa_gitops.operations.store_choice import open_store
from stoa_gitops.report.events import event_line


def execute(options: Namespace) -> Exit:
    """Print the last events and, with `--follow`, those that come until Ctrl-C."""
    asyncio.run(_print_events(options, positive(options, "limit", least=0)))
    return Exit.OK


async def _print_events(options: Namespace, limit: int) -> None:
    folder = state_folder(options)
    require_store(folder)
    style = terminal.style()

    def show(event: dict[str, Any]) -> None:
        is_json = options.output == "jsonl"
        print(json.dumps(event, sort_keys=True) if is_json else event_line(event, style))

    async with open_store(folder) as store:
        feed = await open_feed(store, options.gateway)
        for event in await feed.latest(limit):
            show(event)
        sys.stdout.flush()
        if not options.follow:
            return
        async for event in feed.follow():
            show(event)
            sys.stdout.flush()

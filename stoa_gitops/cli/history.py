"""`history [GATEWAY]`: the cycles of the past, newest first."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace

from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import positive
from stoa_gitops.cli.status_text import json_text
from stoa_gitops.operations.history import read_history
from stoa_gitops.report.events import history_lines


def execute(options: Namespace) -> Exit:
    """Print cycles as the store has them; a running process writes them there, too."""
    limit = positive(options, "limit")
    document = asyncio.run(read_history(state_folder(options), options.name, limit))
    if options.output == "json":
        sys.stdout.write(json_text(document))
    else:
        print("\n".join(history_lines(document["items"], terminal.style())))
    return Exit.OK

"""`snapshots`: requests that the embedded gateway of a process answered 5xx."""

from __future__ import annotations

import sys
from argparse import Namespace
from urllib.parse import urlencode

from stoa_gitops.cli import terminal
from stoa_gitops.cli.embedded_process import find_process
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of, positive
from stoa_gitops.cli.status_text import json_text
from stoa_gitops.errors import UsageError
from stoa_gitops.report.snapshots import snapshots_text

_MOST = 500


def execute(options: Namespace) -> Exit:
    """Print what the process knows, newest first."""
    limit = positive(options, "limit")
    if limit > _MOST:
        raise UsageError(f"{name_of(options, 'limit')}: {_MOST} at most")
    remote = find_process(options)
    asked = {"tenant": options.tenant, "api": options.api, "limit": str(limit)}
    query = urlencode({name: value for name, value in asked.items() if value})
    document = remote.get(f"/v1/snapshots?{query}")
    if options.output == "json":
        sys.stdout.write(json_text(document))
    else:
        sys.stdout.write(snapshots_text(document["items"], terminal.style()))
    return Exit.OK

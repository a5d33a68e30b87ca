"""`snapshots`: requests that the embedded gateway of a process answered 5xx."""

from __future__ import annotations

import sys
from argparse import Namespace
from urllib.parse import urlencode

from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of, positive
from stoa_gitops.cli.remote import Remote, at, find
from stoa_gitops.cli.status_text import json_text
from stoa_gitops.errors import GatewayUnreachable, UsageError
from stoa_gitops.report.snapshots import snapshots_text

_MOST = 500


def execute(options: Namespace) -> Exit:
    """Print what the process knows, newest first."""
    limit = positive(options, "limit")
    if limit > _MOST:
        raise UsageError(f"{name_of(options, 'limit')}: {_MOST} at most")
    remote = _process(options)
    asked = {"tenant": options.tenant, "api": options.api, "limit": str(limit)}
    query = urlencode({name: value for name, value in asked.items() if value})
    document = remote.get(f"/v1/snapshots?{query}")
    if options.output == "json":
        sys.stdout.write(json_text(document))
    else:
        sys.stdout.write(snapshots_text(document["items"], terminal.style()))
    return Exit.OK


def _process(options: Namespace) -> Remote:
    """Return the process of `--control`, else the one that runs with the state folder."""
    if options.control:
        from stoa_gitops.cli.settings_from_env import read_control_token

        return at(options.control, read_control_token().reveal())
    remote = find(state_folder(options))
    if remote is None:
        raise GatewayUnreachable(
            "the embedded gateway is not running here: start `stoa-gitops run` with the same "
            f"--state, or name its control API by {name_of(options, 'control')}"
        )
    return remote

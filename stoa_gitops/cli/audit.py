"""`audit`: who did what to which object, newest first."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of, positive
from stoa_gitops.cli.status_text import json_text
from stoa_gitops.errors import UsageError
from stoa_gitops.model.canonical import duration_ms
from stoa_gitops.operations.history import read_audit
from stoa_gitops.report.events import audit_lines


def execute(options: Namespace) -> Exit:
    """Print the audit trail as the store has it."""
    limit, since = positive(options, "limit"), _since(options)
    document = asyncio.run(read_audit(state_folder(options), options.gateway, limit, since))
    if options.output == "json":
        sys.stdout.write(json_text(document))
    else:
        print("\n".join(audit_lines(document["items"], terminal.style())))
    return Exit.OK


def _since(options: Namespace) -> datetime | None:
    """Return the time of `--since`: how long ago, or a time of RFC 3339."""
    text = options.since
    if not text:
        return None
    with suppress(ValueError):
        return datetime.now(UTC) - timedelta(milliseconds=duration_ms(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{name_of(options, 'since')}: {text!r} is neither a duration such as 2h "
            "nor a time such as 2026-05-01T12:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.astimezone()

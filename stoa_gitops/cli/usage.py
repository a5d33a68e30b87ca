"""`usage`: what callers of the gateways of a process used."""

from __future__ import annotations

import sys
from argparse import Namespace
from urllib.parse import urlencode

from stoa_gitops.cli import terminal
from stoa_gitops.cli.embedded_process import find_process
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.status_text import json_text
from stoa_gitops.report.usage import usage_text


def execute(options: Namespace) -> Exit:
    """Print what the process has counted, by API and application."""
    asked = {
        "from": options.start,
        "to": options.end,
        "tenant": options.tenant,
        "api": options.api,
        "application": options.application,
        "gateway": options.gateway,
        "by": options.by,
    }
    query = urlencode({name: value for name, value in asked.items() if value})
    document = find_process(options).get(f"/v1/usage?{query}")
    if options.output == "json":
        sys.stdout.write(json_text(document))
    else:
        by_hour = options.by == "hour"
        sys.stdout.write(usage_text(document, terminal.style(), with_hours=by_hour))
    return Exit.OK

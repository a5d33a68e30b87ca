"""`render`: write what each gateway would get, as files that a review and a snapshot test can read."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from stoa_gitops.cli import catalog_options as reading
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.selection import selection
from stoa_gitops.operations import render as rendering


def execute(options: Namespace) -> Exit:
    """Write the files and say how many."""
    options.keep_going = False
    catalog = reading.read_valid(options)
    rendered = dict(rendering.files(catalog, selection(options)))
    removed = rendering.write(Path(options.out), rendered)
    gone = f", {removed} of an earlier rendering removed" if removed else ""
    print(f"{len(rendered)} objects written to {options.out}{gone}")
    return Exit.OK

"""`render`: write what each gateway would get, as files for reviews and snapshot tests."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from stoa_gitops.cli.catalog_options import read_valid
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import selection
from stoa_gitops.model.counts import counted
from stoa_gitops.operations.render import render_files, write_files


def execute(options: Namespace) -> Exit:
    """Write the files and say how many."""
    options.keep_going = False  # half a rendering would look like a deletion in a review
    catalog = read_valid(options)
    rendered = dict(render_files(catalog, selection(options)))
    removed = write_files(Path(options.out), rendered)
    remark = f", {removed} of an earlier rendering removed" if removed else ""
    print(f"{counted(len(rendered), 'object')} written to {options.out}{remark}")
    return Exit.OK

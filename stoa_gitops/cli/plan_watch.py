"""`plan --watch`: the plan again whenever the catalog changes, while somebody edits it."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO

from stoa_gitops.cli import terminal
from stoa_gitops.cli.catalog_options import path_from_here, read, source_of, state_folder
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of, selection
from stoa_gitops.errors import CatalogError, UsageError
from stoa_gitops.operations.validate import catalog_reader, check_selection
from stoa_gitops.report.findings import diagnostics_text

if TYPE_CHECKING:
    from stoa_gitops.catalog import Reader, Source
    from stoa_gitops.model.catalog import Catalog
    from stoa_gitops.model.plan import PlanSet
    from stoa_gitops.operations.workspace import Workspace

    Show = Callable[[PlanSet], str]

_POLL: Final = 30.0
"""Seconds between two looks at a remote repository, as `run` has them by default."""

_CLEAR: Final = "\x1b[H\x1b[2J"
"""Cursor to the corner, and everything below erased (ECMA-48 §8.3.21, §8.3.39)."""


def watch(options: Namespace, show: Show) -> Exit:
    """Print the plan now and after each change of the catalog, until Ctrl-C.

    `show` returns a plan as text. A catalog that is invalid, or cannot be read, is said in the
    place of the plan; the next change is waited for all the same.
    """
    for name in ("out", "detailed_exitcode"):
        if getattr(options, name):
            raise UsageError(f"{name_of(options, name)} is for one plan: leave out --watch")
    if options.output not in ("text", "jsonl"):
        raise UsageError(f"{name_of(options, 'output')}: with --watch a plan is text or jsonl")
    return asyncio.run(_watch(options, show))


async def _watch(options: Namespace, show: Show) -> Exit:
    from stoa_gitops.operations.workspace import Workspace

    folder = state_folder(options)
    source, reader = source_of(options), catalog_reader(folder)
    base = read(options, options.base).catalog if options.base else None
    shown = None
    async with Workspace.open(folder) as workspace:
        async for reason in source.changes(asyncio.Event(), poll=_POLL):
            text, is_plan = await _plan_text(options, source, reader, workspace, base, show)
            if text != shown:
                shown = text
                # Lines of JSON are plans alone: what keeps one from being made goes to people.
                is_result = is_plan or options.output == "text"
                _print(text, reason, sys.stdout if is_result else sys.stderr)
    print("the catalog can no longer be watched", file=sys.stderr)
    return Exit.FAILED


async def _plan_text(
    options: Namespace,
    source: Source,
    reader: Reader,
    workspace: Workspace,
    base: Catalog | None,
    show: Show,
) -> tuple[str, bool]:
    """Return the plan of the catalog as it is now, or why there is none; and which of both."""
    from stoa_gitops.operations.plan import plan_gateways, plan_revisions

    try:
        # In a thread: reading is CPU, and events are to be taken meanwhile.
        tree = await asyncio.to_thread(source.snapshot)
        catalog = await asyncio.to_thread(reader.read, tree)
        if catalog.blocking_errors and not options.keep_going:
            return _findings(catalog, options), False
        check_selection(catalog, selection(options))
    except (CatalogError, UsageError) as error:
        return f"{terminal.style().safe(str(error))}\n", False
    if base is not None:
        plans = plan_revisions(base, catalog, selection(options), datetime.now(UTC))
    else:
        plans = (await plan_gateways(workspace, catalog, selection(options))).plans
    return show(plans), True


def _findings(catalog: Catalog, options: Namespace) -> str:
    return diagnostics_text(
        catalog.diagnostics,
        terminal.style(),
        documents=catalog.documents,
        prefix=path_from_here(options),
    )


def _print(text: str, reason: str, stream: TextIO) -> None:
    """Print what there is now; a terminal is cleared first, elsewhere stderr says the reason."""
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        stream.write(f"{_CLEAR}{text}")
    else:
        print(f"({terminal.error_style().safe(reason)})", file=sys.stderr, flush=True)
        stream.write(text)
    stream.flush()

"""Entry point: parses options, runs one command, turns errors into a message and an exit code."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from types import FrameType
from typing import Final, NoReturn

from stoa_gitops.cli import safe_output
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.fast_exit import fast_exit
from stoa_gitops.cli.parser import build
from stoa_gitops.errors import (
    CatalogError,
    CatalogInvalid,
    DigestMismatch,
    StoaGitopsError,
    UnsafePlan,
    UsageError,
)

_MODULES: Final = {"import": "import_documents", "try": "try_request"}
"""Modules of commands whose names Python keeps for itself."""


def process() -> NoReturn:
    """Run the command line as the whole process, and exit."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    fast_exit.run(main)


def _on_sigterm(number: int, _: FrameType | None) -> NoReturn:
    """Exit through every `finally`: Git's child processes end, a lease is released.

    `run` replaces this handler by one that drains.
    """
    # A second signal exits at once. As process 1 of a container there is no default handler, so
    # without ours the signal would be ignored.
    signal.signal(number, lambda *_: os._exit(128 + number))
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; argparse's own exits pass through.

    A reader that goes away (`| head`) changes neither what is done nor the code.

        assert main(["validate", "--catalog", "catalog-example"]) == Exit.OK
    """
    with safe_output.guarded():
        try:
            return _run(arguments)
        except safe_output.OutputFailed as error:
            print(f"stoa-gitops: {error}", file=sys.stderr)
            return Exit.FAILED


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = build().parse_args(arguments)
    except SystemExit:
        sys.stdout.flush()
        raise
    try:
        module = _MODULES.get(options.command, options.command)
        command = importlib.import_module(f"stoa_gitops.cli.{module}")
        _show_names_in_logs()
        code = int(command.execute(options))
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the boundary where errors become messages
        return _failed(error, options)
    return code


def _show_names_in_logs() -> None:
    """Write warnings of the log with what is invisible in names as escapes; `run` has its own."""
    if logging.lastResort is not None:
        from stoa_gitops.cli.visible_log import VisibleFormatter

        logging.lastResort.setFormatter(VisibleFormatter())


def _failed(error: Exception, options: Namespace) -> Exit:
    if options.debug:
        import traceback

        traceback.print_exc()
    if isinstance(error, StoaGitopsError):
        from stoa_gitops.report.style import printable

        # Names of branches, files and objects are whatever others wrote, escape sequences, too.
        lines = map(printable, str(error).split("\n"))
        print("stoa-gitops:", "\n".join(lines), file=sys.stderr)
        # A value that nobody sees on the command line is looked for in the wrong place.
        if isinstance(error, UsageError | CatalogError) and options.variables:
            names = ", ".join(options.variables.values())
            print(f"the environment sets {names}", file=sys.stderr)
    elif not options.debug:
        kind = type(error).__name__
        print(
            f"stoa-gitops: internal error ({kind}); run again with --debug and report it",
            file=sys.stderr,
        )
    match error:
        case UsageError():
            return Exit.USAGE
        case CatalogInvalid():
            return Exit.INVALID
        case UnsafePlan() | DigestMismatch():
            return Exit.REFUSED
        case _:
            return Exit.FAILED

"""Entry point: parse, run one command, and turn whatever happens into words and an exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from stoa_gitops.cli import safe_output
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.fast_exit import fast_exit
from stoa_gitops.cli.parser import build
from stoa_gitops.errors import (
    CatalogInvalid,
    DigestMismatch,
    StoaGitopsError,
    UnsafePlan,
    UsageError,
)


def process() -> NoReturn:
    """Run the command line as a process of its own, and end the process."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    fast_exit.run(main)


def _on_sigterm(number: int, _: FrameType | None) -> NoReturn:
    """End in order, with what is under way: Git's programs, a lease. Process 1 would not hear of it otherwise.

    A second time ends at once. `run` takes the signal over and drains.
    """
    signal.signal(number, lambda *_: os._exit(128 + number))
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; argparse's own exits pass through.

    Whether somebody reads the result changes nothing about what is done and what is returned.
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
        command = importlib.import_module(f"stoa_gitops.cli.{options.command}")
        code = int(command.execute(options))
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the boundary where errors become words
        return _failed(error, options)
    return code


def _failed(error: Exception, options: Namespace) -> Exit:
    if options.debug:
        import traceback

        traceback.print_exc()
    if isinstance(error, StoaGitopsError):
        print(f"stoa-gitops: {error}", file=sys.stderr)
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

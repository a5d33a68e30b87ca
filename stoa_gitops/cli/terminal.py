"""What the terminal is like, and asking a person on it."""

from __future__ import annotations

import os
import shutil
import sys

from stoa_gitops.errors import UsageError


def is_terminal() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout.isatty()


def wants_colour() -> bool:
    """Whether to colour: a terminal, and neither NO_COLOR nor a dumb one (no-color.org)."""
    return is_terminal() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Columns to write in; 100 where nobody looks."""
    return shutil.get_terminal_size((100, 24)).columns if is_terminal() else 100


def confirm(question: str) -> bool:
    """Ask on the terminal; UsageError where there is none, because silence is not consent."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("this asks for consent and there is no terminal: add --yes to apply")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}

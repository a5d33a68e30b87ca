"""Properties of the terminal, and questions to the person at it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import TextIO

from stoa_gitops.errors import UsageError
from stoa_gitops.report.style import Style


def style(*, colour: bool = True) -> Style:
    """Describe stdout."""
    return _style_of(sys.stdout, colour=colour)


def error_style() -> Style:
    """Describe stderr."""
    return _style_of(sys.stderr, colour=True)


def _style_of(stream: TextIO, *, colour: bool) -> Style:
    """Give a terminal colours, its own width and excerpts; NO_COLOR as no-color.org has it."""
    is_terminal = stream.isatty()
    has_colour = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    encoding = (stream.encoding or "ascii").lower().replace("-", "")
    return Style(
        colour=colour and is_terminal and has_colour,
        width=shutil.get_terminal_size((100, 24)).columns if is_terminal else 100,
        unicode=encoding.startswith("utf"),
        excerpts=is_terminal,
    )


def confirm(question: str) -> bool:
    """Ask on the terminal; UsageError where there is none, because silence is not consent."""
    # stderr, because the question goes there: stdout may be a file.
    if not is_interactive():
        raise UsageError("this asks for consent and there is no terminal: add --yes to go on")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def is_interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, default: str, check: Callable[[str], None]) -> str:
    """Return what a person types, `default` for an empty line.

    Asks again, with the reason, while `check` raises UsageError. Raises KeyboardInterrupt at the
    end of input.
    """
    shown = f" [{default}]" if default else ""
    while True:
        print(f"{question}{shown}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise KeyboardInterrupt
        text = line.strip() or default
        try:
            check(text)
        except UsageError as error:
            print(f"  {error}", file=sys.stderr)
        else:
            return text

"""`status --watch`: the status again whenever it changes, until Ctrl-C."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Final, NoReturn

from stoa_gitops.cli.flags import name_of
from stoa_gitops.cli.remote import RemoteFailed
from stoa_gitops.errors import StoreError, UsageError
from stoa_gitops.model.canonical import duration_ms

SHORTEST_MS: Final = 200
"""Least time between two looks: a process is not asked more often for one person."""

_CLEAR: Final = "\x1b[H\x1b[2J"
"""Cursor to the corner, and everything below erased (ECMA-48 §8.3.21, §8.3.39)."""


def watch(options: Namespace, read: Callable[[Namespace], tuple[str, bool]]) -> NoReturn:
    """Print what `read` returns, and again whenever it is another text; ends by KeyboardInterrupt.

    A terminal is cleared each time. JSON is one line for each change. A process or store that does
    not answer is said in its place, and looked at again.
    """
    seconds = _seconds(options)
    # Where the terminal cannot clear itself, the lines follow each other as in a file.
    clears = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    shown = None
    while True:
        try:
            text, _ = read(options)
        except (RemoteFailed, StoreError) as error:
            text = _error_text(str(error), options)
        if text != shown:
            shown = text
            sys.stdout.write(_framed(text, options, clears=clears))
            sys.stdout.flush()
        time.sleep(seconds)


def _framed(text: str, options: Namespace, *, clears: bool) -> str:
    if options.output == "json":
        return json.dumps(json.loads(text), sort_keys=True) + "\n"
    return f"{_CLEAR}{text}" if clears else f"{text}\n"


def _error_text(message: str, options: Namespace) -> str:
    from stoa_gitops.report.style import printable

    return json.dumps({"error": message}) if options.output == "json" else printable(message) + "\n"


def _seconds(options: Namespace) -> float:
    try:
        milliseconds = duration_ms(options.every)
    except ValueError:
        milliseconds = 0
    if milliseconds < SHORTEST_MS:
        raise UsageError(
            f"{name_of(options, 'every')}: {options.every!r} is no time of {SHORTEST_MS}ms or more"
        )
    return milliseconds / 1000

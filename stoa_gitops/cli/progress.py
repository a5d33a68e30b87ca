"""Progress on stderr while work takes long: a bar, or plain lines without a terminal."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress

AFTER: Final = 1.0
"""Seconds after which a terminal shows a bar."""

LINE_EVERY: Final = 10.0
"""Seconds between two plain lines where there is no terminal."""


@contextmanager
def shown(label: str) -> Iterator[None]:
    """Show `label` ("Reading the catalog") once the block takes longer than AFTER."""
    done = threading.Event()
    show = _bar if _can_show_bar() else _lines
    # A thread, because what is waited for may block the loop; a daemon, so that it keeps nobody.
    thread = threading.Thread(target=show, args=(label, done), daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class Bar:
    """A bar that begins and ends in different functions; none without a terminal."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, label: str) -> None:
        """Show `label` once it takes longer than AFTER; replaces what was shown before."""
        self.end()
        if _can_show_bar():
            self._done = threading.Event()
            arguments = (label, self._done)
            self._thread = threading.Thread(
                target=_bar, args=arguments, daemon=True, name="progress"
            )
            self._thread.start()

    def end(self) -> None:
        """Remove the bar; a second call does nothing."""
        if self._thread is not None:
            self._done.set()
            self._thread.join()
            self._thread = None


def _can_show_bar() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _lines(label: str, done: threading.Event) -> None:
    began = time.monotonic()
    while not done.wait(LINE_EVERY):
        print(f"{label}: {time.monotonic() - began:.0f} s so far", file=sys.stderr, flush=True)


def _bar(label: str, done: threading.Event) -> None:
    if done.wait(AFTER):
        return
    with _new_bar() as progress:
        progress.add_task(label, total=None)
        done.wait()


def _new_bar() -> Progress:
    """Return a bar that removes itself; what is logged meanwhile stays above it."""
    # Late, because most commands never show a bar. It honours NO_COLOR by itself.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=True,
    )

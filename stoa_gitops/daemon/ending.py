"""The hard end of a process that was told to end and does not get there."""

from __future__ import annotations

import os
import sys
import threading


def end_by_force_after(seconds: float) -> threading.Timer:
    """End this process after so many seconds, whatever it waits for; a process that ends earlier is not kept.

    A killed process loses nothing: what it did is found again by marks and records.
    """

    def end() -> None:
        sys.stderr.write(f"stoa-gitops: not ended within {seconds:g} s, ending by force\n")
        sys.stderr.flush()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer

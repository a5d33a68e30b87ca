"""Lines of the data plane's own log."""

from __future__ import annotations

import logging

from stoa_proxy.__main__ import VisibleFormatter


def test_names_of_others_turn_no_line_around_and_move_no_cursor() -> None:
    made = logging.LogRecord(
        "x", logging.INFO, __file__, 1, "tenant=%s", ("ü\u202e\x9b\n\x1b",), None
    )
    assert VisibleFormatter("%(message)s").format(made) == r"tenant=ü\u202e\x9b\n\x1b"

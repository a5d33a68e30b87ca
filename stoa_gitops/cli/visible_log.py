"""Lines of the log on stderr, for commands that configure no logging."""

from __future__ import annotations

import logging

from stoa_gitops.report.style import printable


class VisibleFormatter(logging.Formatter):
    """Formats a message alone; names of others may move a cursor or turn text around."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging.Formatter names it
        """Format the line without its exception."""
        return "\n".join(map(printable, super().formatMessage(record).split("\n")))

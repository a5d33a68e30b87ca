"""Logging on stderr: lines of text on a terminal, JSON objects otherwise."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from stoa_gitops.reconcile.log_context import CycleFilter
from stoa_gitops.report.style import printable, visible_json

_STANDARD_FIELDS = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {
    "message",
    "asctime",
}


class JsonFormatter(logging.Formatter):
    """Formats one JSON object per line: time, level, logger, message and the `extra` fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record; an exception becomes a string field."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {k: v for k, v in record.__dict__.items() if k not in _STANDARD_FIELDS}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return visible_json(json.dumps(entry, default=str, ensure_ascii=False))


class TextFormatter(logging.Formatter):
    """Formats one line of text; within a cycle its id precedes the message."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging.Formatter names it
        """Format the line without its exception."""
        cycle = getattr(record, "cycle", "")
        if cycle:
            record.message = f"[{cycle}] {record.message}"
        # Names of others may move the cursor or turn text around.
        record.message = "\n".join(map(printable, record.message.split("\n")))
        return super().formatMessage(record)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the current `sys.stderr`: a progress bar replaces it while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self.stream = sys.stderr
        super().emit(record)


def configure(*, debug: bool) -> None:
    """Configure logging of this process; libraries log warnings and above."""
    handler = _StderrHandler()
    if sys.stderr.isatty():
        handler.setFormatter(TextFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    else:
        handler.setFormatter(JsonFormatter())
    handler.addFilter(CycleFilter())
    root = logging.getLogger()
    # Replaced, not added to: a second call, as tests make, must not log every line twice.
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("stoa_gitops").setLevel(logging.DEBUG if debug else logging.INFO)
    if sys.stderr.isatty() and not debug:
        # A person at the terminal sees plans and recaps as they happen; the log would repeat them.
        logging.getLogger("stoa_gitops.reconcile.log_context").setLevel(logging.WARNING)
    # The embedded data plane logs every write of its admin API: those are this process's own, and
    # the recap of the cycle has them.
    logging.getLogger("stoa_proxy").setLevel(logging.DEBUG if debug else logging.WARNING)

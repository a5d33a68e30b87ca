"""Logs on stderr: lines for people on a terminal, JSON objects otherwise."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from stoa_gitops.reconcile.log_context import CycleFilter

_OWN = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message, and what was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record; an exception becomes a string field."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {k: v for k, v in record.__dict__.items() if k not in _OWN}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


class ForPeople(logging.Formatter):
    """One line; within a cycle its id stands before the message, so that what belongs together is seen."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """Format the line without its exception."""
        cycle = getattr(record, "cycle", "")
        if cycle:
            record.message = f"[{cycle}] {record.message}"
        return super().formatMessage(record)


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to what is stderr at that moment: a bar on the terminal takes it over while it shows."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self.stream = sys.stderr
        super().emit(record)


def configure(*, debug: bool) -> None:
    """Set up logging of this process. Libraries speak up from warnings on."""
    handler = _ToStderr()
    if sys.stderr.isatty():
        handler.setFormatter(ForPeople("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    else:
        handler.setFormatter(JsonLines())
    handler.addFilter(CycleFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("stoa_gitops").setLevel(logging.DEBUG if debug else logging.INFO)
    if sys.stderr.isatty() and not debug:
        # People are shown plans and recaps as they happen; a line in the log would say it twice.
        logging.getLogger("stoa_gitops.reconcile.log_context").setLevel(logging.WARNING)
    # The embedded data plane tells of every write; those are this process's own, and the recap has them.
    logging.getLogger("stoa_proxy").setLevel(logging.DEBUG if debug else logging.WARNING)

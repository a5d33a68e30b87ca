"""Adds cycle id and gateway to log records that are written during a cycle."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from stoa_gitops.reconcile.cycle import CycleResult
from stoa_gitops.report.recap import recap_counts

log = logging.getLogger(__name__)

_cycle: ContextVar[tuple[str, str] | None] = ContextVar("cycle", default=None)


@contextmanager
def in_cycle(gateway: str) -> Iterator[str]:
    """Give records that are logged inside, on threads as well, a new id of eight hex digits."""
    number = secrets.token_hex(4)
    # asyncio.to_thread copies context variables, so records of threads get them as well.
    token = _cycle.set((number, gateway))
    try:
        yield number
    finally:
        _cycle.reset(token)


class CycleFilter(logging.Filter):
    """Adds `cycle` and `gateway` to records of a cycle; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields, unless whoever logged has given them."""
        known = _cycle.get()
        if known is not None:
            record.__dict__.setdefault("cycle", known[0])
            record.__dict__.setdefault("gateway", known[1])
        return True


def log_result(result: CycleResult) -> None:
    """Log the result of a cycle in one line; at debug level where there was nothing to do."""
    report = result.report
    name, counts = report.plan.gateway, recap_counts(report)
    if report.error is not None:
        log.warning("%s: %s", name, report.error, extra={"reason": result.reason})
        return
    has_changes = bool(report.outcomes)
    message = (
        " ".join(f"{word}={count}" for word, count in counts.items() if count) or "nothing here"
    )
    log.log(logging.INFO if has_changes else logging.DEBUG, "%s: %s", name, message)
